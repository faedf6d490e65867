"""Tiny studies in the layout of CC2017, with a known response, for every test that reads runs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.cifti2 import BrainModelAxis, Cifti2Image, LabelAxis, SeriesAxis

MESH = 60
LEFT, RIGHT = np.arange(2, 42), np.arange(0, 59, 2)
SUBCORTICAL = 5
CORTEX = len(LEFT) + len(RIGHT)


def brain_models() -> BrainModelAxis:
    """A subcortical structure *before* the cortex, so that slicing by position goes wrong."""
    grid = np.stack([np.arange(SUBCORTICAL)] * 3, axis=1)
    thalamus = BrainModelAxis.from_mask(
        np.ones((1, 1, SUBCORTICAL), bool), affine=np.eye(4), name="thalamus_left"
    )
    assert len(grid) == len(thalamus)
    left = BrainModelAxis.from_surface(LEFT, MESH, name="cortex_left")
    right = BrainModelAxis.from_surface(RIGHT, MESH, name="cortex_right")
    return thalamus + left + right


def write_run(
    path: Path,
    data: np.ndarray,
    *,
    axis: BrainModelAxis | None = None,
    tr_s: float = 2.0,
    unit: str = "SECOND",
) -> Path:
    """Write ``data (volume, grayordinate)`` as a dense series."""
    path.parent.mkdir(parents=True, exist_ok=True)
    series = SeriesAxis(0.0, tr_s, len(data), unit=unit)
    image = Cifti2Image(data.astype(np.float32), header=(series, brain_models() if axis is None else axis))
    image.nifti_header.set_intent("ConnDenseSeries")
    nib.save(image, path)
    return path


def write_atlas(path: Path, names: dict[int, str], keys: np.ndarray) -> Path:
    """Write a dlabel over the cortex of :func:`brain_models`; ``keys (voxel,)`` in its order."""
    cortex = brain_models()[SUBCORTICAL:]
    table = {0: ("???", (0.0, 0.0, 0.0, 0.0))} | {
        key: (name, (1.0, 0.0, 0.0, 1.0)) for key, name in names.items()
    }
    image = Cifti2Image(keys[None].astype(np.float32), header=(LabelAxis(["regions"], [table]), cortex))
    image.nifti_header.set_intent("ConnDenseLabel")
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return path


@dataclass(frozen=True)
class Tree:
    """A study on disk. signal[segment] ``(clip, voxel)``: the response planted 4 s after each clip's
    onset."""

    root: Path
    signal: dict[str, np.ndarray]

    def run(self, segment: str, repeat: int, subject: int = 1) -> Path:
        folder = (
            f"CC2017_Purdue/Subject{subject:02d}/video_fmri_dataset/subject{subject}/fmri/{segment}/cifti"
        )
        return self.root / folder / f"{segment}_{repeat}_Atlas.dtseries.nii"


def write_simulated(
    root: Path,
    *,
    train: dict[str, int],
    test: dict[str, int],
    repeats: tuple[int, int] = (2, 3),
    subjects: tuple[int, ...] = (1,),
    responsive: int = 30,
    noise: float = 1.0,
    seed: int = 0,
) -> Tree:
    """A study for the simulated reader: ``responsive`` vertices carry a response 4 s after each clip, the
    rest noise."""
    rng = np.random.default_rng(seed)
    declared = {
        "name": "simulated",
        "layout": "cc2017",
        "subjects": list(subjects),
        "tr_s": 2.0,
        "clip_s": 2.0,
        "fps": 4,
        "segments": train,
        "test": test,
        "repeats": {"train": repeats[0], "test": repeats[1]},
        "lags_s": [4.0],
        "captions": "captions.tsv",
        "atlas": "atlas.dlabel.nii",
        "seed": seed,
        "options": {},
    }
    root.mkdir(parents=True, exist_ok=True)
    (root / "mindanim-study.json").write_text(json.dumps(declared))
    films = root / "CC2017_Purdue/Stimuli/video_fmri_dataset/stimuli"
    films.mkdir(parents=True)
    tree = Tree(root, {})
    rows = ["clip_id\tcaption"]
    for segment, clips in {**train, **test}.items():
        (films / f"{segment}.mp4").write_bytes(b"film")
        prefix = f"seg{int(segment[3:]):02d}" if segment.startswith("seg") else segment
        rows += [f"{prefix}-{index:04d}\tclip {index} of {segment}" for index in range(1, clips + 1)]
        tree.signal[segment] = rng.standard_normal((clips, CORTEX)) * (np.arange(CORTEX) < responsive)
        count = repeats[0] if segment in train else repeats[1]
        start = 0.0 if segment in test and segment != "test1" else 2.0
        volumes = clips + int((12 - start) / 2)
        for subject in subjects:
            for repeat in range(1, count + 1):
                write_run(
                    tree.run(segment, repeat, subject),
                    _bold(rng, tree.signal[segment], volumes, start, noise),
                )
    (root / "captions.tsv").write_text("\n".join(rows) + "\n")
    keys = np.repeat([1, 2, 0], [30, 20, CORTEX - 50])
    write_atlas(root / "atlas.dlabel.nii", {1: "L_V1_ROI", 2: "R_MT_ROI"}, keys)
    return tree


def _bold(
    rng: np.random.Generator, signal: np.ndarray, volumes: int, start_s: float, noise: float
) -> np.ndarray:
    clips = len(signal)
    data = 10_000 + 50 * noise * rng.standard_normal((volumes, SUBCORTICAL + CORTEX))
    first = int((4.0 - start_s) / 2)
    data[first : first + clips, SUBCORTICAL:] += 50 * signal
    time = np.linspace(-1, 1, volumes)[:, None]
    drift = rng.standard_normal((1, SUBCORTICAL + CORTEX))
    return np.asarray(data + 300 * drift * time + 200 * time**3)
