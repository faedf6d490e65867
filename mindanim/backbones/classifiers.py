"""Image and video classifiers from transformers folders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from mindanim.backbones.pixels import Preprocessing
from mindanim.backbones.pretrained import READING_FAILED, load_network, unreadable
from mindanim.errors import InputError

if TYPE_CHECKING:
    from mindanim.backbones.weights.find import Weights


class _Classifier:
    def __init__(
        self,
        weights: Weights,
        kind: Any,
        device: torch.device | str,
        dtype: torch.dtype | None,
        config: Any = None,
    ) -> None:
        from transformers import AutoImageProcessor

        self.weights = weights
        self.device = torch.device(device)
        self.dtype = dtype or torch.float32
        self.model = load_network(kind, weights, self.device, self.dtype, config=config)
        make: Any = AutoImageProcessor.from_pretrained
        processor = make(weights.path, local_files_only=True)
        self._preprocess = Preprocessing.of_processor(processor)

    @property
    def labels(self) -> list[str]:
        """Names of the classes, in the order of the logits."""
        names: dict[int, str] = self.model.config.id2label
        return [names[index] for index in range(self.model.config.num_labels)]

    def _pixels(self, images: torch.Tensor) -> torch.Tensor:
        return self._preprocess(images.to(self.device, torch.float32)).to(self.dtype)


class TransformersImageClassifier(_Classifier):
    """An `ImageClassifier`."""

    def __init__(
        self, weights: Weights, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        from transformers import AutoModelForImageClassification

        super().__init__(weights, AutoModelForImageClassification, device, dtype)

    @torch.inference_mode()
    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """(image, channel, height, width) in [0, 1], any size -> (image, class) float32."""
        return torch.as_tensor(self.model(self._pixels(images)).logits.float())


class TransformersVideoClassifier(_Classifier):
    """A `VideoClassifier`.

    VideoMAE encodes positions by sines, which can be computed for any whole number of its tubes (two frames
    each). A network trained on 16 frames can therefore read 8, as in published evaluations.

    Args:
        frames: Frames of the clips to come. The network keeps its own number if it cannot read these, or if
            its positions were learned.
    """

    def __init__(
        self,
        weights: Weights,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        frames: int | None = None,
    ) -> None:
        from transformers import AutoConfig, AutoModelForVideoClassification

        try:
            config = AutoConfig.from_pretrained(weights.path, local_files_only=True)
        except READING_FAILED as error:
            raise unreadable(weights, weights.path, "video classifier", error) from error
        self.trained_frames = int(config.num_frames)
        if frames and config.model_type == "videomae" and frames % config.tubelet_size == 0:
            config.num_frames = frames
        super().__init__(weights, AutoModelForVideoClassification, device, dtype, config)

    @property
    def frames(self) -> int:
        """Frames per clip that the network reads."""
        return int(self.model.config.num_frames)

    @torch.inference_mode()
    def logits(self, clips: torch.Tensor) -> torch.Tensor:
        """(clip, frame, channel, height, width) in [0, 1], any size -> (clip, class) float32."""
        return self.logits_and_features(clips)[0]

    @torch.inference_mode()
    def logits_and_features(self, clips: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits and the inputs of the last layer: (clip, class) and (clip, feature) float32."""
        if clips.shape[1] != self.frames:
            raise InputError(
                f"{self.weights.name} classifies clips of {self.frames} frames, not {clips.shape[1]}.",
                hint=f"Resample the clips to {self.frames} frames.",
            )
        pixels = self._pixels(clips.flatten(0, 1))
        pixels = pixels.reshape(*clips.shape[:2], *pixels.shape[1:])
        seen: list[torch.Tensor] = []
        hook = self.model.classifier.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        try:
            logits = torch.as_tensor(self.model(pixels).logits.float())
        finally:
            hook.remove()
        return logits, seen[0].float()
