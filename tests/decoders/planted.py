"""A planted linear problem: responses in which targets are hidden, in segments, small enough for tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mindanim.decoders.base import Shapes
from mindanim.decoders.load_examples import caption_labels
from mindanim.decoders.training.fit_network import Machine
from mindanim.decoders.training_examples import MotionExamples, SemanticExamples, StructureExamples
from mindanim.decoders.validation_split import Split, blocked_split

SHAPES = Shapes(response=(2, 30), clip=(8,), tokens=(4, 3), latents=(4, 2, 4, 4))
SEGMENTS, CLIPS = 6, 20


def machine(folder: Path) -> Machine:
    return Machine(torch.device("cpu"), torch.float32, folder / "training.pt")


@dataclass(frozen=True)
class Planted:
    """Examples for the three decoders; `signal` 0 makes responses and targets independent."""

    split: Split
    semantic: SemanticExamples
    structure: StructureExamples
    motion: MotionExamples


def clips_table(segments: int = SEGMENTS, clips: int = CLIPS) -> pd.DataFrame:
    count = segments * clips
    return pd.DataFrame({
        "clip_id": [f"seg{row // clips + 1:02d}-{row % clips + 1:04d}" for row in range(count)],
        "split": "train",
        "segment": [f"seg{row // clips + 1:02d}" for row in range(count)],
        "film": [f"seg{row // clips + 1:02d}" for row in range(count)],
        "onset_s": [2.0 * (row % clips) for row in range(count)],
        "duration_s": 2.0,
    })  # fmt: skip


def planted(signal: float = 1.0, seed: int = 0) -> Planted:
    rng = np.random.default_rng(seed)
    count, hidden = SEGMENTS * CLIPS, 6
    causes = rng.standard_normal((count, hidden))

    def mixed(*shape: int, of: slice = slice(None)) -> np.ndarray:
        chosen = causes[:, of]
        loadings = rng.standard_normal((chosen.shape[1], int(np.prod(shape)))) / np.sqrt(chosen.shape[1])
        return (chosen @ loadings).reshape(count, *shape)

    def tensor(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values.astype(np.float32))

    responses = signal * mixed(SHAPES.features) + 0.5 * rng.standard_normal((count, SHAPES.features))
    split = blocked_split(clips_table(), 0.2, 0.0, 4)
    text = mixed(1, *SHAPES.clip)
    text /= np.linalg.norm(text, axis=2, keepdims=True)
    # What changes has other causes than what the first frame shows.
    latents = mixed(1, SHAPES.latent_size, of=slice(0, 3)).repeat(SHAPES.frames, axis=1) + 1.0
    latents[:, 1:] += mixed(SHAPES.frames - 1, SHAPES.latent_size, of=slice(3, 6))
    common = {
        "responses": tensor(responses),
        "fit": torch.from_numpy(split.fit),
        "validation": torch.from_numpy(split.validation),
    }
    views = np.repeat(text, 3, axis=1) + 0.01 * rng.standard_normal((count, 3, *SHAPES.clip))
    semantic = SemanticExamples(
        **common,
        image=tensor(views),
        text=tensor(text),
        tokens=tensor(mixed(3 * 3)),
        first_token=torch.tensor([1.0, 2.0, 3.0]),
        captions=caption_labels(pd.Series([f"clip {row // 2}" for row in range(count)])),
    )
    decoded = tensor(latents[:, 0] + 0.3 * rng.standard_normal((count, SHAPES.latent_size)))
    return Planted(
        split,
        semantic,
        StructureExamples(**common, latents=tensor(latents[:, 0])),
        MotionExamples(**common, latents=tensor(latents), decoded=decoded),
    )
