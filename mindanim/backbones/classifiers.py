"""Image and video classifiers from transformers folders, fed as the folder's own processor says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from mindanim.backbones.pretrained import load_configuration, load_network
from mindanim.backbones.processors import load_preprocess
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
        config: Any,
    ) -> None:
        _check_classes(weights, config)
        self.weights = weights
        self.device = torch.device(device)
        self.dtype = dtype or torch.float32
        self.model = load_network(kind, weights, self.device, self.dtype, config=config)
        self._preprocess = load_preprocess(weights)

    @property
    def labels(self) -> list[str]:
        """Names of the classes, in the order of the logits."""
        names: dict[int, str] = self.model.config.id2label or {}
        return [str(names.get(index, index)) for index in range(self.model.config.num_labels)]

    def _pixels(self, images: torch.Tensor) -> torch.Tensor:
        pixels = self._preprocess(images.to(self.device, torch.float32))
        return pixels.to(self.dtype) if pixels.is_floating_point() else pixels

    def _answer(self, pixels: torch.Tensor) -> torch.Tensor:
        try:
            return torch.as_tensor(self.model(pixels).logits.float())
        except (TypeError, ValueError) as error:
            # The networks' own checks, such as of the size that their positions were learned for.
            raise InputError(
                f"{self.weights.name} cannot read the {tuple(pixels.shape)} input that its processor makes.",
                why=" ".join(str(error).split())[:300],
                hint="Use a model whose preprocessor_config.json resizes pictures to the network's size.",
            ) from error


class TransformersImageClassifier(_Classifier):
    """An `ImageClassifier`."""

    def __init__(
        self, weights: Weights, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        from transformers import AutoModelForImageClassification

        config = load_configuration(weights)
        super().__init__(weights, AutoModelForImageClassification, device, dtype, config)

    @torch.inference_mode()
    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """(image, channel, height, width) in [0, 1], any size -> (image, class) float32."""
        return self._answer(self._pixels(images))


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
        from transformers import AutoModelForVideoClassification

        config = load_configuration(weights)
        # V-JEPA 2 calls them otherwise than the rest.
        self._length = next((name for name in ("num_frames", "frames_per_clip") if hasattr(config, name)), "")
        if not self._length:
            raise InputError(
                f"{weights.path / 'config.json'} does not state how many frames a clip has.",
                why=f"Its model_type is {config.model_type}.",
                hint="Use a VideoMAE, TimeSformer, ViViT or V-JEPA 2 with a classification head.",
            )
        self.trained_frames = int(getattr(config, self._length))
        if frames and config.model_type == "videomae" and frames % config.tubelet_size == 0:
            config.num_frames = frames
        super().__init__(weights, AutoModelForVideoClassification, device, dtype, config)

    @property
    def frames(self) -> int:
        """Frames per clip that the network reads."""
        return int(getattr(self.model.config, self._length))

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
            logits = self._answer(pixels)
        finally:
            hook.remove()
        return logits, seen[0].float()


def _check_classes(weights: Weights, config: Any) -> None:
    """Refuse a network that estimates a number or gives features."""
    regression = config.problem_type == "regression"
    if regression or config.num_labels < 2:
        stated = "problem_type regression" if regression else f"{config.num_labels} class(es)"
        raise InputError(
            f"{weights.name} is not a classifier.",
            why=f"{weights.path / 'config.json'} states {stated}.",
            hint=f"Use another {weights.kind.replace('_', ' ')}, with two classes or more.",
        )
