"""Clips as files: exact frames for scoring, films and a contact sheet for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mindanim.vocabulary.arrays import Frames

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from PIL.ImageFont import FreeTypeFont, ImageFont


SMALLEST_VIEW = 256
_GAP, _MARGIN, _LABEL = 2, 12, 18
_INK, _PAPER = (32, 32, 36), (255, 255, 255)


def write_clip(
    write: Callable[[str], AbstractContextManager[Path]], clip_id: str, frames: Frames, fps: Fraction
) -> None:
    """Write `view/<clip_id>.mp4`, then `clips/<clip_id>.npy`, which exists only if both are complete.

    Args:
        write: Gives a temporary path for an output's name and moves the file into place, as
            `artifacts.Draft.write` does.
        clip_id: Name of the clip.
        frames: (frame, height, width, rgb) uint8.
        fps: Frames per second.
    """
    with write(f"view/{clip_id}.mp4") as path:
        write_film(path, frames, fps)
    with write(f"clips/{clip_id}.npy") as path, path.open("wb") as file:
        np.save(file, frames, allow_pickle=False)


def write_film(path: Path, frames: Frames, fps: Fraction) -> None:
    """Write an H.264 film for any player, at the true frame rate; small frames are enlarged unsmoothed.

    The same frames give the same bytes.

    Args:
        path: The file.
        frames: (frame, height, width, rgb) uint8.
        fps: Frames per second.
    """
    import av

    large = enlarged(frames)
    height, width = large.shape[1:3]
    options = {"crf": "12", "preset": "medium", "threads": "1"}
    with av.open(path, "w", format="mp4", container_options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        for frame in large:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def enlarged(frames: Frames) -> Frames:
    """Frames (frame, height, width, rgb) enlarged by pixel repetition to at least 256 px, with even sides."""
    factor = -(-SMALLEST_VIEW // min(frames.shape[1:3]))
    large = frames.repeat(factor, axis=1).repeat(factor, axis=2)
    return np.ascontiguousarray(large[:, : large.shape[1] // 2 * 2, : large.shape[2] // 2 * 2])


def contact_sheet(
    path: Path, truth: Sequence[Frames], reconstruction: Sequence[Frames], labels: Sequence[str]
) -> None:
    """Write a PNG with one row per clip: frames of the ground truth left, of the reconstruction right.

    Args:
        path: The file.
        truth: One (frame, height, width, rgb) array per clip.
        reconstruction: The same, in the same shapes.
        labels: One per clip.
    """
    from PIL import Image, ImageDraw, ImageFont

    strips = [(_strip(_shown(t)), _strip(_shown(r))) for t, r in zip(truth, reconstruction, strict=True)]
    height, width = strips[0][0].shape[:2]
    line = height + _LABEL + _MARGIN
    sheet = Image.new("RGB", (2 * width + 3 * _MARGIN, len(strips) * line + _LABEL + 2 * _MARGIN), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    right = width + 2 * _MARGIN
    draw.text((_MARGIN, _MARGIN), "Ground truth", _INK, font)
    draw.text((right, _MARGIN), "Reconstruction", _INK, font)
    for number, (pair, label) in enumerate(zip(strips, labels, strict=True)):
        top = _MARGIN + _LABEL + number * line
        draw.text((_MARGIN, top + 2), _fitted(label, font, 2 * width), _INK, font)
        sheet.paste(Image.fromarray(pair[0]), (_MARGIN, top + _LABEL))
        sheet.paste(Image.fromarray(pair[1]), (right, top + _LABEL))
    sheet.save(path, format="PNG", optimize=True)


def _shown(frames: Frames) -> Frames:
    """Frames resized to about 96 px by repeating or skipping pixels; for viewing, not for scoring."""
    height = frames.shape[1]
    rows = (np.arange(96) * height) // 96
    columns = (np.arange(round(96 * frames.shape[2] / height)) * height) // 96
    return frames[:, rows][:, :, np.minimum(columns, frames.shape[2] - 1)]


def _strip(frames: Frames) -> Frames:
    """(frame, height, width, rgb) -> (height, frames side by side, rgb)."""
    gap = np.full((frames.shape[1], _GAP, 3), 255, np.uint8)
    parts = [part for frame in frames for part in (frame, gap)]
    return np.concatenate(parts[:-1], axis=1)


def _fitted(text: str, font: FreeTypeFont | ImageFont, width: int) -> str:
    text = text[: width // 2]
    while font.getlength(text) > width:
        text = text[:-2].rstrip() + "…"
    return text
