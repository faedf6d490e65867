"""Finished fmri, stimuli and videos artifacts of a tiny study, written through the real artifact code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from mindanim.artifacts import Artifact, Draft, Source, Workspace, produce
from mindanim.config.option import StageConfig, opt
from mindanim.config.run_options import RunOptions
from tests.metrics.films import panned, texture

FRAMES, SIZE, DIM = 4, 32, 6
TEST = [f"test{segment}-{clip:04d}" for segment in (1, 2) for clip in range(1, 9)]
TRAIN = [f"seg1-{clip:04d}" for clip in range(1, 7)]
DIRECTIONS = [(2, 0), (-2, 0), (0, 2), (0, -2)]


class Made(StageConfig):
    """A stand-in for the options of another stage."""

    version: int = opt(0, "Which of several.")


def truth(clip: int) -> np.ndarray:
    """The film of test clip number `clip`, (frame, h, w, rgb); two clips in a row share scene and caption."""
    image = texture(np.random.default_rng(clip // 2), SIZE, 10)
    return panned(image, DIRECTIONS[clip // 2 % 4], FRAMES, SIZE, 10)


def unrelated(clip: int) -> np.ndarray:
    """A film that has nothing to do with the clip."""
    rng = np.random.default_rng(1000 + clip)
    return panned(texture(rng, SIZE, 10), DIRECTIONS[rng.integers(4)], FRAMES, SIZE, 10)


def make(
    run: RunOptions,
    kind: str,
    build: Callable[[Draft], None],
    label: str = "",
    version: int = 0,
    **inputs: Artifact | Source,
) -> Artifact:
    """Produce one artifact of `kind` at its place; another version is another one."""
    labelled = run.model_copy(update={"label": label})
    path = Workspace.of(run).place(labelled, kind)
    return produce(kind, path, config=Made(version=version), inputs=inputs, run=labelled, seed=0, build=build)


def features(clips: int, seed: int = 0) -> dict[str, np.ndarray]:
    """CLIP vectors and latents of test clips; clips 2k and 2k + 1 share them, but for a little noise."""
    rng = np.random.default_rng(seed)
    vectors = np.repeat(rng.standard_normal((clips, DIM)), 2, axis=0)[:clips]
    latents = np.repeat(rng.standard_normal((clips, FRAMES, 2, 4, 4)), 2, axis=0)[:clips]
    latents = latents + 0.1 * rng.standard_normal(latents.shape)
    return {"clip": vectors / np.linalg.norm(vectors, axis=1, keepdims=True), "latents": latents}


def make_inputs(
    run: RunOptions,
    *,
    mean_frames: bool = True,
    clip_model: str = "",
    seed: int = 0,
    one_caption: bool = False,
) -> dict[str, Artifact]:
    """fmri and stimuli; `one_caption` for all clips, with the noise of a batch in its embedding."""
    ids = [*TRAIN, *TEST]
    table = pd.DataFrame(
        {
            "clip_id": ids,
            "split": ["train"] * len(TRAIN) + ["test"] * len(TEST),
            "segment": [name.split("-")[0] for name in ids],
            "film": [name.split("-")[0] for name in ids],
        }
    )
    captions = [f"train {index}" for index in range(len(TRAIN))]
    captions += [f"scene {index // 2}" for index in range(len(TEST))]
    rng = np.random.default_rng(5)
    found = features(len(TEST), seed)
    train = rng.standard_normal((len(TRAIN), DIM))
    vectors = np.concatenate([train / np.linalg.norm(train, axis=1, keepdims=True), found["clip"]])
    latents = np.concatenate([rng.standard_normal((len(TRAIN), FRAMES, 2, 4, 4)), found["latents"]])

    said = vectors + 0.0
    if one_caption:
        captions = ["a film"] * len(ids)
        said = vectors[:1] + 1e-7 * rng.standard_normal(vectors.shape)

    def fmri(draft: Draft) -> None:
        draft.save_table("clips.tsv", table, units={})
        draft.finding("near", "Clip test1-0001 resembles a training clip.")
        draft.methods("Responses were read.")

    def stimuli(draft: Draft) -> None:
        draft.save_table("clips.tsv", table.assign(caption=captions), units={})
        draft.save_array("latents.npy", latents.astype(np.float16), axes="clip frame channel height width")
        for name, rows in (("clip_image", vectors), ("clip_text", said)):
            draft.save_array(f"{name}.npy", rows[:, None].astype(np.float32), axes="clip view feature")
        hashes = np.random.default_rng([6, seed]).random((len(ids), 255)) < 0.5  # no two clips look alike
        draft.save_array("frame_hash.npy", hashes, axes="clip bit")
        frames = np.stack([truth(clip) for clip in range(len(TEST))])
        draft.save_array("test_frames.npy", frames, axes="clip frame height width rgb")
        if mean_frames:
            mean = frames.mean(axis=0).round().astype(np.uint8)
            draft.save_array("mean_frames.npy", mean, axes="frame height width rgb")
        draft.fact(fps=2.0)

    seen = {"clip": Source("clip", clip_model * 64)} if clip_model else {}
    return {"fmri": make(run, "fmri", fmri), "stimuli": make(run, "stimuli", stimuli, version=seed, **seen)}


def make_videos(
    run: RunOptions,
    inputs: Mapping[str, Artifact],
    film: Callable[[int], np.ndarray] = truth,
    *,
    label: str = "",
    clips: list[str] | None = None,
    seed: int = 0,
) -> Artifact:
    """videos that show `film` of each of `clips` (all, in reverse order), decoded as `features(seed)`."""
    shown = clips if clips is not None else TEST[::-1]
    found = features(len(TEST), seed)
    rows = [TEST.index(name) if name in TEST else 0 for name in shown]

    def videos(draft: Draft) -> None:
        for name, row in zip(shown, rows, strict=True):
            draft.save_array(f"clips/{name}.npy", film(row), axes="frame height width rgb")
        draft.save_table("clips.tsv", pd.DataFrame({"clip_id": shown}), units={})
        draft.save_array("decoded_clip.npy", found["clip"][rows].astype(np.float32), axes="clip feature")
        latents = found["latents"][rows].astype(np.float16)
        draft.save_array("decoded_latents.npy", latents, axes="clip frame channel height width")

    return make(run, "videos", videos, label, stimuli=inputs["stimuli"], fmri=inputs["fmri"])


def run_options(work: Path) -> RunOptions:
    """Options of a run in the folder `work`."""
    return RunOptions(dataset="simulated", subject=1, work=work, device="cpu", offline=True)
