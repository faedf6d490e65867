"""RAFT optical flow (torchvision's networks) from a checkpoint on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mindanim.backbones.pretrained import READING_FAILED
from mindanim.errors import InputError

_FACTOR = 8


class Raft:
    """A `FlowNetwork`.

    Args:
        file: A state dictionary of torchvision's `raft_large` or `raft_small`; its parameter names tell
            which.

    Raises:
        InputError: It is neither.
    """

    def __init__(self, file: Path, device: torch.device | str = "cpu") -> None:
        from torchvision.models.optical_flow import raft_large, raft_small

        self.device = torch.device(device)
        try:
            state: Any = torch.load(file, map_location="cpu", weights_only=True)
            # Only the large network predicts its upsampling mask.
            large = any(name.startswith("mask_predictor.") for name in state)
            self.model = raft_large(weights=None) if large else raft_small(weights=None)
            self.model.load_state_dict(state)
        except READING_FAILED as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            hint = "Name a state dictionary of raft_small or raft_large, as torchvision publishes them."
            raise InputError(
                f"{file} is not a checkpoint of torchvision's RAFT.", why=reason, hint=hint
            ) from error
        self.model = self.model.to(self.device).eval().requires_grad_(False)

    @torch.inference_mode()
    def flow(self, frames: torch.Tensor) -> torch.Tensor:
        """(frame, channel, height, width) in [0, 1] -> (step, 2, height, width) float32 px, x then y.

        Sides are padded to multiples of 8 by repeating the border.
        """
        height, width = frames.shape[-2:]
        rim = (0, -width % _FACTOR, 0, -height % _FACTOR)
        shown = torch.nn.functional.pad(frames.to(self.device) * 2 - 1, rim, mode="replicate")
        flow: torch.Tensor = self.model(shown[:-1], shown[1:])[-1]
        return flow[..., :height, :width].float()
