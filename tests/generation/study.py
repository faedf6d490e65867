"""A work folder with everything that `generate` reads, made of noise: tiny, seeded, in the real formats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mindanim import decoders
from mindanim.artifacts import Artifact, Draft, Source, Workspace, produce
from mindanim.artifacts.files import write_text
from mindanim.backbones import locate
from mindanim.config.generate import GenerateConfig
from mindanim.config.option import StageConfig
from mindanim.config.run_options import RunOptions
from tests.tiny import tiny_diffusion_folder

TRAIN, TEST, FRAMES, LAGS, VOXELS, TOKENS, WIDTH, CLIP = 6, 7, 3, 2, 10, 5, 16, 8
LATENT = (4, 4, 4)
SIDE = 32
DECODERS = {
    "semantic": {"decoder": "mlp", "width": 8, "blocks": 1},
    "structure": {"decoder": "mlp", "width": 8, "blocks": 1},
    "motion": {"decoder": "ridge"},
}


def options(work: Path, **changes: object) -> RunOptions:
    values = {"dataset": "noise", "subject": 1, "work": work, "device": "cpu", "offline": True}
    return RunOptions.model_validate(values | changes)


def config(folder: Path, **changes: object) -> GenerateConfig:
    values = {"diffusion": str(folder), "steps": 3, "strength": 0.7, "guidance": 2.0}
    return GenerateConfig.model_validate(values | changes)


def make_study(work: Path) -> Path:
    """Fill `work` with fmri, stimuli and three decoders of subject 1; return the diffusion model's folder."""
    model = tiny_diffusion_folder(work / "model", frame_size=SIDE, text_width=WIDTH)
    run, rng = options(work), np.random.default_rng(3)
    workspace = Workspace.of(run)
    ids = [
        f"{film}-{n:04}" for film, count in (("seg1", TRAIN), ("test1", TEST)) for n in range(1, count + 1)
    ]
    clips = pd.DataFrame(
        {
            "clip_id": ids,
            "split": ["train"] * TRAIN + ["test"] * TEST,
            "segment": [name[:-5] for name in ids],
            "film": [f"{name[:-5]}.mp4" for name in ids],
            "onset_s": [2.0 * n for n in [*range(TRAIN), *range(TEST)]],
            "duration_s": 2.0,
        }
    )

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    def fmri(draft: Draft) -> None:
        draft.save_table("clips.tsv", clips, units={})
        draft.save_array("test_responses.npy", normal(TEST, LAGS, VOXELS), axes="clip lag voxel")

    def stimuli(draft: Draft) -> None:
        # In another order than the responses: rows must be matched by name.
        order = rng.permutation(len(ids))
        shuffled = clips.iloc[order].assign(caption=[f"caption of {ids[i]}" for i in order])
        draft.save_table("clips.tsv", shuffled, units={})
        latents = normal(len(ids), FRAMES, *LATENT).astype(np.float16)
        draft.save_array("latents.npy", latents, axes="clip frame channel height width")
        draft.save_array("clip_text.npy", normal(len(ids), 2, CLIP), axes="clip view feature")
        tokens = normal(len(ids), TOKENS, WIDTH).astype(np.float16)
        draft.save_array("text_tokens.npy", tokens, axes="clip token feature")
        draft.save_array("empty_tokens.npy", normal(TOKENS, WIDTH), axes="token feature")
        frames = rng.integers(0, 256, (TEST, FRAMES, SIDE, SIDE, 3), dtype=np.uint8)
        draft.save_array("test_frames.npy", frames, axes="clip frame height width rgb")
        draft.fact(fps=FRAMES / 2)

    def made(kind: str, build: Callable[[Draft], None], **inputs: Artifact | Source) -> Artifact:
        place = workspace.place(run, kind)
        return produce(kind, place, config=StageConfig(), inputs=inputs, run=run, seed=None, build=build)

    responses = made("fmri", fmri, made=Source("noise", "1"))
    features = made("stimuli", stimuli, diffusion=locate(str(model), "diffusion").source)
    shapes = decoders.Shapes((LAGS, VOXELS), (CLIP,), (TOKENS, WIDTH), (FRAMES, *LATENT))
    for number, (kind, spec) in enumerate(DECODERS.items()):
        torch.manual_seed(number)
        decoder = decoders.build(kind, spec, shapes)
        for value in decoder.state_dict().values():
            if not value.any():  # linear maps start at zero
                value.copy_(0.1 * torch.randn(value.shape))

        def save(draft: Draft, decoder: decoders.Decoder = decoder) -> None:
            with draft.write(decoders.WEIGHTS) as path:
                decoders.save_weights(decoder, path)
            draft.save_json(decoders.SPEC, decoders.describe(decoder))

        made(kind, save, fmri=responses, stimuli=features)
    write_text(work / "ready", "")
    return model
