"""Given captions, and the paper's rule for making them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from mindanim.errors import InputError
from mindanim.stimuli.captions import caption_clips, match_captions, misplaced, read_hdf5


def test_given_captions_in_the_clips_order() -> None:
    captions = {"b": " second ", "a": "first", "z": "of another clip"}
    assert match_captions(captions, ["a", "b"], "captions.tsv") == ["first", "second"]


def test_clips_without_caption_are_named_with_both_numbers() -> None:
    clips = [f"seg01-{number:04d}" for number in range(1, 13)]
    with pytest.raises(InputError, match=r"captions.tsv: 2 captions for 12 clips") as caught:
        match_captions({"seg01-0001": "a ball", "seg01-0002": " "}, clips, "captions.tsv")
    assert "seg01-0002, seg01-0003" in caught.value.why and "and 3 more" in caught.value.why


class Speaker:
    """Says how bright an image is."""

    def caption(self, images: torch.Tensor) -> list[str]:
        return [f"{image.mean():.1f}" for image in images]


class Space:
    """A CLIP space of two features, in which a caption's cosine to any image is the number it says."""

    def embed_images(self, images: torch.Tensor) -> torch.Tensor:
        return torch.tensor([[1.0, 0.0]]).expand(len(images), 2)

    def embed_texts(self, texts: list[str]) -> torch.Tensor:
        cosines = torch.tensor([float(text) for text in texts])
        return torch.stack([cosines, (1 - cosines**2).sqrt()], 1)


def clips(*brightness: tuple[float, float]) -> torch.Tensor:
    """(clip, frame, channel, height, width): first and last frame of given brightness, black between."""
    frames = torch.zeros(len(brightness), 8, 3, 4, 4)
    for clip, (first, last) in enumerate(brightness):
        frames[clip, 0], frames[clip, -1] = first, last
    return frames


def test_rule_of_the_paper() -> None:
    frames = clips((0.2, 0.6), (0.5, 0.5), (0.6, 0.2))
    made = caption_clips(Speaker(), Space(), frames, ["a", "b", "c"], 0.05, seed=0)  # type: ignore[arg-type]
    assert made == ["0.2, and then 0.6", "0.5", "0.6, and then 0.2"]
    kept = caption_clips(Speaker(), Space(), frames, ["a", "b", "c"], 0.5, seed=0)  # type: ignore[arg-type]
    assert kept[0] in ("0.2", "0.6") and kept[1] == "0.5"


def test_choice_between_similar_captions_is_random_but_the_clips_own() -> None:
    frames = clips(*[(0.1, 0.2)] * 60)
    names = [f"clip{number}" for number in range(60)]
    made = caption_clips(Speaker(), Space(), frames, names, 0.5, seed=0)  # type: ignore[arg-type]
    assert 15 < made.count("0.1") < 45
    again = caption_clips(Speaker(), Space(), frames[7:8], names[7:8], 0.5, seed=0)  # type: ignore[arg-type]
    assert again == made[7:8]


CLIPS = ["seg01-0001", "seg01-0002", "test1-0001"]


def write_h5(path: Path, **datasets: object) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name.replace("__", "/")] = values
    return path


@pytest.mark.parametrize(
    "text", [["a dog", "ein Käfer", "the sea"], np.array([b"a dog", b"sun", b"the sea"])]
)
def test_captions_of_an_hdf5_file_in_the_clips_order(tmp_path: Path, text: list[str]) -> None:
    path = write_h5(tmp_path / "captions.h5", some__where=text, numbers=[1.0, 2.0])
    expected = [one.decode() if isinstance(one, bytes) else one for one in text]
    assert read_hdf5([path], CLIPS) == dict(zip(CLIPS, expected, strict=True))


def test_captions_of_several_files_one_after_the_other(tmp_path: Path) -> None:
    train = write_h5(tmp_path / "train.h5", text=["a dog", "a cat"])
    test = write_h5(tmp_path / "test.h5", text=["the sea"])
    assert read_hdf5([train, test], CLIPS)["test1-0001"] == "the sea"


