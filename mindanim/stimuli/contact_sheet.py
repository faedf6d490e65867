"""A contact sheet of clips with their captions, for looking at what was encoded."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def draw_sheet(path: Path, clips: Sequence[tuple[str, str, NDArray[np.uint8]]], title: str) -> None:
    """Write a PNG with one row of frames per clip.

    Args:
        clips: clip_id, caption and frames (frame, height, width, rgb) uint8.
    """
    from matplotlib.figure import Figure

    frames = len(clips[0][2])
    figure = Figure(figsize=(1.15 * frames + 3.4, 1.2 * len(clips) + 0.5), layout="constrained", dpi=110)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    grid = figure.subplots(
        len(clips), frames + 1, squeeze=False, gridspec_kw={"width_ratios": [3.0] + [1.0] * frames}
    )
    for row, (clip_id, caption, pictures) in zip(grid, clips, strict=True):
        text = f"{clip_id}\n" + textwrap.fill(caption, 34, max_lines=4, placeholder=" ...")
        row[0].text(0, 0.5, text, fontsize=8, va="center", transform=row[0].transAxes)
        for axis, picture in zip(row[1:], pictures, strict=True):
            axis.imshow(picture, interpolation="nearest")
        for axis in row:
            axis.set_axis_off()
    figure.savefig(path, format="png")
