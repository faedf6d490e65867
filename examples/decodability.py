"""What a ridge regression reads from a simulated study, region by region: a linear decoder's ceiling.

    mindanim simulate --out study
    python examples/decodability.py study --subject 1

It reads the files with nibabel and PyAV only, uses nothing from the pipeline, and fits on the training
films only (ridge penalty by cross-validation over films). Columns: accuracy for object (chance .10),
background (.17), colour (.125), size (.50), motion of 12 (.08) and direction of 8 (.125); correlation, over
pixels and clips about the training mean, of the first frame, of the difference of later frames from the
first, and of the part of that difference that a linear map of the true first frame does not predict. Frames
are 8 x 8 pixels, or latents with --vae.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import av
import nibabel as nib
import numpy as np
import pandas as pd

FRAMES = 8
ATTRIBUTES = ("object", "background", "colour", "size", "motion")
SETS = {
    "all": None,
    "V1-V4": ("V1", "V2", "V3", "V4"),
    "V3A, MT, MST": ("V3A", "MT", "MST"),
    "LO, V8, FFC, PHA": ("LO1", "LO2", "V8", "FFC", "PHA1", "PHA2"),
    "A1": ("A1",),
}


def responses(
    study: Path, facts: dict, subject: int, film: str, repeats: int
) -> tuple[np.ndarray, np.ndarray]:
    """Detrended, scaled signal ``(repeat, volume, vertex)`` and the film times of the volumes."""
    folder = (
        study / f"CC2017_Purdue/Subject{subject:02d}/video_fmri_dataset/subject{subject}/fmri/{film}/cifti"
    )
    runs = np.stack(
        [nib.load(folder / f"{film}_{k}_Atlas.dtseries.nii").get_fdata() for k in range(1, repeats + 1)]
    )
    volumes = runs.shape[1]
    basis, _ = np.linalg.qr(np.polynomial.legendre.legvander(np.linspace(-1, 1, volumes), 4))
    runs -= basis @ (basis.T @ runs)
    start_s = 2.0 if film.startswith("seg") or film == "test1" else 0.0
    return runs / runs.std(1, keepdims=True), start_s + np.arange(volumes) * facts["tr_s"]


def at_lags(runs: np.ndarray, times: np.ndarray, clips: int, facts: dict, lags: list[float]) -> np.ndarray:
    """Mean over repeats at each clip's onset plus lag, ``(clip, lag, vertex)``, linear between volumes."""
    wanted = np.arange(clips)[:, None] * facts["clip_s"] + np.array(lags)
    where = np.clip(np.searchsorted(times, wanted + 1e-9) - 1, 0, len(times) - 2)
    part = ((wanted - times[where]) / (times[where + 1] - times[where]))[..., None]
    mean = runs.mean(0)
    return (1 - part) * mean[where] + part * mean[where + 1]


def frames(study: Path, facts: dict, film: str, clips: int) -> np.ndarray:
    """Frames ``(clip, frame, height, width, 3) float32 [0, 1]``, equally spaced within each clip."""
    with av.open(str(study / f"CC2017_Purdue/Stimuli/video_fmri_dataset/stimuli/{film}.mp4")) as file:
        shown = np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])
    per_clip = round(facts["clip_s"] * facts["fps"])
    index = np.arange(clips)[:, None] * per_clip + np.arange(FRAMES) * per_clip // FRAMES
    pixels = shown[index.ravel()].astype(np.float32) / 255
    return pixels.reshape(clips, FRAMES, *pixels.shape[1:])


