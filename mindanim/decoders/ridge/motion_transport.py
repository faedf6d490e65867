"""Linear motion decoders: ridge on the latents themselves, and ridge on their optical flow, which carries
the first frame along.

How a latent changes depends on where the object is, on its colour, on what lies behind it *and* on its
motion: a product that a linear decoder cannot form. The flow depends on the motion alone, is decodable
linearly, and gives the change back when it is applied to the first frame.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from mindanim.decoders.base import Shapes
from mindanim.decoders.models.motion import Motion
from mindanim.decoders.ridge.solver import LinearMap

_CHUNK = 64


def motion_field(latents: Tensor, grid: int, smoothing: float) -> Tensor:
    """The mean velocity in each part of the frame: Lucas and Kanade's least squares over all channels and
    frame pairs.

    latents ``(clip, frame, channel, height, width)``, averaged to at most ``grid`` cells per side, on which
    a step should move things by about a cell or less. smoothing: damping relative to the mean squared
    gradient of the clip. Returns ``(clip, 2, row, column) float32`` in frame sizes per frame step, x right
    and y down.
    """
    return torch.cat([_motion_field(part.float(), grid, smoothing) for part in torch.split(latents, _CHUNK)])


def _motion_field(latents: Tensor, grid: int, smoothing: float) -> Tensor:
    clips, frames, channels = latents.shape[:3]
    height, width = (min(grid, size) for size in latents.shape[-2:])
    small = functional.adaptive_avg_pool2d(latents.flatten(0, 1), (height, width))
    small = small.reshape(clips, frames, channels, height, width)
    middle, change = (small[:, 1:] + small[:, :-1]) / 2, small[:, 1:] - small[:, :-1]
    padded = functional.pad(middle.flatten(0, 1), (1, 1, 1, 1), mode="replicate")
    padded = padded.reshape(clips, frames - 1, channels, height + 2, width + 2)
    along_x = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    along_y = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    xx, xy, yy, xt, yt = (
        _neighbourhood((one * other).mean((1, 2)))
        for one, other in (
            (along_x, along_x), (along_x, along_y), (along_y, along_y), (along_x, change), (along_y, change),
        )
    )  # fmt: skip
    damping = smoothing * (xx + yy).mean((1, 2), keepdim=True) / 2 + 1e-12
    xx, yy = xx + damping, yy + damping
    determinant = xx * yy - xy * xy
    x = (xy * yt - yy * xt) / determinant
    y = (xy * xt - xx * yt) / determinant
    return torch.stack([x / width, y / height], dim=1)


def _neighbourhood(maps: Tensor) -> Tensor:
    """Mean over 3 x 3 cells of ``(clip, row, column)``; outside the frame counts as 0."""
    return functional.avg_pool2d(maps[:, None], 3, stride=1, padding=1)[:, 0]


def carry(first: Tensor, field: Tensor, steps: int) -> Tensor:
    """Move ``first (clip, channel, height, width)`` along ``field (clip, 2, row, column)`` for 1..``steps``
    frame steps.

    Each result samples the first frame itself, at ``step`` times the field upstream, so nothing blurs
    further from step to step. Returns ``(clip, step, channel, height, width)``.
    """
    height, width = first.shape[-2:]
    flow = functional.interpolate(field, (height, width), mode="bilinear", align_corners=False)
    y, x = (
        (torch.arange(size, device=first.device, dtype=first.dtype) + 0.5) / size * 2 - 1
        for size in (height, width)
    )
    at = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1)
    shift = 2 * flow.movedim(1, -1)  # grid coordinates span 2 over the frame
    moved = [
        functional.grid_sample(first, at - step * shift, padding_mode="border", align_corners=False)
        for step in range(1, steps + 1)
    ]
    return torch.stack(moved, dim=1)


class MotionTransport(Motion):
    """Ridge from responses to the motion field, by which the first frame is carried along at constant
    velocity."""

    def __init__(
        self, shapes: Shapes, *, grid: tuple[int, int] = (16, 16), rank: int | None = None, gain: float = 1.0
    ) -> None:
        super().__init__(shapes)
        self.grid, self.gain = tuple(grid), gain
        self.field_map = LinearMap(shapes.features, 2 * grid[0] * grid[1], rank)

    def field(self, responses: Tensor) -> Tensor:
        """Flattened responses to the motion field ``(clip, 2, row, column)`` in frame sizes per step, gain
        included."""
        return self.gain * torch.reshape(self.field_map(responses), (-1, 2, *self.grid))

    def follow(self, responses: Tensor, first: Tensor) -> Tensor:
        still = first.reshape(-1, *self.shapes.latent)
        return carry(still, self.field(responses), self.shapes.frames - 1).flatten(2)


class MotionRidge(Motion):
    """The linear baseline: ridge on the following frames, or on their differences to the first, all at
    once."""

    def __init__(
        self,
        shapes: Shapes,
        *,
        target: Literal["frame", "difference"] = "frame",
        difference_gain: float = 1.0,
        rank: int | None = None,
    ) -> None:
        super().__init__(shapes)
        self.target, self.gain = target, difference_gain
        self.later_map = LinearMap(shapes.features, (shapes.frames - 1) * shapes.latent_size, rank)

    def place(self, decoded: Tensor, first: Tensor) -> Tensor:
        """The regression's output ``(clip, (frame - 1) * latent)`` as frames ``(clip, frame - 1,
        latent)``."""
        later = decoded.reshape(len(decoded), self.shapes.frames - 1, -1)
        return first[:, None] + self.gain * later if self.target == "difference" else later

    def follow(self, responses: Tensor, first: Tensor) -> Tensor:
        return self.place(self.later_map(responses), first)
