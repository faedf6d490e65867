from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from mindanim import decoders
from mindanim.artifacts import Artifact, Draft, Source, Workspace, produce
from mindanim.config.option import StageConfig
from mindanim.config.run_options import RunOptions
from mindanim.config.train import TrainMotionConfig, TrainSemanticConfig, TrainStructureConfig
from mindanim.decoders.base import Shapes
from mindanim.decoders.fit import expected_bytes
from mindanim.decoders.load_examples import load_examples, load_given, training_clips
from mindanim.decoders.models.motion import Motion, MotionNetwork
from mindanim.decoders.validation_split import blocked_split
from mindanim.errors import InputError, MindanimError
from mindanim.stages.train import train_motion, train_semantic, train_structure
from tests.decoders.planted import SHAPES, clips_table, planted

TEST_CLIPS = 4


@pytest.fixture
def run(tmp_path: Path) -> RunOptions:
    """A work folder with the fmri and stimuli artifacts of a planted problem, stimuli in another order."""
    run = RunOptions(dataset="planted", subject=1, work=tmp_path, device="cpu")
    make_fmri(run)
    make_stimuli(run)
    return run


def table() -> pd.DataFrame:
    test = clips_table(1, TEST_CLIPS).assign(split="test", segment="test1", film="test1")
    test["clip_id"] = [f"test1-{row + 1:04d}" for row in range(TEST_CLIPS)]
    return pd.concat([clips_table(), test], ignore_index=True)


def make(kind: str, run: RunOptions, build: object) -> Artifact:
    path = Workspace.of(run).place(run, kind)
    sources = {"made": Source("made", "0")}
    return produce(kind, path, config=StageConfig(), inputs=sources, run=run, seed=None, build=build)  # type: ignore[arg-type]


def make_fmri(run: RunOptions, broken: int | None = None, **columns: object) -> None:
    responses = planted().semantic.responses.numpy().reshape(-1, *SHAPES.response).copy()
    if broken is not None:
        responses[broken] = np.nan

    def build(draft: Draft) -> None:
        draft.save_table("clips.tsv", table().assign(**columns), units={})
        draft.save_array("train_responses.npy", responses, axes="clip lag voxel")

    make("fmri", run, build)


def make_stimuli(run: RunOptions, without: str = "") -> None:
    data = planted()
    clips = table().assign(caption=[f"clip {row // 2}" for row in range(len(table()))])
    order = np.argsort(clips["clip_id"].to_numpy())[::-1]
    order = order[clips["clip_id"].to_numpy()[order] != without]

    def arranged(values: torch.Tensor) -> np.ndarray:
        padded = np.concatenate([values.numpy(), np.zeros((TEST_CLIPS, *values.shape[1:]), np.float32)])
        return padded[order]

    tokens = torch.cat(
        [
            data.semantic.first_token.expand(len(data.semantic.tokens), 1, 3),
            data.semantic.tokens.reshape(-1, 3, 3),
        ],
        dim=1,
    )

    def build(draft: Draft) -> None:
        draft.save_table("clips.tsv", clips.iloc[order], units={})
        draft.save_array("clip_text.npy", arranged(data.semantic.text), axes="clip view feature")
        draft.save_array("clip_image.npy", arranged(data.semantic.image), axes="clip view feature")
        draft.save_array("text_tokens.npy", arranged(tokens).astype(np.float16), axes="clip token feature")
        latents = arranged(data.motion.latents).reshape(-1, *SHAPES.latents).astype(np.float16)
        draft.save_array("latents.npy", latents, axes="clip frame channel height width")

    make("stimuli", run, build)


def test_three_decoders_from_artifacts(run: RunOptions) -> None:
    network = {"epochs": 40, "batch_size": 25, "learning_rate": 3e-3, "l1_penalty": 0.0}
    semantic = train_semantic(TrainSemanticConfig(head_widths=(32,), **network), run)
    structure = train_structure(TrainStructureConfig(decoder="ridge"), run)
    motion = train_motion(TrainMotionConfig(decoder="ridge", target="difference"), run)
    responses = planted().semantic.responses.reshape(-1, *SHAPES.response)

    found = decoders.load(semantic.path).predict(responses)
    assert found["text_tokens"].shape == (len(responses), *SHAPES.tokens)
    torch.testing.assert_close(found["text_tokens"][0, 0], torch.tensor([1.0, 2.0, 3.0]))
    first = decoders.load(structure.path).predict(responses)
    clips = decoders.load(motion.path).predict(responses, first)
    assert clips.shape == (len(responses), *SHAPES.latents) and torch.equal(clips[:, 0], first)

    for artifact in (semantic, structure, motion):
        assert artifact.facts["val_score"] > 0.2, artifact.kind
        assert artifact.facts["clips_validation"] == 20 and "seg" in artifact.facts["validation"]
        assert {"epoch", "train_loss", "val_loss", "val_score"} <= set(artifact.table("history.tsv"))
        assert Image.open(artifact.file("figures/curves.png")).width > 500
        assert len(artifact.manifest["methods"]) == 3
        assert not list(artifact.path.rglob("*.pt"))
    assert len(semantic.table("history.tsv")) == 40
    assert semantic.facts["precision"] == "fp32" and "precision" not in structure.facts
    assert semantic.facts["val_identification_chance"] == pytest.approx(1 / 19)
    gained = motion.facts["val_difference_r"] - motion.facts["val_other_responses_difference_r"]
    assert motion.facts["val_score"] == pytest.approx(gained)
    assert set(motion.table("penalties.tsv")["target"]) == {"later_frames"}
    # Nothing to do the second time.
    again = train_structure(TrainStructureConfig(decoder="ridge"), run)
    assert again.manifest["finished"] == structure.manifest["finished"]


