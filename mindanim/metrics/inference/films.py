"""Films as the unit: what a mean over clips is worth for other films of the kind.

Clips of one film resemble each other in difficulty, so a mean over 1,200 clips of five films may know little
more about other films than five numbers do. The score is the mean over clips (a long film counts more). Its
error comes from how far the films' means lie from it, weighted like the clips. Where films are not equally
long it is corrected film by film, with fewer degrees of freedom (Bell and McCaffrey 2002, Survey Methodology
28, 169; Imbens and Kolesár 2016, doi:10.1162/REST_a_00552). With films of equal length this is Student's t
over their means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mindanim.metrics.inference.intervals import (
    SHORTEST,
    Bounds,
    Interval,
    Resampling,
    block_interval,
    block_totals,
    cut,
    skew_shift,
)
from mindanim.metrics.inference.significance import (
    FLIPS,
    STUDENT,
    Significance,
    effect_size,
    paired_test,
    sign_flip_p,
    student_tail,
)
from mindanim.vocabulary.arrays import numbered

ENOUGH_FILMS = 3
"""Fewest films that say how much films differ."""
MOST_OF_ONE = 0.9
"""If one film has a larger share of the clips, the others are too few to tell: coverage falls below 93 %."""
FLIPPED_FILMS = 12
"""Fewest films for sign flips: 4,096 patterns. Eight have 256, too few to be corrected for many metrics."""


@dataclass(frozen=True)
class Estimate:
    """A mean with its uncertainty for other films and for these.

    Attributes:
        over_films: None where films cannot be the unit (see `why_not_films`); its units are films.
        these_films: Over blocks of clips inside films.
    """

    over_films: Interval | None
    these_films: Interval

    @property
    def stated(self) -> Interval:
        """The one that tables print: over films if there are enough."""
        return self.these_films if self.over_films is None else self.over_films


@dataclass(frozen=True)
class Tested:
    """A paired test for other films (None as in `Estimate`) and for these."""

    over_films: Significance | None
    these_films: Significance

    @property
    def stated(self) -> Significance:
        """The one that tables print."""
        return self.these_films if self.over_films is None else self.over_films


def film_units(films: Sequence[str], segments: Sequence[str]) -> NDArray[np.intp]:
    """The film of each clip, (clip,) int from 0, with short films of one segment in groups.

    Films of fewer than `SHORTEST` clips that were shown in one segment share responses and noise with their
    neighbours, so they are grouped, in the order of the clips, until a group has that many. A film in several
    segments (a long one, cut into runs) is one film.
    """
    units = numbered(films)
    sizes = np.bincount(units)
    grouped = np.arange(len(sizes))
    for segment in dict.fromkeys(segments):
        shown = dict.fromkeys(
            int(unit) for unit, name in zip(units, segments, strict=True) if name == segment
        )
        groups: list[list[int]] = [[]]
        for unit in (unit for unit in shown if sizes[unit] < SHORTEST):
            groups[-1].append(unit)
            if sizes[groups[-1]].sum() >= SHORTEST:
                groups.append([])
        rest = groups.pop()
        for group in [*groups[:-1], groups[-1] + rest] if groups else [rest]:
            grouped[group] = group[:1]
    return np.unique(grouped[units], return_inverse=True)[1].astype(np.intp)


def why_not_films(units: NDArray[np.intp]) -> str:
    """Why films cannot be the unit, empty if they can; units: (clip,) int, of the clips that count."""
    sizes = np.unique(units, return_counts=True)[1]
    if len(sizes) < ENOUGH_FILMS:
        return f"{len(sizes)} film{'s' * (len(sizes) != 1)}"
    share = float(sizes.max() / sizes.sum())
    return f"one film has {100 * share:.0f} % of the clips" if share > MOST_OF_ONE else ""


def over_films(
    means: NDArray[np.float64], sizes: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Mean over clips, its standard error and degrees of freedom.

    Args:
        means: (..., film), the films' means.
        sizes: (film,), their clips.
    """
    share = sizes / sizes.sum()
    mean = means @ share
    # Covariance of the films' distances from the mean, if a film's mean had the variance 1 / size. Each
    # squared distance is divided by what it would then be too small by.
    centre = np.eye(len(share)) - share
    rest = (centre / sizes) @ centre.T
    factor = share**2 / (sizes * np.diag(rest))
    error = np.sqrt(((means - mean[..., None]) ** 2) @ factor)
    df = float((factor @ np.diag(rest)) ** 2 / (factor @ rest**2 @ factor))
    return mean, error, df


def film_interval(scores: NDArray[np.float64], units: NDArray[np.intp], bounds: Bounds) -> Interval | None:
    """Mean and 95 % interval of (clip,) scores for other films; None where films cannot be the unit.

    Student's t over films, moved to the side of the scores' long tail (`skew_shift`), cut at the bounds.
    """
    from scipy.special import stdtrit

    defined = ~np.isnan(scores)
    if why_not_films(units[defined]):
        return None
    sums, sizes = block_totals(scores[defined], units[defined])
    mean, error, df = over_films(sums / sizes, sizes)
    half, shift = float(error) * float(stdtrit(df, 0.975)), float(error) * float(skew_shift(scores[defined]))
    low, high = cut(float(mean), shift, half, bounds)
    return Interval(float(mean), float(error), low, high, int(defined.sum()), len(sizes), df)


def film_test(
    differences: NDArray[np.float64],
    units: NDArray[np.intp],
    permutations: int,
    rng: np.random.Generator,
    two_sided: bool = False,
) -> Significance | None:
    """Whether the mean of (clip,) differences is positive (two-sided: not zero) in other films too.

    Student's t as in `film_interval`, or sign flips of whole films with `FLIPPED_FILMS` or more (and where
    films do not differ). None where films cannot be the unit.
    """
    defined = ~np.isnan(differences)
    values, films = differences[defined], units[defined]
    if why_not_films(films):
        return None
    sums, sizes = block_totals(values, films)
    mean, error, df = over_films(sums / sizes, sizes)
    if len(sizes) < FLIPPED_FILMS and error > 1e-12 * float(np.abs(values).max()):
        t = float(mean) / float(error) + float(skew_shift(values))
        return Significance(student_tail(t, df, two_sided), STUDENT)
    return Significance(sign_flip_p(differences, units, permutations, rng, two_sided), FLIPS)


def estimate(
    scores: NDArray[np.float64],
    resampling: Resampling,
    rng: np.random.Generator,
    bounds: Bounds = (None, None),
) -> Estimate:
    """Mean and intervals of (clip,) scores, NaN where undefined."""
    inside = block_interval(
        scores, resampling.blocks, resampling.bootstraps, rng, resampling.segments, bounds
    )
    return Estimate(film_interval(scores, resampling.films, bounds), inside)


def paired(
    differences: NDArray[np.float64],
    resampling: Resampling,
    rng: np.random.Generator,
    two_sided: bool = False,
) -> Tested:
    """Tests of (clip,) differences, NaN where undefined."""
    inside = paired_test(
        differences, resampling.blocks, resampling.permutations, rng, two_sided, resampling.segments
    )
    return Tested(film_test(differences, resampling.films, resampling.permutations, rng, two_sided), inside)


def paired_effect(differences: NDArray[np.float64], resampling: Resampling) -> float | None:
    """`effect_size` of (clip,) differences, over films if there are enough, otherwise over blocks."""
    blocks = why_not_films(resampling.films[~np.isnan(differences)])
    return effect_size(differences, resampling.blocks if blocks else resampling.films)
