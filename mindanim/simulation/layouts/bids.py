"""BIDS: raw events and stimuli, and volumes with mask, sidecar and confounds as written by fMRIPrep."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from mindanim.runtime import named_rng
from mindanim.simulation.cortex import Cortex
from mindanim.simulation.film_plan import Shown, plan_films
from mindanim.simulation.layouts.layout import Array, Layout
from mindanim.simulation.regions import REGIONS
from mindanim.simulation.truth import write_table
from mindanim.vocabulary.limits import TAIL_S

_SPACE = "MNI152NLin2009cAsym"
_WAIT_S = 4.0
"""Time from a run's first volume to the onset of its film, seconds."""
_VOXEL_MM = 3.0
_MOTION = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")


class BidsLayout(Layout):
    """``sub-01/func``, ``stimuli`` and ``derivatives/fmriprep/sub-01/func``."""

    atlas = "atlas_dseg.nii.gz"

    def plan(self, purpose: str = "film") -> list[Shown]:
        """Films as in CC2017, but every run starts shortly before its film."""
        config = self.config
        return [
            replace(
                item,
                segment=replace(
                    item.segment,
                    start_s=-_WAIT_S,
                    volumes=round((len(item.scenes) * config.clip_s + TAIL_S + _WAIT_S) / config.tr_s),
                ),
            )
            for item in plan_films(config, purpose)
        ]

    def film(self, item: Shown) -> Path:
        """``stimuli/seg1.mp4``."""
        return self.root / "stimuli" / f"{item.segment.name}.mp4"

    def write_runs(self, subject: int, cortex: Cortex, item: Shown, signal: Array) -> None:
        """Write the events of the raw runs, and the preprocessed volumes with their companion files."""
        label = f"sub-{subject:02d}"
        raw, derived = (base / label / "func" for base in (self.root, self.root / "derivatives" / "fmriprep"))
        for folder in (raw, derived):
            folder.mkdir(parents=True, exist_ok=True)
        shape, voxels = self._grid()
        film = self.film(item).name
        for repeat in range(1, item.segment.repeats + 1):
            stem = f"{label}_task-{item.segment.name}_run-{repeat}"
            event = {
                "onset": f"{_WAIT_S:g}",
                "duration": f"{len(item.scenes) * self.config.clip_s:g}",
                "trial_type": "film",
                "stim_file": film,
                "split": item.segment.split,
            }
            write_table(raw / f"{stem}_events.tsv", [event])
            data = self.noisy(subject, cortex, item, repeat, signal)
            series = np.zeros((*shape, len(data)), np.float32)
            series[voxels] = data.T
            space = f"{stem}_space-{_SPACE}"
            self._write(derived / f"{space}_desc-preproc_bold.nii.gz", series)
            mask = np.zeros(shape, np.uint8)
            mask[voxels] = 1
            self._write(derived / f"{space}_desc-brain_mask.nii.gz", mask)
            sidecar = {
                "RepetitionTime": self.config.tr_s,
                "TaskName": item.segment.name,
                "SkullStripped": False,
            }
            _write_json(derived / f"{space}_desc-preproc_bold.json", sidecar)
            rng = named_rng(self.config.seed, "motion", str(subject), item.segment.name, str(repeat))
            write_table(derived / f"{stem}_desc-confounds_timeseries.tsv", _confounds(rng, data))
            _write_json(derived / f"{stem}_desc-confounds_timeseries.json", {})

    def finish(self, shown: Sequence[Shown]) -> None:
        """Write the descriptions of the dataset and its derivatives, and the atlas."""
        about = {"Name": "Simulated study", "BIDSVersion": "1.10.0", "License": "MIT, as mindanim"}
        _write_json(self.root / "dataset_description.json", about | {"DatasetType": "raw"})
        made = {"DatasetType": "derivative", "GeneratedBy": [{"Name": "mindanim simulate"}]}
        _write_json(self.root / "derivatives" / "fmriprep" / "dataset_description.json", about | made)
        shape, voxels = self._grid()
        names = [region.name for region in REGIONS if region.name]
        keys = {name: key for key, name in enumerate(names, start=1)}
        labels = np.zeros(shape, np.int16)
        labels[voxels] = [keys.get(label[2:].removesuffix("_ROI"), 0) for label in self.sheet.labels()]
        assert self.atlas is not None
        self._write(self.root / self.atlas, labels)
        rows = [{"index": key, "name": name} for name, key in keys.items()]
        write_table(self.root / "atlas_dseg.tsv", rows)

    def _grid(self) -> tuple[tuple[int, int, int], tuple[NDArray[np.intp], ...]]:
        """A box with the vertices as voxels in file order, surrounded by one layer of air."""
        count = len(self.sheet.vertex)
        side = int(np.ceil(count ** (1 / 3)))
        inner = np.unravel_index(np.arange(count), (side, side, side), order="F")
        return (side + 2, side + 2, side + 2), tuple(index + 1 for index in inner)

    def _write(self, path: Path, data: NDArray[Any]) -> None:
        """Write a NIfTI file in MNI space."""
        affine = np.diag([_VOXEL_MM] * 3 + [1.0])
        affine[:3, 3] = -_VOXEL_MM * np.array(data.shape[:3]) / 2
        image = nib.Nifti1Image(data, affine)  # type: ignore[no-untyped-call]
        if data.ndim == 4:
            image.header.set_zooms((*[_VOXEL_MM] * 3, self.config.tr_s))  # type: ignore[no-untyped-call]
        image.header.set_xyzt_units("mm", "sec")  # type: ignore[no-untyped-call]
        for name in ("set_sform", "set_qform"):
            getattr(image, name)(affine, code=4)
        image.to_filename(path)


def _confounds(rng: np.random.Generator, data: Array) -> list[dict[str, str]]:
    """Head motion as a slow random walk, its derivatives and squares, and the signals of two tissues."""
    steps = rng.normal(0, 0.01, (len(data), len(_MOTION)))
    columns: dict[str, NDArray[Any]] = {}
    for name, series in zip(_MOTION, np.cumsum(steps, axis=0).T, strict=True):
        change = np.diff(series, prepend=np.nan)
        columns |= {name: series, f"{name}_derivative1": change}
        columns |= {f"{name}_power2": series**2, f"{name}_derivative1_power2": change**2}
    for name in ("csf", "white_matter", "global_signal"):
        columns[name] = data.mean(1) + rng.normal(0, 1, len(data))
    moved = np.abs(steps).sum(1)
    moved[0] = np.nan
    columns["framewise_displacement"] = moved
    rows = zip(*columns.values(), strict=True)
    return [
        {name: "n/a" if np.isnan(value) else f"{value:.6g}" for name, value in zip(columns, row, strict=True)}
        for row in rows
    ]


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