def plain(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def write_huge(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (10**11,), dtype="S8", chunks=(1000,))
    return path


def write_external(path: Path) -> Path:
    """Captions that are the bytes of a file elsewhere."""
    path.with_name("secret").write_bytes(b"password" * 3)
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (3,), dtype="S8", external=[(str(path.with_name("secret")), 0, 24)])
    return path


def write_virtual(path: Path) -> Path:
    source = write_h5(path.with_name("source.h5"), x=np.array([b"secret"] * 3))
    layout = h5py.VirtualLayout((3,), "S6")
    layout[:] = h5py.VirtualSource(source, "x", (3,))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("x", layout)
    return path


def damage(path: Path) -> Path:
    """Overwrite the object headers behind the superblock."""
    content = bytearray(path.read_bytes())
    content[96:800] = bytes(255 for _ in range(704))
    path.write_bytes(content)
    return path


MALFORMED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda at: at, "are missing"),
    "text": (lambda at: plain(at, b"a dog"), "not a readable HDF5"),
    "cut": (lambda at: plain(at, write_h5(at, x=["a"] * 3).read_bytes()[:-900]), "not a readable HDF5"),
    "empty": (lambda at: write_h5(at), "It has none"),
    "numbers": (lambda at: write_h5(at, x=[1, 2, 3]), "It has none"),
    "two sets": (lambda at: write_h5(at, a=["x"] * 3, b=["y"] * 3), "It has these: a, b"),
    "too few": (lambda at: write_h5(at, x=["a dog"]), "1 captions for 3 clips"),
    "too many": (lambda at: write_h5(at, x=["a"] * 4), "4 captions for 3 clips"),
    "far too many": (lambda at: write_huge(at), "100000000000 captions for 3 clips"),
    "long": (lambda at: write_h5(at, x=np.zeros(3, "S200000")), "takes 200.0 kB"),
    "of another file": (lambda at: write_external(at), "stored in another file"),
    "views of another file": (lambda at: write_virtual(at), "stored in another file"),
    "damaged": (lambda at: damage(write_h5(at, x=["a"] * 3)), "not a readable HDF5"),
    "other text": (lambda at: write_h5(at, x=np.array([b"K\xe4fer"] * 3)), "codec can't decode"),
}


@pytest.mark.parametrize("fault", MALFORMED)
def test_hdf5_files_that_do_not_fit(tmp_path: Path, fault: str) -> None:
    make, why = MALFORMED[fault]
    with pytest.raises(InputError, match=why) as caught:
        read_hdf5([make(tmp_path / "captions.h5")], CLIPS)
    assert caught.value.hint


def embeddings(clips: int = 120, share: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Pictures that drift slowly from clip to clip, and captions that say a part of each."""
    rng = np.random.default_rng(0)
    steps = rng.standard_normal((clips, 16))
    images = steps + 0.5 * np.roll(steps, 1, axis=0)
    texts = share * images + (1 - share) * rng.standard_normal((clips, 16)) + 2
    return images.astype(np.float32), texts.astype(np.float32)


def test_captions_in_their_place_are_not_complained_of() -> None:
    assert misplaced(*embeddings()) is None
    assert misplaced(*(values[:40] for values in reversed(embeddings(share=0.0)))) is None  # too few to say


@pytest.mark.parametrize("shift", [1, -1, 4, -10])
def test_captions_moved_along_are_found(shift: int) -> None:
    images, texts = embeddings()
    text, numbers = misplaced(images, np.roll(texts, shift, axis=0)) or ("", {})
    assert f"shifted by {-shift} clips" in text
    assert numbers["shift"] == -shift


def test_captions_in_another_order_are_found() -> None:
    images, texts = embeddings()
    text, _ = misplaced(images, np.random.default_rng(1).permutation(texts)) or ("", {})
    assert "no better than those of other clips" in text
