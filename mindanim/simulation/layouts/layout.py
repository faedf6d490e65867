"""What a layout defines: which films are shown when, and the files of films and runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mindanim.config.simulate import SimulateConfig
from mindanim.runtime import named_rng
from mindanim.simulation.cortex import Cortex, noiseless, record
from mindanim.simulation.drive import Drive, watch
from mindanim.simulation.film_plan import Shown, plan_films, write_film
from mindanim.simulation.regions import Sheet

Array = NDArray[np.float32]

ATLAS, CAPTIONS = "atlas.dlabel.nii", "captions.tsv"


class Layout(ABC):
    """How one study arranges films and runs below its folder ``root``."""

    atlas: str | None = ATLAS
    """File with the planted regions; None if the responses name them."""

    def __init__(self, root: Path, config: SimulateConfig, sheet: Sheet) -> None:
        self.root, self.config, self.sheet = root, config, sheet

    def plan(self, purpose: str = "film") -> list[Shown]:
        """All films in order, training first."""
        return plan_films(self.config, purpose)

    def watch(self, item: Shown) -> Drive:
        """The neural drive of a film."""
        return watch(item.scenes, self.config.clip_s, frozen=self.config.no_motion)

    def signal(self, cortex: Cortex, item: Shown, drive: Drive) -> Array:
        """Noise-free response ``(volume, vertex)`` to a film, before it is standardised."""
        return noiseless(cortex, drive, item.volume_times_s(self.config.tr_s))

    def subject(self, number: int) -> int:
        """The study's number for its ``number``-th subject."""
        return number

    def noisy(self, subject: int, cortex: Cortex, item: Shown, repeat: int, signal: Array) -> Array:
        """One recorded run ``(volume, vertex)``."""
        rng = named_rng(self.config.seed, "noise", str(subject), item.segment.name, str(repeat))
        return record(signal, cortex, rng, self.config.tr_s)

    def write_film(self, item: Shown) -> None:
        """Write the film file."""
        config = self.config
        path = self.film(item)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_film(path, item.scenes, clip_s=config.clip_s, fps=config.fps, frame_px=config.frame_px)

    @abstractmethod
    def film(self, item: Shown) -> Path:
        """Path of the film."""

    @abstractmethod
    def write_runs(self, subject: int, cortex: Cortex, item: Shown, signal: Array) -> None:
        """Write all runs of one subject (counted from 1) and one film, from its standardised signal."""

    def finish(self, shown: Sequence[Shown]) -> None:  # noqa: B027 - most layouts have nothing to add
        """Write the files that need all films and runs to exist."""

    def facts(self, shown: Sequence[Shown]) -> dict[str, Any]:
        """Facts that this layout's reader needs in addition to the common ones."""
        clips: dict[str, dict[str, int]] = {"train": {}, "test": {}}
        for item in shown:
            clips[item.segment.split][item.segment.name] = item.segment.clips
        return {"segments": clips["train"], "test": clips["test"]}
