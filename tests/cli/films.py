"""Films for tests of commands."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np


def write_film(path: Path, seconds: int, fps: int = 8, size: int = 64) -> None:
    """A film of moving stripes whose colour changes every 4 s."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        colours = np.random.default_rng(len(path.name) + seconds).integers(0, 255, (seconds // 4 + 1, 3))
        for number in range(seconds * fps):
            frame = np.full((size, size, 3), colours[number // (4 * fps)], np.uint8)
            frame[:, (number * 3) % size :: 16] = 255 - colours[number // (4 * fps)]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
