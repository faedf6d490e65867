"""The stage: films in, the stimuli artifact out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindanim.artifacts import Artifact, Planned
from mindanim.backbones import load_clip, load_diffusion
from mindanim.config.encode_stimuli import EncodeStimuliConfig
from mindanim.config.run_options import RunOptions
from mindanim.errors import ConfigError, InputError, MissingError
from mindanim.stages import encode_stimuli as stage
from mindanim.stimuli.encoding import Encoding
from mindanim.stimuli.frames import Sampling
from mindanim.stimuli.video import FilmFile
from mindanim.studies.checks.duplicates import perceptual_hash
from mindanim.vocabulary.clips import Clip
from mindanim.vocabulary.runs import Film
from tests.stimuli.filming import constant, variable, write_film

REAL = Path(__file__).parents[3] / "shared" / "data" / "films"


@dataclass(frozen=True)
class Title:
    title: str = "Three short films"
    lags_s: tuple[float, ...] = (4.0,)
    tr_s: float = 2.0
    clip_s: float = 2.0


@dataclass(frozen=True)
class Films:
    """A study of films only, cut into 2 s clips."""

    root: Path
    paths: dict[str, Path]
    clips_per_film: int
    spoken: dict[str, str] | None
    facts: Title = Title()

    def films(self) -> list[Film]:
        return [
            Film(name, path, "test" if name.startswith("test") else "train", name)
            for name, path in self.paths.items()
            if path.is_file()
        ]

    def clips(self) -> list[Clip]:
        return [
            Clip(
                f"{name}-{k + 1:04d}",
                "test" if name.startswith("test") else "train",
                name,
                name,
                k + 1,
                2.0 * k,
                2.0,
            )
            for name in sorted(self.paths, key=lambda name: name.startswith("test"))
            for k in range(self.clips_per_film)
        ]

    def captions(self) -> dict[str, str] | None:
        return self.spoken


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Films:
    """3 clips per film: training at 30 and 60 fps, test at a variable rate and ending with seg1's second."""
    root = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(0)
    looks = rng.integers(0, 256, (9, 8, 8, 3), dtype=np.uint8).repeat(8, 1).repeat(10, 2)  # one per clip
    looks[8] = looks[1]
    paths = {}
    for first, name, times in (
        (0, "seg1", constant(30, 6)),
        (3, "seg2", constant(60, 6)),
        (6, "test1", variable(6)),
    ):
        frames = [looks[first + min(2, int(time // 2000))] for time in times]
        paths[name] = write_film(root / f"{name}.mp4", times, frames)
    captions = {clip.clip_id: f"a red ball {clip.index}" for clip in Films(root, paths, 3, None).clips()}
    return Films(root, paths, 3, captions)


@pytest.fixture
def encode(films: Films, models: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(study: Films = films, *, options: dict[str, Any] | None = None, **config: Any) -> Artifact:
        monkeypatch.setattr(stage, "open_study", lambda *_: study)
        given = {"diffusion": models["diffusion"], "clip": models["clip"], "views": 3, "frames": 4, **config}
        run_options = {"dataset": "films", "data": study.root, "work": tmp_path / "work", "device": "cpu"}
        return stage.encode_stimuli(
            EncodeStimuliConfig(**given), RunOptions(**{**run_options, **(options or {})})
        )

    return run


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.npy")}


def test_everything_the_other_stages_read(encode: Any, films: Films, models: dict[str, str]) -> None:
    made = encode()
    table = made.table("clips.tsv")
    assert list(table["clip_id"]) == [clip.clip_id for clip in films.clips()]
    assert list(table["split"]) == ["train"] * 6 + ["test"] * 3
    assert table["caption"][4] == "a red ball 2"
    shapes = {name: made.array(name).shape for name in made.outputs if name.endswith(".npy")}
    assert shapes == {
        "latents.npy": (9, 4, 4, 4, 4),
        "clip_image.npy": (9, 3, 16),
        "frame_hash.npy": (9, 255),
        "clip_text.npy": (9, 3, 16),
        "text_tokens.npy": (9, 20, 16),
        "empty_tokens.npy": (20, 16),
        "test_frames.npy": (3, 4, 32, 32, 3),
        "mean_frames.npy": (4, 32, 32, 3),
    }
    assert made.facts["fps"] == 2.0 and made.facts["frame_size"] == 32 and made.facts["tokens"] == 20
    assert made.facts["latent_shape"] == [4, 4, 4] and made.facts["frames_per_clip"] == 4
    assert set(made.facts["backbones"]) == {"diffusion", "clip"}
    assert (made.path / "figures" / "clips.png").stat().st_size > 10_000
    # What lies in the arrays is what the models say of the frames.
    frames = made.array("test_frames.npy")
    diffusion, clip = load_diffusion(models["diffusion"]), load_clip(models["clip"])
    import torch

    pixels = torch.from_numpy(np.array(frames)).permute(0, 1, 4, 2, 3) / 255
    latents = diffusion.encode_frames(pixels.flatten(0, 1)).reshape(3, 4, 4, 4, 4)
    np.testing.assert_allclose(made.array("latents.npy")[6:], latents, atol=5e-3)
    np.testing.assert_allclose(
        made.array("clip_image.npy")[6:, 0], clip.embed_images(pixels[:, 1]), atol=1e-5
    )
    np.testing.assert_allclose(
        made.array("clip_text.npy")[:, 0], clip.embed_texts(list(table["caption"])), atol=1e-5
    )
    np.testing.assert_array_equal(made.array("frame_hash.npy")[6:], perceptual_hash(frames[:, 1]))
    empty = diffusion.encode_text([""], 20)[0]
    np.testing.assert_allclose(made.array("empty_tokens.npy"), empty, atol=2e-3)
    assert any("posterior means" in sentence for sentence in made.manifest["methods"])


def test_near_duplicates_across_the_split_are_found(encode: Any) -> None:
    found = {finding["code"]: finding for finding in encode().findings}
    assert [pair[:2] for pair in found["near-duplicate-clips"]["data"]["pairs"]] == [
        ["seg1-0002", "test1-0003"]
    ]


@pytest.mark.parametrize("batches_before_the_kill", [0, 1, 4])
def test_killed_and_continued_is_the_same(
    encode: Any, films: Films, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batches_before_the_kill: int
) -> None:
    whole = contents(encode(options={"work": tmp_path / "whole", "batch": 2}).path)
    add, calls = Encoding.add, []

    def dying(self: Encoding, *arguments: Any) -> None:
        calls.append(arguments[0].name)
        if len(calls) > batches_before_the_kill:
            raise KeyboardInterrupt
        add(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Encoding, "add", dying)
        with pytest.raises(KeyboardInterrupt):
            encode(options={"batch": 2})
    resumed = []
    monkeypatch.setattr(
        Encoding, "add", lambda self, batch, frames: (resumed.append(batch.name), add(self, batch, frames))
    )
    made = encode(options={"batch": 2})
    assert len(resumed) == 6 - batches_before_the_kill and calls[-1] == resumed[0]
    assert contents(made.path) == whole
    assert not (made.path / "scratch").exists()


def test_mean_counts_every_training_clip_once(
    encode: Any, films: Films, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when a run is killed between the sum and the mark, and continued in batches of another size."""
    from mindanim.artifacts import Draft

    with monkeypatch.context() as patch:
        patch.setattr(Draft, "mark_done", lambda self, step: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            encode(options={"batch": 2})
    mean = encode(options={"batch": 3}).array("mean_frames.npy")
    # Each clip of these films is a still picture: the training mean is that of the six looks, resized.
    looks = [
        FilmFile(films.paths[name]).read([at])[0]
        for name, fps in (("seg1", 30), ("seg2", 60))
        for at in (0, 2 * fps, 4 * fps)
    ]
    expected = Sampling(4, 32).resize(np.stack(looks)).mean(0)
    assert np.abs(mean - expected).max() < 8  # the codec's noise


def test_batch_size_is_no_part_of_the_result(encode: Any, tmp_path: Path) -> None:
    one, many = (encode(options={"work": tmp_path / str(batch), "batch": batch}) for batch in (1, 3))
    assert one.identity == many.identity
    for name in ("latents.npy", "clip_image.npy", "clip_text.npy"):
        np.testing.assert_allclose(one.array(name), many.array(name), atol=2e-3)


def test_captioner_speaks_where_no_captions_are_given(
    encode: Any, films: Films, models: dict[str, str]
) -> None:
    from dataclasses import replace

    mute = replace(films, spoken=None)
    with pytest.raises(InputError, match="no captions") as caught:
        encode(mute)
    assert "--captioner" in caught.value.hint
    made = encode(mute, captioner=models["captioner"])
    captions = list(made.table("clips.tsv")["caption"])
    assert len(captions) == 9 and all(captions)
    assert set(made.facts["backbones"]) == {"diffusion", "clip", "captioner"}
    assert any("first and the last frame" in sentence for sentence in made.manifest["methods"])


def test_own_table_of_captions(encode: Any, films: Films, tmp_path: Path) -> None:
    table = tmp_path / "captions.tsv"
    rows = [f"{clip.clip_id}\tthe sea {clip.index}" for clip in films.clips()]
    table.write_text("\n".join(["clip_id\tcaption", *rows]) + "\n")
    assert encode(captions=str(table)).table("clips.tsv")["caption"][0] == "the sea 1"
    with pytest.raises(InputError):  # the artifact that is there was made from these captions
        table.write_text("\n".join(["clip_id\tcaption", *reversed(rows[1:]), rows[0] + "!"]) + "\n")
        encode(captions=str(table))


def test_captions_of_other_groups_hdf5_files(encode: Any, tmp_path: Path) -> None:
    import h5py

    for name, count in (("train", 6), ("test", 3)):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["text"] = [f"{name} {number}" for number in range(count)]
    both = f"{tmp_path / 'train.h5'},{tmp_path / 'test.h5'}"
    assert list(encode(captions=both).table("clips.tsv")["caption"])[5:7] == ["train 5", "test 0"]
    with pytest.raises(InputError, match="6 captions for 9 clips"):
        encode(captions=str(tmp_path / "train.h5"))


def test_the_room_it_asks_for_is_about_what_it_takes(encode: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    produce = stage.produce
    monkeypatch.setattr(
        stage, "produce", lambda *a, **k: (asked.append(k["expected_bytes"]), produce(*a, **k))[1]
    )
    made = encode(views=40)
    taken = sum(made.array(name).nbytes for name in made.outputs if name.endswith(".npy"))
    assert 0.7 < asked[0] / taken < 1.1


def test_partial_study_says_so(encode: Any, films: Films, tmp_path: Path) -> None:
    from dataclasses import replace

    some = replace(films, paths={**films.paths, "seg2": tmp_path / "gone.mp4"})
    made = encode(some)
    assert made.array("latents.npy").shape[0] == 6 and made.facts["partial"]
    assert "partial-stimuli" in {finding["code"] for finding in made.findings}


def test_films_that_are_too_short_are_reported_together(encode: Any, films: Films) -> None:
    from dataclasses import replace

    with pytest.raises(InputError, match="3 problems") as caught:
        encode(
            replace(
                films,
                clips_per_film=5,
                spoken={clip.clip_id: "a" for clip in replace(films, clips_per_film=5).clips()},
            )
        )
    assert all(f"{name}.mp4 ends at" in str(caught.value) for name in ("seg1", "seg2", "test1"))


def test_dry_run_checks_and_writes_nothing(encode: Any, tmp_path: Path) -> None:
    with pytest.raises(Planned):
        encode(options={"dry_run": True})
    assert not list((tmp_path / "work").rglob("*.npy"))


def test_options_that_do_not_fit(encode: Any) -> None:
    with pytest.raises(ConfigError, match="77 tokens"):
        encode(tokens=77)
    with pytest.raises(MissingError, match="clip backbone"):
        encode(clip="/nowhere/clip")


def test_released_spacing_slows_the_clip_to_its_true_rate(encode: Any) -> None:
    made = encode(spacing="released", frames=8)
    assert made.facts["fps"] == pytest.approx(3.75, abs=0.01)


def test_real_films(encode: Any) -> None:
    if not REAL.is_dir():
        pytest.skip(f"{REAL}: the CC0 films are not on this machine")
    paths = {"seg1": REAL / "flower.mp4", "test1": REAL / "friday.mp4"}
    captions = {f"{name}-{k:04d}": f"{name} film" for name in paths for k in (1, 2)}
    made = encode(Films(REAL, paths, 2, captions), frames=8)
    frames = made.array("test_frames.npy")
    assert frames.shape == (2, 8, 32, 32, 3) and 20 < frames.mean() < 235
    assert np.ptp(frames.astype(int), axis=-1).mean() < 8  # friday.mp4 is black and white
    moved = np.abs(np.diff(frames.astype(int), axis=1)).mean(axis=(2, 3, 4))
    assert (moved > 0.2).all()
    assert np.isfinite(made.array("latents.npy")).all()
