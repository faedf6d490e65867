"""Draw the figures of the documentation: `python examples/figures.py [docs/assets]`."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from mindanim.decoders.models.masks import causal, sparse_causal

INK, PAPER = "#1f2933", "#ffffff"
FILL = {"data": "#e8edf3", "target": "#d9ecdf", "brain": "#fde8d0", "video": "#e4dcf4", "score": "#fbdfe0"}


def box(axes: plt.Axes, x: float, y: float, title: str, text: str, kind: str, width: float = 2.15) -> None:
    """Draw one stage: its command in monospace, its output below."""
    patch = FancyBboxPatch(
        (x, y), width, 0.95, boxstyle="round,pad=0.02,rounding_size=0.08", fc=FILL[kind], ec=INK, lw=1
    )
    axes.add_patch(patch)
    middle = {"ha": "center", "va": "center", "color": INK}
    axes.text(x + width / 2, y + 0.66, title, fontsize=9.5, family="monospace", **middle)
    axes.text(x + width / 2, y + 0.28, text, fontsize=8.5, **middle)


def arrow(axes: plt.Axes, start: tuple[float, float], end: tuple[float, float], bend: float = 0.0) -> None:
    """Draw an arrow from one stage to another."""
    style = f"arc3,rad={bend}"
    look = {"arrowstyle": "-|>", "mutation_scale": 11, "lw": 1, "color": INK}
    axes.add_patch(FancyArrowPatch(start, end, connectionstyle=style, **look))


def pipeline(path: Path) -> None:
    """The seven stages and what flows between them."""
    figure, axes = plt.subplots(figsize=(11.2, 3.9))
    box(axes, 0.0, 2.3, "BOLD runs", "CIFTI or NIfTI", "data", 1.6)
    box(axes, 0.0, 0.5, "films", "mp4, captions", "data", 1.6)
    box(axes, 2.3, 2.3, "preprocess", "responses per clip", "brain")
    box(axes, 2.3, 0.5, "encode-stimuli", "latents, CLIP, text", "target")
    for y, name, text in (
        (2.75, "train-semantic", "what"),
        (1.4, "train-structure", "the first frame"),
        (0.05, "train-motion", "how it moves"),
    ):
        box(axes, 5.3, y, name, text, "brain")
        arrow(axes, (4.5, 2.75), (5.28, y + 0.6))
        arrow(axes, (4.5, 1.0), (5.28, y + 0.35))
        arrow(axes, (7.5, y + 0.48), (8.2, 1.9))
    box(axes, 8.2, 1.4, "generate", "inflated diffusion", "video", 1.9)
    box(axes, 10.9, 1.4, "evaluate", "scores with floors,\nchance, ceilings", "score", 1.9)
    arrow(axes, (1.65, 2.78), (2.28, 2.78))
    arrow(axes, (1.65, 0.98), (2.28, 0.98))
    arrow(axes, (10.15, 1.88), (10.88, 1.88))
    axes.set(xlim=(-0.1, 12.95), ylim=(-0.1, 3.85))
    axes.axis("off")
    figure.savefig(path, bbox_inches="tight", facecolor=PAPER, metadata={"Date": None})
    plt.close(figure)


def masks(path: Path) -> None:
    """Which frames each frame may attend to, as rows: causal, and two draws of the sparse causal mask."""
    torch.manual_seed(0)
    drawn = {
        "causal": causal(7),
        "sparse causal, one batch": sparse_causal(7, 0.6),
        "sparse causal, the next": sparse_causal(7, 0.6),
    }
    figure, panels = plt.subplots(1, len(drawn), figsize=(8.4, 3.1))
    for axes, (title, mask) in zip(panels, drawn.items(), strict=True):
        axes.imshow(mask, cmap="Blues", vmin=0, vmax=1.4, extent=(0.5, 7.5, 7.5, 0.5))
        axes.set_title(title, fontsize=10)
        axes.set(xlabel="attended frame", xticks=range(1, 8), yticks=range(1, 8))
    panels[0].set_ylabel("attending frame")
    figure.tight_layout()
    figure.savefig(path, facecolor=PAPER, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    """Write every figure to the given folder, docs/assets by default."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs" / "assets"
    folder.mkdir(parents=True, exist_ok=True)
    plt.rcParams.update({"svg.hashsalt": "mindanim", "font.family": "DejaVu Sans"})
    pipeline(folder / "pipeline.svg")
    masks(folder / "masks.svg")


if __name__ == "__main__":
    main()
