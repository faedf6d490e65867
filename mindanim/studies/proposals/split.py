"""A proposal for the test set: whole films, or whole runs, never single clips of a film."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mindanim.errors import InputError
from mindanim.vocabulary.words import names_and_more

LONGEST_CLIP_S = 10.0
"""Duration up to which a stretch of film is one clip, seconds."""
_SHARE = 0.2
"""Of the film time that is proposed for the test where no film is repeated more often than others."""
_ENTITIES = ("run", "ses", "task")


@dataclass(frozen=True)
class Showing:
    """One stretch of film in one run, times in seconds.

    Attributes:
        subject, run: Who saw it, and a name of the run.
        entities: Of the run's name, e.g. ``{"run": "1"}``.
    """

    subject: str
    run: str
    film: str
    start_s: float
    duration_s: float
    entities: Mapping[str, str] = field(default_factory=dict)

    @property
    def stretch(self) -> tuple[str, float, float]:
        """The piece of film."""
        return self.film, round(self.start_s, 1), round(self.duration_s, 1)


@dataclass(frozen=True)
class Split:
    """A test set.

    Attributes:
        rule: As for ``--study test=``.
        films: The films in it, where it consists of films; otherwise empty.
        reason: Why these.
        repeats: How often the least shown training film is shown to a subject.
    """

    rule: str
    films: tuple[str, ...]
    reason: str
    repeats: int


def propose_split(showings: Sequence[Showing]) -> Split:
    """The test set for a study that does not declare one.

    Raises:
        InputError: There is one stretch of film only, or runs and films are mixed so that no whole film and
            no whole run can be set apart.
    """
    shown = _repeats(showings)
    longest = {film: max(one.duration_s for one in showings if one.film == film) for film in shown}
    if len(shown) > 1 and max(longest.values()) > LONGEST_CLIP_S:
        return _by_film(showings, shown)
    return _by_run(showings)


def _repeats(showings: Sequence[Showing]) -> dict[str, int]:
    """By film, in the order of their names, the most runs of a subject that show it."""
    runs: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for one in showings:
        runs[one.film][one.subject].add(one.run)
    return {film: max(map(len, runs[film].values())) for film in sorted(runs)}


def _by_film(showings: Sequence[Showing], shown: Mapping[str, int]) -> Split:
    stretches = {one.stretch for one in showings}
    seconds = {film: sum(length for name, _, length in stretches if name == film) for film in shown}
    total, most = sum(seconds.values()), max(shown.values())
    often = [film for film, count in shown.items() if count == most]
    if len(often) < len(shown) and sum(seconds[film] for film in often) <= total / 2:
        others = sorted({count for film, count in shown.items() if film not in often})
        reason = (
            f"shown {most} times, the others {' or '.join(map(str, others))}: repeats of test films are "
            "averaged, which makes scores and noise ceilings less noisy"
        )
        films = tuple(often)
    else:
        # The one nearest to a fifth of the time; of equals the last.
        films = (min(reversed(list(shown)), key=lambda film: abs(seconds[film] - _SHARE * total)),)
        reason = (
            f"{seconds[films[0]] / total:.0%} of the film time. Choose the films by content: none may share "
            "scenes with a training film"
        )
    repeats = min(count for film, count in shown.items() if film not in films)
    return Split(f"film:{'+'.join(films)}", films, reason, repeats)


def _by_run(showings: Sequence[Showing]) -> Split:
    stretches = {one.stretch for one in showings}
    if len({(one.subject, one.run) for one in showings}) == 1 or len(stretches) == 1:
        raise _one_stretch(showings)
    for entity in _ENTITIES:
        values = [one.entities.get(entity) for one in showings]
        if None in values or len(set(values)) < 2:
            continue
        held = sorted({str(value) for value in values}, key=lambda value: (len(value), value))[-1]
        test = {one.stretch for one in showings if one.entities[entity] == held}
        train = {one.stretch for one in showings if one.entities[entity] != held}
        if not _overlap(test, train):
            counts = Counter((one.subject, one.stretch) for one in showings if one.stretch in train)
            reason = (
                "a whole run, whose clips no other run shows. Where one film continues over runs, scenes at "
                "the joints and recurring places are still alike"
            )
            return Split(f"{entity}:{held}", (), reason, max(counts.values()))
    films = names_and_more(sorted({one.film for one in showings}), 4)
    raise InputError(
        "No test set can be proposed: every run shows film that other runs show too.",
        f"Films: {films}. A test by run would have training clips in it; one by clip would have neighbours "
        "in time on both sides.",
        "Mark the clips in a column split (train or test) of the events, whole films or scenes at a time",
    )


def _overlap(some: set[tuple[str, float, float]], others: set[tuple[str, float, float]]) -> bool:
    """Whether any two stretches of one film share time."""
    return any(
        film == other and start < end + length and end < start + duration
        for film, start, duration in some
        for other, end, length in others
    )


def _one_stretch(showings: Sequence[Showing]) -> InputError:
    one = showings[0]
    runs = len({(showing.subject, showing.run) for showing in showings})
    return InputError(
        f"The study shows one film only: {one.film}, {one.duration_s:g} s, in {runs} run{'s' * (runs > 1)}.",
        "Training and test clips would come from one scan, or from repeats of one film. Clips that are near "
        "in time share responses and scenes, so that scores would be too good.",
        "Best: add a run with another film. Otherwise split the film in blocks of minutes by a column split "
        "(train or test) of the events, leave out the clips at the joints with preprocess --set purge_s=20, "
        "and say in the paper that training and test come from one film",
    )
