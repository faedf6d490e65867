"""Draw the figures of docs/explanation/chance-and-floors.md: `python examples/chance.py [docs/assets]`.

Everything is computed from random logits and from films of the simulated world; no value is typed in.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from mindanim.metrics.families.metric import METRICS
from mindanim.metrics.families.nway_classification import class_hits, drawn_hits
from mindanim.simulation import world

INK, MARK, FLOOR = "#1f2933", "#0b6663", "#b3541e"
CLASSES, ANSWERS = 1000, 400


def chance(path: Path) -> None:
    """2-way hits of random answers, each with its formula: one true class, any of three, drawn trials."""
    rng = np.random.default_rng(0)
    truth, random = rng.standard_normal((2, ANSWERS, CLASSES))
    # A classifier that prefers some classes whatever it is shown, truth or not.
    liking = 0.7 * rng.standard_normal(CLASSES)
    bars = {
        "one true class": class_hits(truth, random, 2, 1).mean(),
        "any of three,\nas published": class_hits(truth, random, 2).mean(),
        "the same,\n100 drawn trials": drawn_hits(truth, random, 2, 100).mean(),
        "any of three, and a\nclassifier with favourites": class_hits(
            truth + liking, random + liking, 2
        ).mean(),
    }
    formulas = ["1/N = .5", "3/(N + 2) = .75", "3/(N + 2) = .75", "none: measure it"]
    figure, axes = plt.subplots(figsize=(7.6, 3.3), layout="constrained")
    places = np.arange(len(bars))
    axes.bar(places, list(bars.values()), color=[MARK, MARK, MARK, FLOOR], width=0.6)
    for place, value, formula in zip(places, bars.values(), formulas, strict=True):
        axes.text(place, value + 0.015, f"{value:.3f}", ha="center", color=INK, fontsize=9)
        axes.text(place, 0.04, f"formula\n{formula}", ha="center", color="white", fontsize=8)
    axes.set_xticks(places, list(bars), fontsize=8.5)
    axes.set_ylim(0, 1.08)
    axes.set_ylabel("2-way hits of\nuninformed answers")
    _save(figure, path)
    print({name.replace("\n", " "): round(float(value), 3) for name, value in bars.items()})


def smooth_wins(path: Path) -> None:
    """SSIM, PSNR and end-point error of empty images, compared with a sharp but wrong film."""
    rng = np.random.default_rng(1)
    times = np.arange(8) * 0.25
    truths = [world.render(scene, times, size=64).frames for scene in world.film(rng, 24)]
    sharp = [*truths[6:], *truths[:6]]  # films as sharp as the truth, of other clips
    mean = np.mean(truths, axis=(0, 1)).round().astype(np.uint8)
    made = {
        "film of\nanother clip": sharp,
        "the same,\nfrozen": [np.repeat(film[:1], 8, axis=0) for film in sharp],
        "gray": [np.full_like(film, 128) for film in truths],
        "mean image": [np.broadcast_to(mean, film.shape).copy() for film in truths],
    }
    names = {
        "ssim.rgb7": "SSIM",
        "psnr.db": "PSNR, dB",
        "epe.farneback<size>": "end-point error, px\n(lower is better)",
    }
    rows = {}
    for name, films in made.items():
        rows[name] = []
        for metric in (METRICS[identifier] for identifier in names):
            described = ([metric.describe(film) for film in some] for some in (truths, films))
            rows[name].append(float(np.mean([metric.score(*pair) for pair in zip(*described, strict=True)])))
    figure, panels = plt.subplots(1, 3, figsize=(8.8, 2.9), layout="constrained")
    for number, (axes, title) in enumerate(zip(panels, names.values(), strict=True)):
        values = [row[number] for row in rows.values()]
        axes.barh(np.arange(len(rows))[::-1], values, color=[MARK, FLOOR, FLOOR, FLOOR], height=0.6)
        for place, value in zip(np.arange(len(rows))[::-1], values, strict=True):
            axes.text(value + 0.02 * max(values), place, f"{value:.2f}", va="center", fontsize=8.5, color=INK)
        axes.set_yticks(np.arange(len(rows))[::-1], list(rows) if number == 0 else [], fontsize=8.5)
        axes.set_xlim(0, 1.25 * max(values))
        axes.set_title(title, fontsize=9.5)
    _save(figure, path)
    print({name.replace("\n", " "): [round(value, 3) for value in row] for name, row in rows.items()})


def _save(figure: plt.Figure, path: Path) -> None:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    """Write both figures."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/assets")
    plt.rcParams["svg.hashsalt"] = "mindanim"
    plt.rcParams["svg.fonttype"] = "none"
    chance(folder / "chance.svg")
    smooth_wins(folder / "smooth-wins.svg")


if __name__ == "__main__":
    main()
