"""The stage on a tiny study of noise: what it writes, what it refuses, and what a kill costs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from pydantic import ValidationError

from mindanim.artifacts import Artifact, Draft, Planned, ShareDone, Source, Workspace, produce
from mindanim.artifacts.lock import locked
from mindanim.backbones import load_diffusion
from mindanim.backbones.diffusion import StableDiffusion
from mindanim.config.generate import GenerateConfig
from mindanim.config.option import StageConfig
from mindanim.config.run_options import RunOptions
from mindanim.errors import ConfigError, InputError, MindanimError, UsageError
from mindanim.generation import generator as generator_module
from mindanim.generation.features import Features
from mindanim.generation.samplers import SAMPLERS, Batch
from mindanim.stages.generate import generate
from tests.forked import start
from tests.generation.study import FRAMES, LATENT, SIDE, TEST, TOKENS, TRAIN, config, make_study, options
from tests.stages.test_launch import LAUNCH
from tests.tiny import tiny_diffusion_folder

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("work")
    make_study(work)
    return work


def run_stage(work: Path, label: str, *, run: dict[str, object] | None = None, **changes: object) -> Artifact:
    return generate(config(work / "model", **changes), options(work, label=label, **(run or {})))


@pytest.fixture(scope="module")
def videos(work: Path) -> Artifact:
    return run_stage(work, "", run={"batch": 3})


def frames_of(artifact: Artifact) -> np.ndarray:
    return np.stack([artifact.array(f"clips/{name}.npy") for name in artifact.table("clips.tsv")["clip_id"]])


def stimuli_rows(work: Path, ids: list[str]) -> tuple[Artifact, list[int]]:
    stimuli = Workspace.of(options(work)).read(options(work), "stimuli")
    names = list(stimuli.table("clips.tsv")["clip_id"])
    return stimuli, [names.index(name) for name in ids]


def test_every_clip_has_its_frames_its_film_and_its_features(videos: Artifact) -> None:
    clips = videos.table("clips.tsv")
    assert list(clips["clip_id"]) == [f"test1-{n:04}" for n in range(1, TEST + 1)]
    assert list(clips["caption"]) == [f"caption of {name}" for name in clips["clip_id"]]
    frames = frames_of(videos)
    assert frames.shape == (TEST, FRAMES, SIDE, SIDE, 3)
    assert frames.dtype == np.uint8
    assert frames.std() > 1, "not a constant picture"
    assert videos.array("decoded_latents.npy").shape == (TEST, FRAMES, *LATENT)
    assert videos.array("decoded_tokens.npy").shape[:2] == (TEST, TOKENS)
    assert videos.facts["evaluations_per_clip"] == 2 * 2
    assert videos.findings == []
    for name in clips["clip_id"]:
        with av.open(videos.file(f"view/{name}.mp4")) as film:
            assert film.streams.video[0].average_rate == videos.facts["fps"] == FRAMES / 2
            assert [f.to_ndarray(format="rgb24").shape for f in film.decode(video=0)] == [
                (256, 256, 3)
            ] * FRAMES
    assert "DPM-Solver++" in " ".join(videos.manifest["methods"])


def test_decoders_read_the_responses_of_their_own_clip(work: Path, videos: Artifact) -> None:
    from mindanim import decoders

    workspace, run = Workspace.of(options(work)), options(work)
    responses = np.array(workspace.read(run, "fmri").array("test_responses.npy"))
    semantic = decoders.load(workspace.stage(1, "semantic"))
    structure = decoders.load(workspace.stage(1, "structure"))
    expected = semantic.predict(responses[4:5])
    np.testing.assert_allclose(videos.array("decoded_clip.npy")[4], expected["clip"][0], atol=1e-5)
    np.testing.assert_allclose(videos.array("decoded_tokens.npy")[4], expected["text_tokens"][0], atol=2e-3)
    first = structure.predict(responses[4:5])[0]
    np.testing.assert_allclose(videos.array("decoded_latents.npy")[4, 0], first, atol=2e-3)


def test_frames_do_not_depend_on_the_batch(work: Path, videos: Artifact) -> None:
    alone = run_stage(work, "alone", run={"batch": 1})
    together = run_stage(work, "together", run={"batch": TEST}, frames_at_once=2)
    assert videos.identity == alone.identity == together.identity
    for other in (alone, together):
        difference = np.abs(frames_of(videos).astype(int) - frames_of(other))
        assert difference.max() <= 1, "a grey level may turn where a value lies between two"
        assert (difference > 0).mean() < 1e-3


def test_a_chosen_part_has_the_same_frames_and_says_that_it_is_a_part(work: Path, videos: Artifact) -> None:
    part = run_stage(work, "part", run={"batch": 3}, clips="2-3,test1-0006,7", limit=3)
    assert list(part.table("clips.tsv")["clip_id"]) == ["test1-0002", "test1-0003", "test1-0006"]
    difference = np.abs(frames_of(videos)[[1, 2, 5]].astype(int) - frames_of(part))
    assert difference.max() <= 1
    assert [finding["code"] for finding in part.findings] == ["subset"]


def test_another_seed_gives_other_frames(work: Path, videos: Artifact) -> None:
    other = run_stage(work, "seed", limit=1, seed=1)
    assert np.abs(frames_of(videos)[:1].astype(int) - frames_of(other)).max() > 3


KILLED = """
import os, signal, sys
from pathlib import Path
from mindanim.generation import store
from mindanim.generation import clip_files as render
from tests.generation.study import config, options
from mindanim.stages.generate import generate
work, written, write_clip = Path(sys.argv[1]), [], render.write_clip
def write_then_die(write, clip_id, frames, fps):
    if len(written) == 3:
        with write(f"view/{clip_id}.mp4") as path:
            path.write_bytes(b"half a film")
            os.kill(os.getpid(), signal.SIGKILL)
    write_clip(write, clip_id, frames, fps)
    written.append(clip_id)
