"""ViFi-CLIP from the user's own checkpoint: the image tower of a CLIP model fine-tuned on videos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mindanim.backbones.pixels import Preprocessing
from mindanim.backbones.pretrained import READING_FAILED
from mindanim.errors import InputError

_TOWER = "image_encoder."
_HINT = "Name a checkpoint as its authors publish it (k400, ViT-B/16)."
_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_HEAD = 64
"""Features per attention head in all ViT towers of CLIP."""


class ViFiClip:
    """A `VideoEmbedder`: the mean over frames of the image tower's embeddings.

    Args:
        file: A checkpoint as published by ViFi-CLIP: a dictionary whose `model` contains `image_encoder.*`
            (names may start with `module.`), a vision transformer in OpenAI's names. Read without executing
            code.

    Raises:
        InputError: The file is not such a checkpoint, or lacks parameters.
    """

    def __init__(self, file: Path, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        state = _tower(file)
        self.tower = _build(file, state).to(self.device).eval().requires_grad_(False)
        side = self.tower.image_size[0]
        self._preprocess = Preprocessing(side, (side, side), _MEAN, _STD, "bicubic")

    @torch.inference_mode()
    def embed_clips(self, clips: torch.Tensor) -> torch.Tensor:
        """(clip, frame, channel, height, width) in [0, 1], any size -> (clip, feature) float32, length 1."""
        count = len(clips)
        pixels = self._preprocess(clips.flatten(0, 1).to(self.device, torch.float32))
        embedded = self.tower(pixels).float().reshape(count, -1, self.tower.output_dim).mean(dim=1)
        return torch.nn.functional.normalize(embedded, dim=-1)


def _tower(file: Path) -> dict[str, torch.Tensor]:
    try:
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
        parameters = content.get("model", content)
        names = {name.removeprefix("module."): name for name in parameters}
        found = {
            name.removeprefix(_TOWER): parameters[whole].float()
            for name, whole in names.items()
            if name.startswith(_TOWER)
        }
    except READING_FAILED as error:
        reason = f"{type(error).__name__}: {str(error)[:300]}"
        raise InputError(f"{file} is not a readable checkpoint.", why=reason, hint=_HINT) from error
    if "conv1.weight" not in found:
        raise InputError(
            f"{file} holds no image tower of ViFi-CLIP.",
            why=f"No parameter is called {_TOWER}conv1.weight.",
            hint=_HINT,
        )
    return found


def _build(file: Path, state: dict[str, torch.Tensor]) -> Any:
    from open_clip.transformer import QuickGELU, VisionTransformer

    try:
        width, _, patch, _ = state["conv1.weight"].shape
        side = patch * round((len(state["positional_embedding"]) - 1) ** 0.5)
        layers = len({name.split(".")[2] for name in state if name.startswith("transformer.resblocks.")})
        tower = VisionTransformer(
            image_size=side,
            patch_size=patch,
            width=width,
            layers=layers,
            heads=max(1, width // _HEAD),
            mlp_ratio=state["transformer.resblocks.0.mlp.c_fc.weight"].shape[0] / width,
            output_dim=state["proj"].shape[1],
            act_layer=QuickGELU,
        )
        tower.load_state_dict(state)
    except (RuntimeError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"{file} does not hold a whole vision transformer.", why=reason) from error
    return tower
