"""Published results on CC2017, to show next to a user's own with a warning."""

from __future__ import annotations

from typing import Any

WARNING = (
    "Published means over subjects, as later papers quote them. The same name hides different definitions, "
    "resolutions and clip sets from paper to paper: these rows are for orientation, not for comparison."
)

_COLUMNS = (
    "2way.video",
    "50way.video",
    "vifi",
    "ssim.rgb7",
    "psnr.db",
    "hue.cosine",
    "clip_pcc.gated",
    "epe.farneback512",
)
_ROWS: tuple[tuple[str, int, tuple[float | None, ...]], ...] = (
    ("MinD-Video", 2023, (0.848, 0.197, 0.593, 0.177, 8.87, 0.768, 0.409, 6.125)),
    ("Mind-Animator", 2025, (0.830, 0.186, 0.608, 0.321, 9.220, 0.786, 0.425, 5.422)),
    ("NeuroClips", 2024, (0.834, 0.220, 0.602, 0.390, 9.211, 0.812, 0.513, 4.833)),
    ("NEURONS", 2025, (0.853, 0.246, 0.597, 0.285, None, 0.830, 0.482, 4.827)),
    ("SemVideo", 2026, (0.865, 0.264, 0.608, 0.321, None, 0.849, 0.526, 4.788)),
)


def quoted(dataset: str) -> list[dict[str, Any]]:
    """Rows of `quoted` in metrics.json: method, year, scores by identifier, warning; none for other data."""
    if dataset != "cc2017":
        return []
    return [
        {
            "method": method,
            "year": year,
            "scores": dict(zip(_COLUMNS, values, strict=True)),
            "warning": WARNING,
        }
        for method, year, values in _ROWS
    ]