store.write_clip = write_then_die
generate(config(work / "model"), options(work, label="killed", batch=2))
"""


def test_a_killed_run_goes_on_to_the_same_bytes(work: Path) -> None:
    killed = start(KILLED, str(work), cwd=ROOT)
    problems = killed.communicate()[1]
    assert killed.returncode == -9, problems
    (partial,) = (work / "noise/sub-01").glob(".videos-killed.partial-*")
    before = {path.name: path.stat().st_mtime_ns for path in (partial / "clips").glob("test*.npy")}
    assert len(before) == 3
    resumed = run_stage(work, "killed")
    whole = run_stage(work, "whole", run={"batch": 2})
    assert resumed.facts["clips_at_a_time"] == 2, "the batches of the killed run"
    for name, written in before.items():
        assert resumed.file(f"clips/{name}").stat().st_mtime_ns == written, "a finished clip is never redone"
    assert resumed.digest == whole.digest


def test_sampling_is_redone_from_kept_features_without_a_decoder(
    work: Path, videos: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = run_stage(work, "fresh", steps=4, limit=3)
    monkeypatch.setattr("mindanim.decoders.load", None)  # whoever reads a decoder fails
    again = run_stage(work, "again", steps=4, limit=3, features="videos")
    assert again.identity == fresh.identity
    assert np.abs(frames_of(again).astype(int) - frames_of(fresh)).max() <= 1
    for name in ("decoded_latents.npy", "decoded_tokens.npy", "decoded_clip.npy"):
        np.testing.assert_array_equal(again.array(name), videos.array(name)[:3])
    assert np.abs(frames_of(again).astype(int) - frames_of(videos)[:3]).max() > 3, "sampled anew"


def test_features_of_other_options_or_clips_are_refused(work: Path) -> None:
    run_stage(work, "still", without=("motion",), limit=2)
    words = r"(?s)without was \['motion'\], and is \[\] now.*lack 5 of the clips, test1-0003"
    with pytest.raises(InputError, match=words):
        run_stage(work, "moving", features="videos-still")
    with pytest.raises(InputError, match="No videos in") as missing:
        run_stage(work, "moving", features="videos-nothing")
    why = missing.value.why
    assert "videos-still" in why and "choose it with --set features=NAME" in why
    assert "--use" not in f"{why} {missing.value.hint}"
    with pytest.raises(UsageError, match="names the videos that this run makes"):
        run_stage(work, "still", features="videos-still", run={"force": True})
    with pytest.raises(ValidationError):
        config(work / "model", features="../elsewhere")


def test_a_killed_run_does_not_decode_twice(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> object:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(generator_module.Generator, "frames", stop)
        run_stage(work, "stopped", limit=2)
    monkeypatch.setattr("mindanim.decoders.load", None)
    assert run_stage(work, "stopped", limit=2).facts["clips"] == 2


def test_oracle_takes_the_features_of_the_clip_itself(work: Path) -> None:
    oracle = run_stage(work, "oracle", oracle=("all",))
    stimuli, rows = stimuli_rows(work, list(oracle.table("clips.tsv")["clip_id"]))
    np.testing.assert_array_equal(oracle.array("decoded_latents.npy"), stimuli.array("latents.npy")[rows])
    np.testing.assert_array_equal(oracle.array("decoded_tokens.npy"), stimuli.array("text_tokens.npy")[rows])
    np.testing.assert_array_equal(oracle.array("decoded_clip.npy"), stimuli.array("clip_text.npy")[rows, 0])
    assert set(oracle.manifest["inputs"]) == {"fmri", "stimuli", "diffusion"}, "no decoder is needed"


def test_without_a_feature_the_generator_gets_what_is_known_without_the_brain(work: Path) -> None:
    bare = run_stage(work, "bare", without=("semantic", "structure", "motion"), limit=2)
    stimuli, _ = stimuli_rows(work, [])
    train = (stimuli.table("clips.tsv")["split"] == "train").to_numpy()
    assert train.sum() == TRAIN
    mean = stimuli.array("latents.npy")[train, 0].mean(axis=0, dtype=np.float64)
    latents = bare.array("decoded_latents.npy")
    np.testing.assert_array_equal(latents, np.broadcast_to(mean.astype(np.float16), latents.shape))
    np.testing.assert_allclose(
        bare.array("decoded_tokens.npy")[1], stimuli.array("empty_tokens.npy"), atol=2e-3
    )
    assert sum("ablation" in text for text in bare.manifest["methods"]) == 3


def test_true_motion_is_added_to_the_decoded_first_frame(work: Path, videos: Artifact) -> None:
    moved = run_stage(work, "moved", oracle=("motion",), limit=2)
    stimuli, rows = stimuli_rows(work, list(moved.table("clips.tsv")["clip_id"]))
    true = stimuli.array("latents.npy")[rows].astype(np.float64)
    latents = moved.array("decoded_latents.npy").astype(np.float64)
    np.testing.assert_allclose(latents[:, 0], videos.array("decoded_latents.npy")[:2, 0], atol=2e-3)
    np.testing.assert_allclose(latents - latents[:, :1], true - true[:, :1], atol=1e-2)


def test_no_brain_decodes_something_else(work: Path, videos: Artifact) -> None:
    noise = run_stage(work, "noise", no_brain=True, limit=2)
    assert np.abs(noise.array("decoded_clip.npy") - videos.array("decoded_clip.npy")[:2]).max() > 1e-2
    assert any("floor" in text for text in noise.manifest["methods"])


def test_the_released_sampler_runs(work: Path) -> None:
    videos = run_stage(work, "released", sampler="released", released_steps=2, limit=1)
    assert videos.facts["evaluations_per_clip"] == 6
    assert "DDIM" in " ".join(videos.manifest["methods"])


def test_a_dry_run_checks_everything_and_writes_nothing(work: Path) -> None:
    with pytest.raises(Planned):
        run_stage(work, "dry", run={"dry_run": True})
    with pytest.raises(InputError, match="test1-9999"):
        run_stage(work, "dry", run={"dry_run": True}, clips="test1-9999")
    assert not list((work / "noise/sub-01").glob("*dry*"))


def test_a_decoder_of_other_responses_is_refused(work: Path) -> None:
    def build(draft: Draft) -> None:
        fmri = Workspace.of(options(work)).read(options(work), "fmri")
        draft.save_table("clips.tsv", fmri.table("clips.tsv"), units={})
        draft.save_array("test_responses.npy", fmri.array("test_responses.npy"), axes="clip lag voxel")

    run = options(work, label="other")
    path = Workspace.of(run).place(run, "fmri")
    inputs = {"made": Source("noise", "2")}
    produce("fmri", path, config=StageConfig(), inputs=inputs, run=run, seed=None, build=build)
    with pytest.raises(InputError, match=r"(?s)semantic decoder.*structure decoder.*motion decoder"):
        run_stage(work, "mixed", run={"use": {"fmri": "other"}})


def test_another_diffusion_model_than_the_encoders_is_refused(work: Path, tmp_path: Path) -> None:
    other = tiny_diffusion_folder(tmp_path / "other", frame_size=SIDE, text_width=16, seed=5)
    with pytest.raises(InputError, match="encoded with a different diffusion model"):
        run_stage(work, "other", diffusion=str(other))


def test_too_little_memory_halves_the_batch_and_tells(
    work: Path, videos: Artifact, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = SAMPLERS["sdedit"]

    def small(network: Any, schedule: Any, batch: Batch, options: GenerateConfig) -> torch.Tensor:
        if len(batch.latents) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return whole.sample(network, schedule, batch, options)

    monkeypatch.setitem(SAMPLERS._own, "sdedit", replace(whole, sample=small))
    halved = run_stage(work, "halved", run={"batch": TEST})
    assert np.abs(frames_of(videos).astype(int) - frames_of(halved)).max() <= 1
    assert "exceed the memory" in capsys.readouterr().err

    def never(*_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("none left")

    monkeypatch.setitem(SAMPLERS._own, "sdedit", replace(whole, sample=never))
    with pytest.raises(MindanimError, match="test1-0001 does not fit"):
        run_stage(work, "none", run={"batch": 2})


def test_too_little_memory_for_the_autoencoder_does_not_sample_again(
    work: Path, videos: Artifact, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, sampled, sizes = StableDiffusion.decode_latents, [], []
    sampler = SAMPLERS["sdedit"]

    def small(self: StableDiffusion, latents: torch.Tensor, tile: int | None) -> torch.Tensor:
        sizes.append(len(latents))
        if len(latents) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return whole(self, latents, tile)

    def counted(*given: Any) -> torch.Tensor:
        sampled.append(1)
        return sampler.sample(*given)

    monkeypatch.setattr(StableDiffusion, "decode_latents", small)
    monkeypatch.setitem(SAMPLERS._own, "sdedit", replace(sampler, sample=counted))
    halved = run_stage(work, "fewer", run={"batch": 2}, frames_at_once=8, limit=2)
    assert np.abs(frames_of(videos)[:2].astype(int) - frames_of(halved)).max() <= 1
    assert sampled == [1] and sizes == [6, 4, 2, 2, 2]
    assert "decoding 2 at a time" in capsys.readouterr().err


def test_frames_that_are_not_finite_are_refused(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object, __: object, batch: Batch, ___: object) -> torch.Tensor:
        broken = batch.latents.clone()
        broken[1] = torch.nan
        return broken

    monkeypatch.setitem(SAMPLERS._own, "sdedit", replace(SAMPLERS["sdedit"], sample=broken))
    with pytest.raises(MindanimError, match="test1-0002 are not finite"):
        run_stage(work, "nan", run={"batch": 3})


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (lambda latents: latents[:1], "found (1, "),
        (lambda latents: latents.mean(1), "found (3, "),
        (lambda latents: latents.numpy(), "found ndarray"),
        (lambda latents: latents.to(torch.complex64), "complex64"),
    ],
)
def test_a_sampler_that_returns_something_else_is_named(
    given: Any, why: str, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(_: object, __: object, batch: Batch, ___: object) -> object:
        return given(batch.latents)

    monkeypatch.setitem(SAMPLERS._own, "sdedit", replace(SAMPLERS["sdedit"], sample=other))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="The sampler sdedit does not return latents") as caught:
        run_stage(work, "elsewhere", run={"batch": 3})
    assert why in caught.value.why


SHARE = """
import sys
from pathlib import Path
from mindanim.artifacts import ShareDone
from mindanim.stages.generate import generate
from tests.generation.study import config, options
work, shard = Path(sys.argv[1]), sys.argv[2]
try:
    print(generate(config(work / "model"), options(work, label="shards", batch=2, shard=shard)).identity)