def test_noise_is_called_chance(tmp_path: Path) -> None:
    run = RunOptions(dataset="planted", subject=1, work=tmp_path, device="cpu")
    rng = np.random.default_rng(6)

    def build(draft: Draft) -> None:
        draft.save_table("clips.tsv", table(), units={})
        noise = rng.standard_normal((len(clips_table()), *SHAPES.response)).astype(np.float32)
        draft.save_array("train_responses.npy", noise, axes="clip lag voxel")

    make("fmri", run, build)
    make_stimuli(run)
    artifact = train_structure(TrainStructureConfig(decoder="ridge"), run)
    assert artifact.facts["val_p"] > 0.05
    assert [finding["code"] for finding in artifact.findings] == ["structure-at-chance"]


class Untrainable(Motion):
    def follow(self, responses: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
        return first[:, None]


class Numbers(MotionNetwork):
    """Asks its tensors for their values while it is built, which torch's device "meta" has none of."""

    def __init__(self, shapes: Shapes, *, width: int) -> None:
        super().__init__(shapes)
        self.scale = torch.linspace(0, 1, width).tolist()
        self.layer = torch.nn.Linear(1000, width)

    def memory(self, responses: torch.Tensor) -> torch.Tensor:
        return responses

    def forward(self, tokens: torch.Tensor, memory: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        return tokens + self.layer.weight.mean()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"decoder": "cmg-patches", "patch_size": 3}, "Patches of 3 x 3"),
        ({"decoder": "nowhere:Decoder"}, "nowhere:Decoder cannot be imported"),
        ({"decoder": f"{__name__}:Untrainable"}, "Untrainable cannot be trained"),
        ({"decoder": f"{__name__}:Numbers", "decoder_arguments": {"with": 3}}, "unexpected keyword.*with"),
    ],
)
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_decoder_that_cannot_be_trained_is_refused_before_any_work(
    options: dict[str, object], words: str, dry_run: bool, run: RunOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mindanim.decoders.load_examples.decode_first_frames", None)
    config = TrainMotionConfig.model_validate(options)
    with pytest.raises(MindanimError, match=f"(?s){words}"):
        train_motion(config, run.model_copy(update={"dry_run": dry_run}))
    assert not list(run.work.rglob("*motion*"))


def test_room_is_made_sure_of_for_a_decoder_of_ones_own() -> None:
    made = {"decoder": f"{__name__}:Numbers", "decoder_arguments": {"width": 50}}
    before = torch.get_rng_state()
    found = expected_bytes("motion", TrainMotionConfig.model_validate(made), SHAPES)
    scalers = 2 * SHAPES.latent_size * SHAPES.frames
    assert found == 4 * 9 * (50 * 1001 + scalers) and torch.equal(before, torch.get_rng_state())


def test_missing_values_name_the_clip(tmp_path: Path) -> None:
    run = RunOptions(dataset="planted", subject=1, work=tmp_path, device="cpu")
    make_fmri(run, broken=21)
    make_stimuli(run)
    with pytest.raises(InputError, match="seg02-0002"):
        train_structure(TrainStructureConfig(decoder="ridge"), run)


def test_missing_features_name_the_clip(tmp_path: Path) -> None:
    run = RunOptions(dataset="planted", subject=1, work=tmp_path, device="cpu")
    make_fmri(run)
    make_stimuli(run, without="seg03-0005")
    with pytest.raises(InputError, match="seg03-0005"):
        train_structure(TrainStructureConfig(decoder="ridge"), run)


def test_clips_are_mapped_whatever_their_order(run: RunOptions, tmp_path: Path) -> None:
    workspace = Workspace.of(run)
    fmri, stimuli = workspace.read(run, "fmri"), workspace.read(run, "stimuli")
    clips = training_clips(fmri)
    split = blocked_split(clips, 0.2, 0.0, 4)
    given = load_given(fmri, stimuli, clips, split, tmp_path)
    whole = stimuli.array("latents.npy")
    assert isinstance(given.responses, np.memmap)
    for rows in (given.rows, np.arange(5, 40)):
        found = replace(given, rows=rows).feature("latents.npy")
        assert isinstance(found, np.memmap) and np.array_equal(found, whole[rows])
        assert not list(tmp_path.glob("*.npy")) and found.dtype == whole.dtype
    # Flattening does not copy.
    tokens = given.feature("text_tokens.npy")
    semantic = load_examples("semantic", replace(given, rows=np.arange(5, 40)), TrainSemanticConfig())
    assert semantic.tokens.dtype == torch.float16 and tokens.dtype == np.float16
    assert semantic.tokens.stride(0) == SHAPES.tokens[0] * SHAPES.tokens[1]
