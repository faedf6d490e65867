"""Given captions, and the paper's rule for making them."""

from __future__ import annotations

import pytest
import torch

from mindanim.errors import InputError
from mindanim.stimuli.captions import caption_clips, match_captions


def test_given_captions_in_the_clips_order() -> None:
    captions = {"b": " second ", "a": "first", "z": "of another clip"}
    assert match_captions(captions, ["a", "b"], "captions.tsv") == ["first", "second"]


def test_clips_without_caption_are_named_with_both_numbers() -> None:
    clips = [f"seg01-{number:04d}" for number in range(1, 10)]
    with pytest.raises(InputError, match=r"captions.tsv: 2 captions for 9 clips") as caught:
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
