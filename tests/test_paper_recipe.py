"""The recipe `paper` on tiny weights: only names and sizes are overridden, and every stage runs."""

from __future__ import annotations

from typing import Any

import pytest

import mindanim
from mindanim import decoders
from mindanim.artifacts import Artifact
from mindanim.config.recipes import load_recipe
from mindanim.config.train import TrainMotionConfig, TrainSemanticConfig, TrainStructureConfig
from tests.tiny import (
    tiny_clip_folder,
    tiny_diffusion_folder,
    tiny_image_classifier_folder,
    tiny_video_classifier_folder,
)

# What a tiny model changes, and nothing else: how wide, how long, how many.
SIZES: dict[str, dict[str, Any]] = {
    "encode_stimuli": {"views": 2},
    "train_semantic": {"epochs": 2, "head_widths": "16,24"},
    "train_structure": {"epochs": 2, "width": 16},
    "train_motion": {"epochs": 2, "width": 8, "feedforward": 8, "fmri_width": 12},
    "generate": {"released_steps": 2, "limit": 2},
    "evaluate": {"subset": True, "permutations": 49, "motion_permutations": 19},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    work = tmp_path_factory.mktemp("paper")
    names = {
        "diffusion": str(tiny_diffusion_folder(work / "sd", frame_size=32)),
        "clip": str(tiny_clip_folder(work / "clip")),
    }
    films = {"segments": 3, "clips": 20, "test_segments": 1, "test_clips": 16, "test_repeats": 2}
    mindanim.simulate(data=work / "study", work=work, subjects=1, vertices=120, snr=3.0, **films)

    def call(stage: str, **options: Any) -> Artifact:
        subject = {} if stage == "encode_stimuli" else {"subject": 1}
        sizes = SIZES.get(stage, {})
        if options.get("decoder") == "mlp":  # it has neither the generator's width nor its sublayers
            sizes = {name: size for name, size in sizes.items() if name not in ("width", "feedforward")}
        given = options | sizes | subject
        found = getattr(mindanim, stage)(
            dataset="simulated", recipe="paper", work=work, device="cpu", **given
        )
        assert isinstance(found, Artifact)
        return found

    artifacts = {"preprocess": call("preprocess", voxels=20, correction="none")}
    artifacts["encode_stimuli"] = call("encode_stimuli", **names)
    for stage in ("train_semantic", "train_structure", "train_motion"):
        artifacts[stage] = call(stage)
    artifacts["generate"] = call("generate", diffusion=names["diffusion"])
    artifacts["framewise"] = call("train_motion", decoder="mlp", label="framewise")
    artifacts["framewise videos"] = call("generate", diffusion=names["diffusion"], label="framewise")
    judges = {
        "image_classifier": str(tiny_image_classifier_folder(work / "vit")),
        "video_classifier": str(tiny_video_classifier_folder(work / "videomae", frames=16)),
    }
    return artifacts | {"evaluate": call("evaluate", **names, **judges)}


def test_every_stage_runs(made: dict[str, Artifact]) -> None:
    videos = made["generate"]
    assert videos.facts["clips"] == 2 and videos.facts["frames"] == 8
    assert videos.facts["sampler"] == "released" and videos.facts["evaluations_per_clip"] == 3 * 2
    assert "DDIM" in " ".join(videos.manifest["methods"])
    # VideoMAE-base is made for 16 frames, the clips of the paper have 8.
    scores = {score["id"]: score for score in made["evaluate"].json("metrics.json")["scores"]}
    assert scores["2way.video"]["frames"] == 8 and "trained on 16" in scores["2way.video"]["note"]
    assert made["train_semantic"].facts["decoder"] == "mlp"
    motion = decoders.load(made["train_motion"].path)
    assert motion.spec["target"] == "frame" and motion.spec["memory_tokens"] == 1


def test_motion_may_be_decoded_frame_by_frame(made: dict[str, Artifact]) -> None:
    """The paper's ablation, with the recipe's training and the other decoders as they are."""
    plain, alone = made["train_motion"], made["framewise"]
    assert alone.facts["decoder"] == "mlp" and alone.facts["epochs"] == plain.facts["epochs"]
    values = load_recipe("paper").tables["train-motion"]
    sizes = {"decoder", *SIZES["train_motion"]}
    generator = {"layers", "heads", "dropout", "attention_dropout", "inner_dropout", "norm"}
    generator |= {"memory_tokens", "keep_visible"}
    assert values.keys() - alone.options.keys() - sizes == generator, "options of the generator alone"
    shared = values.keys() - sizes - generator
    assert all(alone.options[option] == values[option] for option in shared)
    inputs = [
        {name: source["identity"] for name, source in made[videos].manifest["inputs"].items()}
        for videos in ("generate", "framewise videos")
    ]
    assert inputs[1] == inputs[0] | {"motion": alone.identity}


def test_values_that_are_not_sizes_are_the_papers(made: dict[str, Artifact]) -> None:
    recipe = load_recipe("paper")
    for stage, artifact in made.items():
        for option, value in recipe.tables.get(stage.replace("_", "-"), {}).items():
            if option not in SIZES.get(stage, {}):
                assert artifact.options[option] == value, (stage, option)


def test_the_recipe_states_what_the_defaults_are_too() -> None:
    """The defaults of the training stages are the paper's: the recipe writes them down."""
    recipe = load_recipe("paper")
    for stage, config in (
        ("train-semantic", TrainSemanticConfig),
        ("train-structure", TrainStructureConfig),
        ("train-motion", TrainMotionConfig),
    ):
        default = config()
        assert config.model_validate(recipe.tables[stage]) == default, stage