def block_means(clips: np.ndarray, side: int = 8) -> np.ndarray:
    """Frames averaged to ``side x side`` pixels, ``(clip, frame, feature)``."""
    count, number, height, width, _ = clips.shape
    blocks = clips[:, :, : height // side * side, : width // side * side]
    return (
        blocks.reshape(count, number, side, height // side, side, width // side, 3)
        .mean((3, 5))
        .reshape(count, number, -1)
    )


def latents(folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Encoder of frames ``(clip, frame, feature)`` by a VAE in diffusers' format."""
    import torch
    from diffusers import AutoencoderKL

    vae = AutoencoderKL.from_pretrained(folder).eval()

    def encode(clips: np.ndarray) -> np.ndarray:
        batches = torch.from_numpy(clips).permute(0, 1, 4, 2, 3)
        with torch.no_grad():
            codes = [vae.encode(batch * 2 - 1).latent_dist.mean.flatten(1) for batch in batches]
        return torch.stack(codes).numpy()

    return encode


class Ridge:
    """Ridge regression from one set of predictors to any targets; decomposes once."""

    def __init__(self, x: np.ndarray, films: np.ndarray) -> None:
        self.mean = x.mean(0)
        self.x = x - self.mean
        self.kernel = self.x @ self.x.T
        self.strengths = np.logspace(-4, 2, 13) * np.trace(self.kernel) / len(x)
        folds = np.unique(films, return_inverse=True)[1] % 4
        self.folds = [self._split(folds != fold, folds == fold) for fold in range(4)]
        self.whole = np.linalg.eigh(self.kernel)

    def _split(self, fit: np.ndarray, held: np.ndarray) -> tuple[np.ndarray, ...]:
        values, vectors = np.linalg.eigh(self.kernel[np.ix_(fit, fit)])
        return fit, held, values, vectors, self.kernel[np.ix_(held, fit)] @ vectors

    def predict(self, y: np.ndarray, new: np.ndarray) -> np.ndarray:
        """Fit ``y`` with the penalty that has the lowest error on held-out films; predict for ``new``."""
        errors = np.zeros(len(self.strengths))
        for fit, held, values, vectors, across in self.folds:
            mean = y[fit].mean(0)
            projected = vectors.T @ (y[fit] - mean)
            for index, strength in enumerate(self.strengths):
                decoded = across @ (projected / (values + strength)[:, None])
                errors[index] += ((decoded + mean - y[held]) ** 2).sum()
        values, vectors = self.whole
        projected = vectors.T @ (y - y.mean(0)) / (values + self.strengths[errors.argmin()])[:, None]
        return (new - self.mean) @ self.x.T @ (vectors @ projected) + y.mean(0)


def correlation(decoded: np.ndarray, true: np.ndarray, centre: np.ndarray) -> float:
    """Correlation over all entries about a common centre."""
    a, b = decoded - centre, true - centre
    return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))


def accuracy(ridge: Ridge, words: pd.Series, new: np.ndarray, truth: pd.Series) -> float:
    """Share of clips whose highest one-hot prediction is correct."""
    known = np.array(sorted(words.unique()))
    decoded = ridge.predict((words.to_numpy()[:, None] == known).astype(float), new)
    return float((known[decoded.argmax(1)] == truth.to_numpy()).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--subject", type=int, default=1)
    parser.add_argument(
        "--lags", type=float, nargs="+", help="seconds from a clip's onset; default: the study's"
    )
    parser.add_argument(
        "--vae", type=Path, help="folder of an AutoencoderKL: score latents instead of pixels"
    )
    args = parser.parse_args()
    facts = json.loads((args.study / "mindanim-study.json").read_text())
    lags = args.lags or facts["lags_s"]
    code = latents(args.vae) if args.vae else block_means
    truth = pd.read_csv(args.study / "truth/clips.tsv", sep="\t")
    x, seen, films, reliability = [], [], [], []
    for split, clips_of in (("train", facts["segments"]), ("test", facts["test"])):
        for film, clips in clips_of.items():
            runs, times = responses(args.study, facts, args.subject, film, facts["repeats"][split])
            if split == "train" and len(runs) > 1:
                reliability.append((runs[0] * runs[1]).mean(0))
            x.append(at_lags(runs, times, clips, facts, lags))
            seen.append(code(frames(args.study, facts, film, clips)))
            films += [film] * clips
    train = np.array([film.startswith("seg") for film in films])
    segments = np.array(films)[train]
    data, codes = np.concatenate(x), np.concatenate(seen)
    data = (data - data[train].mean(0)) / data[train].std(0)
    first, delta = codes[:, 0], (codes[:, 1:] - codes[:, :1]).reshape(len(codes), -1)
    still = Ridge(first[train], segments).predict(delta[train], first)
    if reliability:
        r = np.mean(reliability, 0)
        print(f"repeat correlation: median {np.median(r):.2f}, 90th percentile {np.quantile(r, 0.9):.2f}")
    told = correlation(still[~train], delta[~train], delta[train].mean(0))
    print(
        f"difference predicted by the true first frame: r {told:.2f}; lags {lags} s; "
        f"{train.sum()} + {(~train).sum()} clips\n"
    )
    print(
        f"| vertices | n | {' | '.join(ATTRIBUTES)} | direction | "
        "first frame r | difference r | of it beyond first frame r |"
    )
    print("|---" * 11 + "|")
    regions = (
        pd.read_csv(args.study / "truth/regions.tsv", sep="\t")["region"]
        .str.extract(r"._(.*)_ROI")[0]
        .to_numpy()
    )
    moves = (
        truth["motion"]
        .isin(["right", "up-right", "up", "up-left", "left", "down-left", "down", "down-right"])
        .to_numpy()
    )
    for name, members in SETS.items():
        columns = np.ones(len(regions), bool) if members is None else np.isin(regions.astype(str), members)
        view = data[:, :, columns].reshape(len(data), -1)
        ridge = Ridge(view[train], segments)
        row = [accuracy(ridge, truth[a][train], view[~train], truth[a][~train]) for a in ATTRIBUTES]
        fit, new = train & moves, ~train & moves
        directed = Ridge(view[fit], segments[moves[train]])
        row.append(accuracy(directed, truth["motion"][fit], view[new], truth["motion"][new]))
        for target in (first, delta, delta - still):
            decoded = ridge.predict(target[train], view[~train])
            row.append(correlation(decoded, target[~train], target[train].mean(0)))
        print(f"| {name} | {columns.sum()} | {' | '.join(f'{value:.2f}' for value in row)} |", flush=True)


if __name__ == "__main__":
    main()
