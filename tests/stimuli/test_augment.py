"""Random crops and caption edits."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mindanim.errors import InputError
from mindanim.stimuli.augment import SHARES, caption_views, crop_views, edit_caption, read_synonyms

CAPTION = "a large dog runs over the green field with a small child"
TABLE = {"large": ("big",), "dog": ("hound",), "small": ("little", "tiny")}
words = st.lists(st.sampled_from(CAPTION.split()), max_size=12).map(" ".join)


def test_crops_are_parts_of_the_image_and_the_clips_own() -> None:
    images = torch.rand(3, 3, 64, 64)
    crops = crop_views(images, ["a", "b", "c"], 5, 400 / 512, seed=0)
    assert crops.shape == (3, 5, 3, 50, 50)
    windows = images[1].unfold(1, 50, 1).unfold(2, 50, 1).permute(1, 2, 0, 3, 4)
    matches = [(windows == crop).all(-1).all(-1).all(-1).sum() for crop in crops[1]]
    assert all(count >= 1 for count in matches)
    alone = crop_views(images[1:2], ["b"], 5, 400 / 512, seed=0)
    assert torch.equal(alone[0], crops[1])  # whatever else is in the batch
    assert not torch.equal(crop_views(images[1:2], ["b"], 5, 400 / 512, seed=1), alone)


def test_whole_image_as_crop() -> None:
    images = torch.rand(1, 3, 32, 32)
    assert torch.equal(crop_views(images, ["a"], 1, 1.0, seed=0)[0, 0], images[0])


@given(caption=words, edit=st.sampled_from(sorted(SHARES)), seed=st.integers(0, 1000))
def test_edits_do_what_they_say(caption: str, edit: str, seed: int) -> None:
    before = caption.split()
    after = edit_caption(caption, edit, TABLE, np.random.default_rng(seed)).split()  # type: ignore[arg-type]
    changed = sum(one != other for one, other in zip(before, after, strict=False))
    if edit == "swap":
        assert Counter(after) == Counter(before)
    elif edit == "deletion":
        assert not Counter(after) - Counter(before) and (after or not before)
    elif edit == "insertion":
        added = Counter(after) - Counter(before)
        assert not Counter(before) - Counter(after)
        assert set(added) <= {synonym for word in before for synonym in TABLE.get(word, ())}
    else:
        assert len(after) == len(before) and changed <= max(1, round(0.5 * len(before)))
        pairs = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
        assert all(new in TABLE[old] for old, new in pairs)


def test_views_draw_the_original_and_every_edit() -> None:
    views = caption_views(CAPTION, "clip", 400, ("synonyms", "insertion", "swap", "deletion"), TABLE, seed=0)
    same = sum(view == CAPTION for view in views)
    assert 50 < same < 160  # a fifth, and the edits that happened to change nothing
    assert any("hound" in view for view in views) and len(set(views)) > 40
    assert views == caption_views(
        CAPTION, "clip", 400, ("synonyms", "insertion", "swap", "deletion"), TABLE, 0
    )
    assert views != caption_views(
        CAPTION, "other", 400, ("synonyms", "insertion", "swap", "deletion"), TABLE, 0
    )


def test_no_edits_leave_the_caption() -> None:
    assert caption_views(CAPTION, "clip", 3, (), TABLE, seed=0) == [CAPTION] * 3


def test_built_in_synonyms() -> None:
    table = read_synonyms()
    assert len(table) > 90 and "hound" in table["dog"]
    assert all(word == word.lower() and word not in synonyms for word, synonyms in table.items())


def test_own_synonyms(tmp_path: Path) -> None:
    file = tmp_path / "mine.tsv"
    file.write_text("# a comment\nDog\thound, cur\n\nsea\tocean\n")
    assert read_synonyms(file) == {"dog": ("hound", "cur"), "sea": ("ocean",)}
    file.write_text("dog\thound\ncat feline\n")
    with pytest.raises(InputError, match="Line 2"):
        read_synonyms(file)
    with pytest.raises(InputError, match="does not exist"):
        read_synonyms(tmp_path / "nowhere.tsv")
