"""Pair scores without what slow trends explain.

Where the truths of a film and its reconstructions both drift slowly (it gets darker towards the end, and so
does what the decoder makes of the scanner's drift), the true pairing is special whatever was decoded: shifted
by half a film, beginnings meet ends. Circular shifts then reject in 10 to 27 % of cases instead of 5, or
more. So what smooth functions of both film times explain of the pair scores is removed before the test.
"""

from __future__ import annotations

import numpy as np
from numpy.polynomial.legendre import legvander
from numpy.typing import NDArray

DEGREE = 2
"""Of the polynomials in the truth's and in the reconstruction's film time, and of their products. With 1,
curved similarities (the distance of two linear trends) are left and the test rejects in up to 99 %."""
FEWEST_CLIPS, FEWEST_SHIFTS = 8, 4
"""With fewer the pairing and the trends cannot be told apart, and the scores are left as they are."""


def without_trends(
    columns: NDArray[np.float64], sources: NDArray[np.intp], runs: NDArray[np.intp]
) -> NDArray[np.float64]:
    """(clip, 1 + shift) pair scores, the true pairing first, less the trends within each run.

    Args:
        columns: NaN where a score is undefined or the run has no such shift.
        sources: (clip, 1 + shift), the clip that the reconstruction is of; -1 where there is none.
        runs: (clip,), within which clips were shifted.

    Returns:
        Residuals of a least-squares fit over all pairings of a run. The fit takes more from the true pairing
        than from the others; each pairing is divided by the share of its spread that is left.
    """
    found = columns.copy()
    for run in np.unique(runs):
        members = np.flatnonzero(runs == run)
        pairings = np.flatnonzero((sources[members] >= 0).all(axis=0))
        rows = members[~np.isnan(columns[np.ix_(members, pairings)]).any(axis=1)]
        if len(rows) < FEWEST_CLIPS or len(pairings) <= FEWEST_SHIFTS:
            continue
        place = np.full(len(runs), np.nan)
        place[members] = (2 * np.arange(len(members)) + 1) / len(members) - 1
        true = legvander(place[rows], DEGREE)
        shown = legvander(place[sources[np.ix_(rows, pairings)]], DEGREE)
        terms = np.einsum("cp,csq->cspq", true, shown).reshape(len(rows), len(pairings), -1)
        basis, _ = np.linalg.qr(terms.reshape(len(rows) * len(pairings), -1))
        scores = columns[np.ix_(rows, pairings)]
        rest = scores - (basis @ (basis.T @ scores.ravel())).reshape(scores.shape)
        taken = (basis.reshape(*scores.shape, -1).sum(axis=0) ** 2).sum(axis=1) / len(rows)
        found[np.ix_(rows, pairings)] = rest / np.sqrt(np.maximum(1 - taken, 1e-3))
    return found
