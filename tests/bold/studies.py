"""Small studies of other formats than CC2017's, as a reader would present them to the stage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from mindanim.studies import Facts, Finding, Segment
from mindanim.vocabulary.clips import Clip
from mindanim.vocabulary.runs import Run
from tests.bold.test_nuisance import table, write

SHAPE, CLIPS, TR_S = (7, 8, 6), 50, 2.0
AFFINE = np.array([[2.0, 0, 0, -6], [0, 2, 0, -90], [0, 0, 2, 0], [0, 0, 0, 1]])
SEGMENTS = {"a": "train", "b": "train", "c": "train", "t": "test"}


@dataclass(frozen=True)
class Ready:
    """A study whose runs and clips are known already."""

    root: Path
    found: list[Run]
    atlas_file: Path | None = None

    @property
    def facts(self) -> Facts:
        segments = tuple(
            Segment(name, split, CLIPS, 2, 0.0, CLIPS)  # type: ignore[arg-type]
            for name, split in SEGMENTS.items()
        )
        return Facts("ready", "A study", "none", (1,), TR_S, TR_S, (0.0,), segments, "none", "none", "here")

    def runs(self, subject: int) -> list[Run]:
        return self.found

    def clips(self) -> list[Clip]:
        return [
            Clip(f"{name}-{index:04d}", split, name, name, index, TR_S * (index - 1), TR_S)  # type: ignore[arg-type]
            for name, split in SEGMENTS.items()
            for index in range(1, CLIPS + 1)
        ]

    def check(self, subject: int) -> list[Finding]:
        return []

    def atlas(self) -> Path | None:
        return self.atlas_file


def planted(rng: np.random.Generator, shared: np.ndarray) -> np.ndarray:
    """``(i, j, k, volume)``: the back of the brain, low j, responds to the film."""
    weight = np.linspace(1.5, 0, SHAPE[1])[None, :, None, None]
    return 1000 + 20 * (weight * shared + rng.standard_normal((*SHAPE, CLIPS)))


def write_volumes(root: Path, *, confounds: bool = True) -> Ready:
    """Two runs per film as fMRIPrep leaves them: compressed NIfTI, a mask and confounds per run."""
    rng, runs = np.random.default_rng(0), []
    for name, split in SEGMENTS.items():
        shared = rng.standard_normal((*SHAPE, CLIPS))
        for repeat in (1, 2):
            stem = f"sub-1_task-{name}_run-{repeat}"
            motion = table(CLIPS, seed=len(runs))
            signal = planted(rng, shared)
            if confounds:
                signal = signal + 400 * motion.trans_x.to_numpy()
            mask = np.linalg.norm(np.argwhere(np.ones(SHAPE)) - [3, 3.5, 2.5], axis=1).reshape(SHAPE) < 4
            mask &= rng.random(SHAPE) < 0.98
            signal[3, 2, 2] = 7.0
            paths = [root / f"{stem}_space-MNI152_{kind}.nii.gz" for kind in ("desc-preproc_bold", "mask")]
            for path, values in zip(paths, (signal.astype(np.float32), mask.astype(np.uint8)), strict=True):
                image = nib.Nifti1Image(values, AFFINE)
                image.header.set_xyzt_units("mm", "sec")
                if values.ndim == 4:
                    image.header["pixdim"][4] = TR_S
                nib.save(image, path)
            beside = write(root, motion, f"{stem}_desc-confounds_timeseries.tsv") if confounds else None
            runs.append(
                Run(1, name, split, name, repeat, paths[0], 0.0, TR_S, CLIPS, paths[1], confounds=beside)  # type: ignore[arg-type]
            )
    return Ready(root, runs)
