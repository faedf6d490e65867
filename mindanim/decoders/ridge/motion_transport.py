"""A linear motion decoder: ridge regression of the latents' optical flow, which then moves the first frame.

How a latent changes depends on where the object is, its colour, its background *and* its motion: a product
that a linear decoder cannot form. The flow depends on the motion alone, can be decoded linearly, and yields
the change when it is applied to the first frame.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mindanim.config.train import TrainMotionConfig
from mindanim.decoders.base import Shapes, register
from mindanim.decoders.decoding_scores import pooled_correlation
from mindanim.decoders.fit_result import ClosedForm, Fitted
from mindanim.decoders.models.motion import Motion
from mindanim.decoders.ridge.fit_ridge import Ridge, report_ridge
from mindanim.decoders.ridge.solver import LinearMap
from mindanim.decoders.ridge.targets import Target
from mindanim.decoders.training_examples import MotionExamples
from mindanim.decoders.validation_split import Split

GAINS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
"""Candidate factors on the decoded motion field."""
_GAIN_CLIPS = 512
"""Clips, evenly spread, on which the gain is chosen."""
_CHUNK = 64


def motion_field(latents: Tensor, grid: int, smoothing: float) -> Tensor:
    """The mean velocity in each part of the frame: Lucas and Kanade's least squares over all channels and
    frame pairs.

    latents ``(clip, frame, channel, height, width)``, averaged to at most ``grid`` cells per side, on which a
    step should move things by about a cell or less.

    Args:
        smoothing: Damping relative to the mean squared gradient of the clip.

    Returns:
        ``(clip, 2, row, column) float32`` in frame sizes per frame step, x right and y down.
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

    Each result samples the first frame itself, at ``step`` times the field upstream, so nothing blurs further
    from step to step.

    Returns:
        ``(clip, step, channel, height, width)``.
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


@register("transport")
class MotionTransport(Motion, ClosedForm):
    """Ridge from responses to the motion field, by which the first frame is carried along at constant
    velocity."""

    def __init__(
        self, shapes: Shapes, *, grid: tuple[int, int] = (16, 16), rank: int | None = None, gain: float = 1.0
    ) -> None:
        super().__init__(shapes)
        self.grid, self.gain = tuple(grid), gain
        self.field_map = LinearMap(shapes.features, 2 * grid[0] * grid[1], rank)

    @classmethod
    def fit(cls, config: TrainMotionConfig, examples: MotionExamples, shapes: Shapes, split: Split) -> Fitted:
        latents = examples.latents.reshape(-1, *shapes.latents)
        fields = motion_field(latents, config.flow_grid, config.flow_smoothing)
        found = Ridge(examples.responses, split, config).regress("motion_field", Target.of(fields.flatten(1)))
        predicted = found.predicted().view_as(fields)

        def follow(rows: Tensor, first: Tensor, gain: float) -> Tensor:
            moved = carry(first.reshape(-1, *shapes.latent), gain * predicted[rows], shapes.frames - 1)
            return moved.flatten(2)

        def difference_r(gain: float) -> float:
            rows = examples.fit[:: -(-len(examples.fit) // _GAIN_CLIPS)]
            true, first = examples.latents[rows].float(), examples.decoded[rows]
            return pooled_correlation(follow(rows, first, gain) - first[:, None], true[:, 1:] - true[:, :1])

        gain = config.flow_gain or max(GAINS, key=difference_r)
        spec = {
            "decoder": config.decoder,
            "grid": tuple(fields.shape[2:]),
            "rank": found.components.rank,
            "gain": gain,
        }
        decoder = cls.from_spec(spec, shapes)
        found.fill(decoder.field_map)

        def move(rows: Tensor, first: Tensor) -> Tensor:
            return follow(rows, first, gain)

        figures = examples.judge(move) | {"p": examples.response_p(move)}
        figures["field_r"] = pooled_correlation(predicted[examples.validation], fields[examples.validation])
        fitted = report_ridge(decoder, [found], found.losses, figures)
        fitted.facts["gain"] = gain
        return fitted

    @classmethod
    def method(cls, config: TrainMotionConfig) -> str:
        return (
            "Motion was decoded by ridge regression of the latents' optical flow (Lucas and Kanade 1981, all "
            "channels and frame pairs of a clip together) on the responses; the decoded flow moves the "
            "first frame."
        )

    def field(self, responses: Tensor) -> Tensor:
        """Flattened responses to the motion field ``(clip, 2, row, column)`` in frame sizes per step, gain
        included."""
        return self.gain * torch.reshape(self.field_map(responses), (-1, 2, *self.grid))

    def follow(self, responses: Tensor, first: Tensor) -> Tensor:
        still = first.reshape(-1, *self.shapes.latent)
        return carry(still, self.field(responses), self.shapes.frames - 1).flatten(2)
