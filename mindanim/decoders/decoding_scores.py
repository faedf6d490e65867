"""How good decoded features are: correlations over clips and identification among clips."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mindanim.vocabulary.identification import identification_hits

_COLUMNS = 4096


def element_correlation(predicted: Tensor, true: Tensor) -> float:
    """Pearson correlation over clips, averaged over the elements that vary in the truth.

    A prediction that does not vary has correlation 0.

    Args:
        predicted: ``(clip, ...)``.
        true: ``(clip, ...)``.

    Returns:
        The mean correlation; NaN if no element of the truth varies.
    """
    sums = [
        torch.stack([(p * t).sum(0), p.square().sum(0), t.square().sum(0)])
        for p, t in _centred(predicted, true)
    ]
    together, spread, truth = torch.cat(sums, dim=1)
    scale = (spread * truth).sqrt()
    varies = truth > 1e-12 * truth.max().clamp_min(1e-30)
    if not bool(varies.any()):
        return float("nan")
    r = torch.where(scale > 1e-12 * scale.max().clamp_min(1e-30), together / scale.clamp_min(1e-30), 0.0)
    return float(r[varies].mean())


def pooled_correlation(predicted: Tensor, true: Tensor) -> float:
    """Correlation over all elements and clips, after subtracting each element's mean over clips.

    Elements that vary more have more weight; a prediction that is the same for all clips scores 0.

    Args:
        predicted: ``(clip, ...)``.
        true: ``(clip, ...)``.
    """
    together = spread = truth = torch.zeros((), dtype=torch.float64, device=true.device)
    for p, t in _centred(predicted, true):
        together, spread, truth = (
            together + (p * t).sum(),
            spread + p.square().sum(),
            truth + t.square().sum(),
        )
    scale = float((spread * truth).sqrt())
    return float(together) / scale if scale > 1e-12 else 0.0


def shift_p_value(predicted: Tensor, true: Tensor) -> float:
    """P value of the pooled correlation against predictions paired with shifted clips.

    All circular shifts of the clips' order are used, including the true pairing, so the smallest value is
    one over the number of clips. Shifts keep neighbouring clips, which are similar, together.

    Args:
        predicted: ``(clip, ...)``.
        true: ``(clip, ...)``.
    """
    count = len(true)
    products = torch.zeros(count, count, dtype=torch.float64, device=true.device)
    for p, t in _centred(predicted, true):
        products += p @ t.T
    rows = torch.arange(count, device=products.device)
    shifted = torch.stack([products[rows, (rows + shift) % count].sum() for shift in range(count)])
    return float((shifted >= shifted[0]).double().mean())


def _centred(predicted: Tensor, true: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Both as ``(clip, element) float64`` minus the mean over clips, some elements at a time: clips of many
    frames are too large to be copied whole in double precision."""
    both = [values.reshape(len(values), -1) for values in (predicted, true)]
    for start in range(0, both[1].shape[1], _COLUMNS):
        p, t = (values[:, start : start + _COLUMNS].double() for values in both)
        yield p - p.mean(0), t - t.mean(0)


@dataclass(frozen=True)
class Identification:
    """Accuracy of N-way identification, and its chance level."""

    accuracy: float
    chance: float
    ways: int


def identification(
    predicted: Tensor, true: Tensor, ways: int, labels: Tensor | None = None
) -> Identification:
    """N-way identification by cosine similarity, exact over all draws of the distractors.

    A clip is identified when its own target is more similar to the prediction than each of ``ways - 1``
    distractors, drawn without replacement from the clips with other labels. Ties are broken at random.

    Args:
        predicted: ``(clip, feature)``.
        true: ``(clip, feature)``.
        ways: N, lowered to what the pool allows.
        labels: ``(clip,)`` integers, equal for equal captions; None if no two clips share one.
    """
    count = len(true)
    captions = np.arange(count) if labels is None else labels.cpu().numpy()
    unit = [torch.nn.functional.normalize(values.double(), dim=1) for values in (predicted, true)]
    cosine = (unit[0] @ unit[1].T).cpu().numpy()
    ways = min(ways, count - int(np.unique(captions, return_counts=True)[1].max()) + 1)
    if ways < 2:
        return Identification(float("nan"), float("nan"), ways)
    pairs = np.stack([np.arange(count)] * 2, axis=1)
    return Identification(float(identification_hits(cosine, captions, pairs, ways).mean()), 1 / ways, ways)