except ShareDone as done:
    print(done.reason)
"""


def test_independent_processes_fill_one_artifact(work: Path, videos: Artifact) -> None:
    running = [start(SHARE, str(work), f"{i}/3", cwd=ROOT) for i in (1, 2, 3)]
    said = []
    for process in running:
        out, problems = process.communicate()
        assert process.returncode == 0, problems
        said.append(out.strip())
    folder = work / "noise" / "sub-01" / "videos-shards"
    assert said.count(videos.identity) == 1, said
    assert all(one == videos.identity or "share" in one for one in said), said
    together = Artifact.load(folder)
    assert together.identity == videos.identity
    assert list(together.table("clips.tsv")["clip_id"]) == list(videos.table("clips.tsv")["clip_id"])
    assert np.abs(frames_of(videos).astype(int) - frames_of(together)).max() <= 1
    for name in ("decoded_latents.npy", "decoded_tokens.npy", "decoded_clip.npy"):
        np.testing.assert_allclose(together.array(name), videos.array(name), atol=2e-3)
    assert set(together.outputs) == set(videos.outputs)
    assert not list(folder.parent.glob(".videos-shards*"))
    # Afterwards every share finds the artifact there.
    again = run_stage(work, "shards", run={"shard": "2/3"})
    assert again.manifest["finished"] == together.manifest["finished"]


LAUNCHED = """
import sys
from pathlib import Path
from mindanim.stages.generate import generate
from tests.generation.study import config, options
work = Path(sys.argv[1])
generate(config(work / "model"), options(work, label="launched", batch=2))
"""


def test_the_processes_of_one_launch_share_the_clips(work: Path, videos: Artifact, tmp_path: Path) -> None:
    script = tmp_path / "launched.py"
    script.write_text(LAUNCHED)
    launch = [sys.executable, *LAUNCH.split(), "--multi_gpu", str(script), str(work)]
    alone = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(launch, cwd=ROOT, env=alone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    together = Artifact.load(work / "noise" / "sub-01" / "videos-launched")
    assert together.identity == videos.identity and together.manifest["environment"]["processes"] == 2
    assert np.abs(frames_of(videos).astype(int) - frames_of(together)).max() <= 1
    assert set(together.outputs) == set(videos.outputs)


def test_a_share_waits_for_the_others_and_the_last_one_finishes(work: Path) -> None:
    with pytest.raises(ShareDone, match="share 2 of 2 is done"):
        run_stage(work, "halves", run={"shard": "2/2", "batch": 4}, limit=5)
    (partial,) = (work / "noise/sub-01").glob(".videos-halves.partial-*")
    made = sorted(path.stem for path in (partial / "clips").glob("*.npy"))
    assert made == ["test1-0002", "test1-0004"]
    with pytest.raises(ShareDone):  # nothing is made twice
        run_stage(work, "halves", run={"shard": "2/2"}, limit=5)
    whole = run_stage(work, "halves", run={"shard": "1/2"}, limit=5)
    assert whole.facts["clips"] == 5 and whole.manifest["sessions"] == 4
    assert "shard" not in (whole.path / "config.toml").read_text()


def test_a_run_without_shares_does_not_disturb_one_with(work: Path) -> None:
    with pytest.raises(ShareDone):
        run_stage(work, "both", run={"shard": "1/2"}, limit=2)
    place = work / "noise" / "sub-01"
    with locked(place / ".videos-both.part-2of2.lock"):
        with pytest.raises(InputError, match="part-2of2"):
            run_stage(work, "both", limit=2)
        with pytest.raises(InputError, match="part-2of2"):
            run_stage(work, "both", run={"shard": "2/2"}, limit=2)
    with locked(place / ".videos-both.lock"), pytest.raises(InputError, match="Another mindanim"):
        run_stage(work, "both", run={"shard": "2/2"}, limit=2)
    assert run_stage(work, "both", limit=2).facts["clips"] == 2


def test_little_memory_gives_the_same_frames(work: Path, videos: Artifact) -> None:
    little = run_stage(work, "little", run={"low_memory": True}, limit=2)
    assert little.facts["clips_at_a_time"] == 1
    assert np.abs(frames_of(videos)[:2].astype(int) - frames_of(little)).max() <= 1
    published = run_stage(work, "p", sampler="released", released_steps=2, limit=1)
    small = run_stage(
        work, "p.little", run={"low_memory": True}, sampler="released",
        released_steps=2, limit=1,
    )  # fmt: skip
    assert np.abs(frames_of(published).astype(int) - frames_of(small)).max() <= 1


def test_tiles_are_another_result_and_tell(work: Path, videos: Artifact) -> None:
    with pytest.raises(ConfigError, match="multiple of 32"):
        run_stage(work, "tiles", tile=72, run={"dry_run": True})
    tiled = run_stage(work, "tiles", tile=64, limit=1)  # larger than the frames: they stay whole
    assert tiled.identity != run_stage(work, "whole.one", limit=1).identity
    assert np.abs(frames_of(videos)[:1].astype(int) - frames_of(tiled)).max() <= 1
    assert "tiles of 64 px" in " ".join(tiled.manifest["methods"])


def test_the_network_is_compiled_when_asked(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compiled.append(type(module).__name__))
    run_stage(work, "compiled", compile=True, limit=1)
    assert compiled == ["UNet2DConditionModel"]


def test_the_prompts_of_the_released_sampler(work: Path) -> None:
    """The negative prompt at the length of the condition; the empty one at the full length of the model."""
    backbone = load_diffusion(str(work / "model"))
    settings = GenerateConfig(sampler="released")
    empty = backbone.encode_text([""], TOKENS)[0]
    generator = generator_module.Generator.of(settings, backbone, FRAMES, empty.numpy())
    assert settings.released_negative_prompt.startswith("Not like the real scene")
    (expected,) = backbone.encode_text([settings.released_negative_prompt], TOKENS)
    torch.testing.assert_close(generator.prompts["negative"], expected)
    (full,) = backbone.encode_text([""], 20)
    torch.testing.assert_close(generator.prompts["inversion"], full)
    assert backbone.max_tokens == 20 != TOKENS


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_nearly_the_same_frames(work: Path, videos: Artifact) -> None:
    there = run_stage(work, "gpu", run={"device": "cuda", "precision": "fp32"}, limit=2)
    assert np.abs(frames_of(videos)[:2].astype(int) - frames_of(there)).mean() < 4


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_gives_nearly_the_same_frames(work: Path, videos: Artifact, precision: str) -> None:
    half = run_stage(work, precision, run={"precision": precision}, limit=2)
    difference = np.abs(frames_of(videos)[:2].astype(int) - frames_of(half))
    assert 0 < difference.mean() < 8
    assert half.identity == run_stage(work, "single", limit=2).identity
    assert half.facts["precision"] == precision


@pytest.mark.parametrize("sampler", ["sdedit", "released"])
def test_a_model_of_the_second_generation(work: Path, tmp_path: Path, sampler: str) -> None:
    """Stable Diffusion 2.x: velocity prediction, another text width, linear projections, more heads."""
    folder = tmp_path / "sd2"
    tiny_diffusion_folder(folder, frame_size=SIDE, text_width=24, prediction_type="v_prediction")
    file = folder / "unet" / "config.json"
    network = UNet2DConditionModel.from_config(
        json.loads(file.read_text()) | {"use_linear_projection": True, "attention_head_dim": [2, 4]}
    )
    network.save_pretrained(folder / "unet")
    backbone = load_diffusion(str(folder))
    settings = GenerateConfig(sampler=sampler, steps=4, released_steps=3, limit=1)  # type: ignore[arg-type]
    empty = backbone.encode_text([""], TOKENS)[0].numpy()
    generator = generator_module.Generator.of(settings, backbone, FRAMES, empty)
    torch.manual_seed(1)
    given = Features(torch.zeros(2, 8), torch.randn(2, TOKENS, 24), torch.randn(2, FRAMES, *LATENT))
    frames = generator.frames(given, ["one", "two"])
    assert frames.shape == (2, FRAMES, SIDE, SIDE, 3) and frames.std() > 1
    # The same weights read as a predictor of noise give another result: the kind is taken from the model.
    other = tmp_path / "epsilon"
    shutil.copytree(folder, other)
    schedule = other / "scheduler" / "scheduler_config.json"
    schedule.write_text(json.dumps(json.loads(schedule.read_text()) | {"prediction_type": "epsilon"}))
    epsilon = generator_module.Generator.of(settings, load_diffusion(str(other)), FRAMES, empty)
    assert np.abs(epsilon.frames(given, ["one", "two"]).astype(int) - frames).max() > 3


@pytest.mark.parametrize("option", ["released_steps", "released_noise_timestep"])
def test_levels_beyond_the_schedule_are_refused(option: str) -> None:
    with pytest.raises(ValidationError, match="less than or equal to 999"):
        GenerateConfig.model_validate({option: 1000})


def test_how_the_work_is_shared_is_checked() -> None:
    assert RunOptions.model_validate({"batch": "auto"}).batch is None
    assert RunOptions(shard="2/8").share == (2, 8) and RunOptions().share is None
    for wrong in ("0/4", "5/4", "2", "a/b", "1/0"):
        with pytest.raises(ValidationError, match="i/n"):
            RunOptions(shard=wrong)
