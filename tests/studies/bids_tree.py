"""A small BIDS dataset with fMRIPrep's derivatives, and what people do to the names and files in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from mindanim.studies import Study, open_study

SHAPE, VOLUMES, TR_S = (2, 2, 2), 40, 2.0
MNI = "space-MNI152NLin2009cAsym"
CLIPS = 15
ROWS = [(2 * clip, 2, "film.mp4", 2 * clip) for clip in range(CLIPS)]
Rows = Sequence[tuple[float, float, str, float]]


def write_nifti(
    path: Path, data: np.ndarray, tr_s: float = TR_S, unit: str = "sec", start: float = 0.0
) -> None:
    image = nib.Nifti1Image(data, np.diag([2.0, 2, 2, 1]))
    image.header.set_xyzt_units("mm", unit)
    if data.ndim == 4:
        image.header["pixdim"][4] = tr_s
        image.header["toffset"] = start
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)


def write_bold(
    path: Path, seed: int = 0, *, volumes: int = VOLUMES, mask: bool = True, **header: Any
) -> Path:
    """A run with the mask that fMRIPrep writes next to it."""
    rng = np.random.default_rng(seed)
    write_nifti(path, rng.standard_normal((*SHAPE, volumes)).astype(np.float32), **header)
    if mask:
        parts = path.name.removesuffix("_bold.nii.gz").split("_")
        stem = "_".join(part for part in parts if not part.startswith("desc-"))
        write_nifti(path.with_name(f"{stem}_desc-brain_mask.nii.gz"), np.ones(SHAPE, np.uint8))
    return path


def write_events(path: Path, rows: Rows = ROWS, *, end: str = "\n", start: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["onset\tduration\tstim_file\tstim_start", *("\t".join(map(str, row)) for row in rows)]
    path.write_bytes((start + end.join(lines) + end).encode())
    return path


def write_study(
    root: Path,
    *,
    subjects: Sequence[str] = ("01",),
    sidecar: dict[str, Any] | None = None,
    run: str = "run-{}",
    **header: Any,
) -> Path:
    """Runs 1 and 2 show film.mp4, run 3 shows test.mp4; returns fMRIPrep's folder of the last subject."""
    stimuli = root / "stimuli"
    stimuli.mkdir(parents=True)
    (stimuli / "film.mp4").touch(), (stimuli / "test.mp4").touch()
    func = root
    for place, label in enumerate(subjects):
        func = root / f"derivatives/fmriprep/sub-{label}/func"
        for number in (1, 2, 3):
            stem = f"sub-{label}_task-film_{run.format(number)}"
            path = write_bold(func / f"{stem}_{MNI}_desc-preproc_bold.nii.gz", 10 * place + number, **header)
            write_sidecar(path, {"RepetitionTime": TR_S} if sidecar is None else sidecar)
            rows = [(a, b, "test.mp4" if number == 3 else c, d) for a, b, c, d in ROWS]
            write_events(root / f"sub-{label}/func/{stem}_events.tsv", rows)
    return func


def write_sidecar(run: Path, content: dict[str, Any]) -> Path:
    """Write the sidecar of a run."""
    path = run.with_name(run.name.replace(".nii.gz", ".json"))
    path.write_text(json.dumps(content))
    return path


def bold(func: Path, run: int = 1, entities: str = "") -> Path:
    """The preprocessed run of a study, or another version of it."""
    label = func.parent.name
    middle = f"_{entities}" if entities else ""
    return func / f"{label}_task-film_run-{run}{middle}_{MNI}_desc-preproc_bold.nii.gz"


def rename(root: Path, change: Callable[[str], str]) -> None:
    for path in sorted(root.rglob("*.*")):
        if path.is_file() and (name := change(path.name)) != path.name:
            path.rename(path.with_name(name))


def opened(root: Path, allow_partial: bool = False, **options: str) -> Study:
    return open_study("bids", root, allow_partial, {"test": "film:test.mp4"} | options)


def repeats(study: Study) -> dict[str, int]:
    """Number of runs by split, of the first subject."""
    counts: dict[str, int] = {}
    for one in study.runs(study.facts.subjects[0]):
        counts[one.split] = counts.get(one.split, 0) + 1
    return counts


def finding(study: Study, code: str) -> str:
    """The text of a finding on the first subject; empty where there is none."""
    found = {one.code: one for one in study.check(study.facts.subjects[0])}
    return found[code].text if code in found else ""
