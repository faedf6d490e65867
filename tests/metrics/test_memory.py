"""What stays in memory of a clip, once it is scored: its rows in the tables of results, and no more."""

from __future__ import annotations

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from mindanim.config.evaluate import EvaluateConfig
from mindanim.metrics.evaluation import Material, assess
from mindanim.metrics.inputs import test_set as material
from mindanim.metrics.inputs.correlations import clip_correlations
from mindanim.metrics.inputs.decoded_features import DecodedFeatures, Latents
from mindanim.vocabulary.arrays import numbered

FRAMES, SIZE, CLASSES, FEATURES = 4, 8, 1000, 512
SHAPE = (FRAMES, SIZE, SIZE, 3)


class Films:
    """Clips made when they are asked for."""

    def __init__(self, count, seed):
        self.count, self.seed = count, seed

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return np.random.default_rng((self.seed, index)).integers(0, 256, SHAPE, np.uint8)


class Vectors:
    """Rows of random numbers made when they are asked for."""

    def __init__(self, count, *shape):
        self.count, self.shape = count, shape

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        start, rows = (index.start, (index.stop - index.start,)) if isinstance(index, slice) else (index, ())
        return np.random.default_rng(start).standard_normal((*rows, *self.shape))


def networks():
    """Answers of the real networks' sizes that depend on the frames, at no cost."""
    weights = torch.randn((3, CLASSES), generator=torch.Generator().manual_seed(0))

    def look(frames):
        return frames.mean(dim=(-2, -1)) @ weights

    def embed(frames):
        return torch.nn.functional.normalize(look(frames)[..., :FEATURES], dim=-1)

    return {
        "image_classifier": SimpleNamespace(labels=range(CLASSES), logits=look),
        "video_classifier": SimpleNamespace(
            labels=range(400),
            frames=FRAMES,
            trained_frames=FRAMES,
            logits_and_features=lambda clips: (look(clips).mean(dim=1)[:, :400], look(clips).mean(dim=1)),
        ),
        "clip": SimpleNamespace(embed_images=embed),
    }


def evaluated(count):
    """Evaluate `count` clips; bytes at the peak above what was there before, and at the end."""
    ids = [f"clip{index:05d}" for index in range(count)]
    captions = [f"scene {index // 2}" for index in range(count)]
    test = material.TestSet(
        pd.DataFrame({"clip_id": ids, "segment": ["a"] * count, "film": ["a"] * count, "caption": captions}),
        Films(count, 0),
        SHAPE,
        None,
    )
    config = EvaluateConfig(
        groups=("semantic", "motion", "feature"), bootstraps=100, permutations=99, shuffles=4, fvd=True,
        block_clips=max(8, count // 8),
    )  # fmt: skip
    tracemalloc.start()
    decoded = Vectors(count, FEATURES)
    similarity = clip_correlations(decoded, decoded, np.zeros(FEATURES))
    latents = Vectors(count, FRAMES, 2, 4, 4)
    features = DecodedFeatures(
        {"clip_text": similarity, "clip_image": similarity},
        numbered(captions),
        Latents(latents, latents, np.zeros((2, 4, 4))),
    )
    what = Material(test, Films(count, 1), features, networks(), {}, np.full(SHAPE, 99, np.uint8), {})
    found = assess(config, what, 16, 2)
    peak, end = tracemalloc.get_traced_memory()[1], tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(found.per_clip) == count and len(found.data["scores"]) > 20
    return np.array([peak, end])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # flows of noise
def test_memory_grows_by_the_tables_of_results_only():
    evaluated(20)  # what is made once
    few, many = evaluated(60), evaluated(180)
    peak, end = (many - few) / 120
    # The networks' answers take 30 kB of each of five sets of clips here, the frame orders 16 kB.
    assert peak < 10_000 and end < 3_000
