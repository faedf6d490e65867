"""Augmented views of clips: random crops of the image, small edits of the caption."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from mindanim import runtime
from mindanim.errors import InputError
from mindanim.vocabulary.reading import reading

if TYPE_CHECKING:
    import torch

Edit = Literal["synonyms", "insertion", "swap", "deletion"]
Synonyms = Mapping[str, Sequence[str]]

# Shares of a caption's words that each edit changes (METHOD of the paper; EDA: Wei & Zou 2019, arXiv
# 1901.11196).
SHARES: dict[Edit, float] = {"synonyms": 0.5, "insertion": 0.2, "swap": 0.2, "deletion": 0.2}


def crop_views(
    images: torch.Tensor, clip_ids: Sequence[str], views: int, share: float, seed: int
) -> torch.Tensor:
    """Random square crops of square images.

    Args:
        images: (clip, channel, side, side).
        share: Side of a crop as a share of the image's side (400 / 512 in the paper).

    Returns:
        (clip, view, channel, crop, crop); each clip's crops depend on `seed` and its clip_id alone.
    """
    import torch

    side = images.shape[-1]
    crop = max(1, round(side * share))
    cut = []
    for image, clip_id in zip(images, clip_ids, strict=True):
        generator = runtime.clip_generator(seed, clip_id, "crop views")
        corners = torch.randint(0, side - crop + 1, (views, 2), generator=generator).tolist()
        cut.append(torch.stack([image[:, top : top + crop, left : left + crop] for top, left in corners]))
    return torch.stack(cut)


def caption_views(
    caption: str, clip_id: str, views: int, edits: Sequence[Edit], synonyms: Synonyms, seed: int
) -> list[str]:
    """`views` variants of a caption, each the caption itself or one edit of it, all equally likely."""
    rng = runtime.named_rng(seed, clip_id, "caption views")
    choices: list[Edit | None] = [None, *edits]
    drawn = (choices[rng.integers(len(choices))] for _ in range(views))
    return [edit_caption(caption, edit, synonyms, rng) if edit else caption for edit in drawn]


def edit_caption(caption: str, edit: Edit, synonyms: Synonyms, rng: np.random.Generator) -> str:
    """One edit of easy data augmentation; a caption that an edit cannot change is returned unchanged.

    Every edit but deletion changes as many words as its share of the caption says, one at least; deletion
    drops each word with that probability, and keeps one.
    """
    words = caption.split()
    count = max(1, round(SHARES[edit] * len(words)))
    replaceable = [place for place, word in enumerate(words) if synonyms.get(word.lower())]
    if edit == "deletion":
        kept = [word for word in words if rng.random() >= SHARES[edit]]
        words = kept or words[:1]
    elif edit == "swap" and len(words) > 1:
        for _ in range(count):
            one, other = rng.choice(len(words), 2, replace=False)
            words[one], words[other] = words[other], words[one]
    elif edit == "synonyms" and replaceable:
        for place in rng.permutation(replaceable)[:count]:
            words[place] = _pick(synonyms[words[place].lower()], rng)
    elif edit == "insertion" and replaceable:
        inserted = [_pick(synonyms[words[rng.choice(replaceable)].lower()], rng) for _ in range(count)]
        for word in inserted:
            words.insert(int(rng.integers(len(words) + 1)), word)
    return " ".join(words)


def read_synonyms(path: Path | None = None) -> dict[str, tuple[str, ...]]:
    """A table of synonyms: one line per word, a tab, its synonyms separated by commas.

    Args:
        path: The user's own table; None is the built-in one, a hand-written list of common words in captions
            of everyday scenes (WordNet, which EDA uses, is not required).

    Raises:
        InputError: The file is missing or has another form.
    """
    if path is None:
        return _built_in()
    with reading(path, "table of synonyms", "Write it as UTF-8: a word, a tab, synonyms with commas."):
        return _parse(path.read_text(encoding="utf-8"), str(path))


@cache
def _built_in() -> dict[str, tuple[str, ...]]:
    text = resources.files("mindanim.stimuli").joinpath("synonyms.tsv").read_text(encoding="utf-8")
    return _parse(text, "synonyms.tsv")


def _parse(text: str, source: str) -> dict[str, tuple[str, ...]]:
    table = {}
    for number, row in enumerate(
        csv.reader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE), start=1
    ):
        if not row or row[0].startswith("#"):
            continue
        synonyms = tuple(word.strip() for word in row[1].split(",") if word.strip()) if len(row) == 2 else ()
        if not synonyms:
            raise InputError(
                f"Line {number} of {source} is not a word, a tab and its synonyms separated by commas: {row}."
            )
        table[row[0].strip().lower()] = synonyms
    return table


def _pick(words: Sequence[str], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]
