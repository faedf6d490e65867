import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mindanim.decoders.load_examples import caption_labels
from mindanim.decoders.training.random_inputs import draw_views, zero_entries
from mindanim.decoders.validation_split import blocked_split
from mindanim.errors import InputError
from tests.decoders.planted import clips_table


@settings(deadline=None, max_examples=40)
@given(segments=st.integers(3, 20), clips=st.integers(1, 6), fraction=st.floats(0.01, 0.5))
def test_split_holds_out_whole_segments(segments: int, clips: int, fraction: float) -> None:
    table = clips_table(segments, clips)
    split = blocked_split(table, fraction, 20.0, 4)
    held, kept = set(split.segments[split.validation]), set(split.segments[split.fit])
    assert held and kept and not held & kept
    assert sorted([*split.fit, *split.validation]) == list(range(len(table)))
    assert len(kept) >= 2, "the penalty is chosen between segments that fit"
    assert len(held) == max(1, round(fraction * segments)) or len(kept) == 2


def test_split_is_the_same_for_everyone() -> None:
    table = clips_table(18, 4)
    first, again = blocked_split(table, 0.1, 20.0, 6), blocked_split(table, 0.1, 20.0, 6)
    assert np.array_equal(first.validation, again.validation)
    assert first.held_out == "segments seg05, seg14"


def test_single_segment_leaves_a_gap() -> None:
    table = clips_table(1, 100)
    split = blocked_split(table, 0.2, 9.0, 4)
    assert split.validation.tolist() == list(range(80, 100))
    # The border is at 160 s: clips that begin less than 9 s before it are left out.
    assert split.purged.tolist() == [76, 77, 78, 79]
    assert split.fit.tolist() == list(range(76))
    assert len(set(split.segments[split.fit])) == 4
    assert not set(split.segments[split.fit]) & set(split.segments[split.validation])


def test_segments_of_one_film_leave_a_gap_on_both_sides() -> None:
    """A film shown in five runs of 20 clips: the third validates, and its neighbours in time do not train."""
    table = clips_table(5, 20).assign(film="film.mp4", onset_s=2.0 * np.arange(100))
    split = blocked_split(table, 0.1, 9.0, 4)
    assert split.validation.tolist() == list(range(40, 60))
    assert split.purged.tolist() == [36, 37, 38, 39, 60, 61, 62, 63]
    assert not set(split.fit) & {*split.validation, *split.purged} and len(split.fit) == 72
    assert split.held_out == "segments seg03, with a gap of 8 clips around them"
    assert len(blocked_split(clips_table(5, 20), 0.1, 9.0, 4).purged) == 0, "films of their own"
    with pytest.raises(InputError, match="No training clip is 500 s away"):
        blocked_split(table, 0.1, 500.0, 4)


def test_clips_of_their_own_films_need_no_gap() -> None:
    table = clips_table(1, 100).assign(film=[f"{row}.mp4" for row in range(100)], onset_s=0.0)
    assert len(blocked_split(table, 0.2, 9.0, 4).purged) == 0


def test_too_few_clips_to_split() -> None:
    with pytest.raises(InputError, match="too few"):
        blocked_split(clips_table(1, 8), 0.5, 0.0, 4)


def test_zeroing_is_fresh_and_leaves_the_data_alone() -> None:
    torch.manual_seed(0)
    responses = torch.randn(200, 500)
    before = responses.clone()
    first, second = zero_entries(responses, 0.2), zero_entries(responses, 0.2)
    assert float((first == 0).float().mean()) == pytest.approx(0.2, abs=0.01)
    assert float(((first == 0) & (second == 0)).float().mean()) == pytest.approx(0.04, abs=0.01)
    assert torch.equal(responses, before)
    assert torch.equal(first[first != 0], responses[first != 0])


def test_views_are_drawn_per_clip() -> None:
    torch.manual_seed(0)
    bank = torch.arange(3 * 4.0).reshape(3, 4, 1)
    rows = torch.tensor([2, 0])
    assert draw_views(bank[rows], augment=False).flatten().tolist() == [8.0, 0.0]
    drawn = torch.stack([draw_views(bank[rows], augment=True).flatten() for _ in range(200)])
    assert set(drawn[:, 0].tolist()) == {8.0, 9.0, 10.0, 11.0}
    assert set(drawn[:, 1].tolist()) == {0.0, 1.0, 2.0, 3.0}


def test_caption_labels_ignore_case_and_spaces() -> None:
    labels = caption_labels(pd.Series(["A red ball", "the sea", "a  red ball "]))
    assert labels.tolist() == [0, 1, 0]


@pytest.mark.parametrize("segments", [1, 5])
def test_a_clip_exactly_one_gap_away_is_fitted(segments: int) -> None:
    """Only clips that start less than ``purge_s`` seconds from one that validates are left out."""
    table = clips_table(segments, 100 // segments).assign(film="film.mp4", onset_s=2.0 * np.arange(100))
    split = blocked_split(table, 0.2, 8.0, 4)
    first = split.validation[0]
    assert split.purged[split.purged < first].tolist() == [first - 3, first - 2, first - 1]
    assert first - 4 in split.fit
    held = np.zeros(100, bool)
    held[50] = True
    assert np.flatnonzero(split.near(held)).tolist() == [47, 48, 49, 51, 52, 53]
