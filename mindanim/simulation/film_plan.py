"""The films of a simulated study: their scenes, and how they are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mindanim.config.simulate import SimulateConfig
from mindanim.errors import MissingError
from mindanim.runtime import named_rng
from mindanim.simulation.world import Scene, film, render
from mindanim.studies.base import Segment, clip_prefix
from mindanim.studies.readers.cc2017 import segment_of

_CODEC: Final = "libx264"
# Full chroma resolution and a fine quantiser: colours are preserved within one level of 255 on average. The
# bytes of a film must depend only on its scenes, hence one thread and a constant quantiser instead of a
# constant rate factor, whose macroblock tree is not always reproducible.
_PIXELS, _OPTIONS, _THREADS = "yuv444p", {"qp": "8", "preset": "veryfast"}, 1


@dataclass(frozen=True)
class Shown:
    """A film of the study and its scenes, one per clip.

    Attributes:
        onsets_s: Film time at which each clip starts, if there is rest between them; otherwise clips follow
            one another from time 0.
        duration_s: Length of a film with rests.
        names: The clips' identifiers, if they are not numbered within the segment.
    """

    segment: Segment
    scenes: tuple[Scene, ...]
    onsets_s: tuple[float, ...] | None = None
    duration_s: float = 0.0
    names: tuple[str, ...] | None = None

    def clip_ids(self) -> list[str]:
        """Identifiers as the reader makes them, ``seg01-0007``."""
        if self.names is not None:
            return list(self.names)
        return [f"{clip_prefix(self.segment.name)}-{index:04d}" for index in range(1, len(self.scenes) + 1)]

    def volume_times_s(self, tr_s: float) -> NDArray[np.float64]:
        """Film times of a run's volumes."""
        return self.segment.start_s + np.arange(self.segment.volumes, dtype=np.float64) * tr_s


def plan_films(config: SimulateConfig, purpose: str = "film") -> list[Shown]:
    """All films in order, training first; scenes are numbered across the study.

    Args:
        purpose: Another word gives unrelated films of the same kind.
    """
    groups = (
        ("seg", config.segments, config.clips, config.repeats),
        ("test", config.test_segments, config.test_clips, config.test_repeats),
    )
    shown: list[Shown] = []
    next_scene = 0
    for prefix, films, clips, repeats in groups:
        for number in range(1, films + 1):
            segment = segment_of(f"{prefix}{number}", clips, repeats, config.clip_s, config.tr_s)
            rng = named_rng(config.seed, purpose, segment.name)
            scenes = film(rng, clips, config.clip_s, config.scene_clips)
            shown.append(Shown(segment, tuple(replace(s, scene_id=s.scene_id + next_scene) for s in scenes)))
            next_scene = shown[-1].scenes[-1].scene_id + 1
    return shown


def write_film(path: Path, scenes: Sequence[Scene | None], *, clip_s: float, fps: int, frame_px: int) -> None:
    """Render one clip per scene and write them as one mp4 of square frames; frame k is at exactly k / fps s.

    Args:
        scenes: None stands for rest: a gray clip.
        clip_s: Length of a clip, seconds.

    Raises:
        MissingError: PyAV has no H.264 encoder.
    """
    import av

    if _CODEC not in av.codecs_available:
        raise MissingError(
            "Films cannot be written.",
            f"This build of PyAV has no {_CODEC} encoder.",
            "pip install av",
        )
    times = np.arange(round(clip_s * fps)) / fps
    with av.open(str(path), "w") as container:
        stream = container.add_stream(_CODEC, rate=fps, options=_OPTIONS)
        stream.width = stream.height = frame_px
        stream.pix_fmt = _PIXELS
        stream.codec_context.thread_count = _THREADS
        for scene in scenes:
            for pixels in (
                _rest(len(times), frame_px) if scene is None else _frames(scene, times, clip_s, frame_px)
            ):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


def _frames(scene: Scene, times: NDArray[np.float64], clip_s: float, frame_px: int) -> NDArray[np.uint8]:
    return render(scene, times, clip_s, frame_px).frames


def _rest(frames: int, frame_px: int) -> NDArray[np.uint8]:
    return np.full((frames, frame_px, frame_px, 3), 128, np.uint8)
