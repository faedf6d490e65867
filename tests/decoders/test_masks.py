import pytest
import torch

from mindanim.decoders.models.masks import causal, first_only, sparse_causal


def test_causal_mask_shows_self_and_past() -> None:
    expected = [[j <= i for j in range(5)] for i in range(5)]
    assert causal(5).tolist() == expected


def test_first_only_mask_is_the_released_inference() -> None:
    # Rows 0 and 1 are causal; from the third row on, nothing but frame 0, not even the row itself.
    assert first_only(4).tolist() == [
        [True, False, False, False],
        [True, True, False, False],
        [True, False, False, False],
        [True, False, False, False],
    ]


@pytest.mark.parametrize("keep", [0.0, 0.6, 1.0])
def test_sparse_causal_mask_by_its_definition(keep: float) -> None:
    torch.manual_seed(0)
    masks = torch.stack([sparse_causal(7, keep) for _ in range(2000)])
    for i in range(7):
        for j in range(7):
            shown = float(masks[:, i, j].float().mean())
            if j > i:
                assert shown == 0
            elif j == 0 or i < 2:
                assert shown == 1
            else:
                assert shown == pytest.approx(keep, abs=0.05)


def test_sparse_causal_mask_is_drawn_afresh() -> None:
    torch.manual_seed(0)
    assert not torch.equal(sparse_causal(8, 0.6), sparse_causal(8, 0.6))
    assert torch.equal(sparse_causal(6, 1.0), causal(6))


def test_every_row_sees_something() -> None:
    assert all(bool(sparse_causal(size, 0.0).any(1).all()) for size in range(1, 9))
