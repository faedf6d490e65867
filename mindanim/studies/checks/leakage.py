"""Clips that share signal or film across the split: found from the study's declarations alone.

Every finding says what, how many, which clips, what it does to the results, and the option that removes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from mindanim.errors import InputError
from mindanim.studies.base import Facts, Finding
from mindanim.vocabulary.clips import Clip
from mindanim.vocabulary.reading import reading
from mindanim.vocabulary.runs import Run
from mindanim.vocabulary.words import names_and_more

HRF_S = 10.0
"""Seconds until the response to a clip has largely decayed; closer clips share signal."""
_LISTED = 100
"""Pairs in a finding's data; ``clips`` names all clips to be removed."""

Pair = tuple[str, str]


def leak(code: str, what: str, *, effect: str, option: str, clips: Sequence[str], **data: Any) -> Finding:
    """A finding of the audit, in full sentences. clips: training clips whose removal removes it."""
    text = f"{what} {effect} {option}".strip()
    return Finding(
        "note", code, text, option, {"clips": list(clips), "effect": effect, "option": option, **data}
    )


def exclude_option(clips: Iterable[str]) -> str:
    """How to leave clips out."""
    names = sorted(set(clips))
    if len(names) <= 3:
        them = "it" if len(names) == 1 else "them"
        return f"To leave {them} out of training: preprocess --set exclude={','.join(names)}"
    return (
        f"To leave the {len(names)} training clips out: list them in a file, one per line, then preprocess "
        "--set exclude=@FILE"
    )


def audit_clips(
    clips: Sequence[Clip], runs: Sequence[Run], facts: Facts, window_s: float = HRF_S
) -> list[Finding]:
    """What the clips and runs that are used say about the split: clips close in time, repeated spans,
    neighbours between training segments.

    Args:
        window_s: Gap between the end of one clip and the onset of the other below which they share signal.
            Responses to single clips (a lag of 0, one volume per clip) do not share signal by closeness.
    """
    single = facts.lags_s == (0.0,) and facts.tr_s >= facts.clip_s
    shown = [] if single else _on_files(clips, runs)
    return [
        *_close(shown, window_s),
        *_overlapping(clips),
        *_validation_neighbours(shown, clips, window_s),
    ]


def close_clips(clips: Sequence[Clip], runs: Sequence[Run], window_s: float) -> set[str]:
    """Training clips whose response overlaps that of a test clip in the same recording."""
    return {train for train, _ in _across(_on_files(clips, runs), window_s)}


def leave_out(clips: Sequence[Clip], wanted: Sequence[str]) -> list[Clip]:
    """The clips without those that ``wanted`` names; ``@FILE`` reads names from a file, one per line.

    Raises:
        InputError: The file is missing, or a name is not a clip's.
    """
    names: set[str] = set()
    for name in wanted:
        if not name.startswith("@"):
            names.add(name)
            continue
        path = Path(name[1:])
        with reading(path, "list of clips", "The option exclude names it: one clip a line, in UTF-8."):
            lines = path.read_text(encoding="utf-8").splitlines()
        names |= {line.strip() for line in lines if line.strip()}
    strange = sorted(names - {clip.clip_id for clip in clips})
    if strange:
        raise InputError(
            f"exclude names {len(strange)} clips that the study does not have: {names_and_more(strange)}.",
            f"Clip names look like {clips[0].clip_id}.",
        )
    return [clip for clip in clips if clip.clip_id not in names]


@dataclass(frozen=True)
class _Shown:
    """A clip on the clock of one recording, seconds after its first volume."""

    clip: Clip
    file: Path
    begin_s: float

    @property
    def end_s(self) -> float:
        return self.begin_s + self.clip.duration_s


def _on_files(clips: Sequence[Clip], runs: Sequence[Run]) -> list[_Shown]:
    segments: dict[str, list[Clip]] = {}
    for clip in clips:
        segments.setdefault(clip.segment, []).append(clip)
    return [
        _Shown(clip, run.path, run.when(clip) - run.start_s)
        for run in runs
        for clip in segments.get(run.segment, [])
    ]


def _pairs(
    shown: Sequence[_Shown], window_s: float, differ: Callable[[_Shown, _Shown], bool]
) -> list[tuple[_Shown, _Shown]]:
    """Clips of one recording that are nearer than the window and differ, the earlier one first."""
    files: dict[Path, list[_Shown]] = {}
    for one in shown:
        files.setdefault(one.file, []).append(one)
    found = []
    for group in files.values():
        group.sort(key=lambda one: one.begin_s)
        longest_s = max(one.clip.duration_s for one in group)
        for place, one in enumerate(group):
            for other in group[place + 1 :]:
                if other.begin_s - one.begin_s >= window_s + longest_s:
                    break
                if other.begin_s - one.end_s < window_s and differ(one, other):
                    found.append((one, other))
    return found


def _across(shown: Sequence[_Shown], window_s: float) -> list[Pair]:
    """(training clip, test clip) of every pair across the split, each once."""
    pairs = _pairs(shown, window_s, lambda one, other: one.clip.split != other.clip.split)
    return list(
        dict.fromkeys(
            (one.clip.clip_id, other.clip.clip_id)
            if one.clip.split == "train"
            else (other.clip.clip_id, one.clip.clip_id)
            for one, other in pairs
        )
    )


def _close(shown: Sequence[_Shown], window_s: float) -> list[Finding]:
    pairs = _across(shown, window_s)
    if not pairs:
        return []
    count, train = len({test for _, test in pairs}), sorted({train for train, _ in pairs})
    return [
        leak(
            "close-in-time",
            f"{count} test clips are within {window_s:g} s of a training clip in the same run, for example "
            f"{pairs[0][0]} and {pairs[0][1]}.",
            effect="Their responses overlap, so the test set is partly seen in training.",
            option=f"To leave the {len(train)} training clips out: preprocess --set purge_s={window_s:g}",
            clips=train,
            pairs=pairs[:_LISTED],
            count=len(pairs),
        )
    ]


def _overlapping(clips: Sequence[Clip]) -> list[Finding]:
    """Spans of one film that are in the training and in the test set."""
    films: dict[str, list[Clip]] = {}
    for clip in clips:
        films.setdefault(clip.film, []).append(clip)
    pairs: list[Pair] = []
    for group in films.values():
        train = [clip for clip in group if clip.split == "train"]
        for test in (clip for clip in group if clip.split == "test"):
            pairs += [(clip.clip_id, test.clip_id) for clip in train if _overlap_s(clip, test) > 1e-3]
    if not pairs:
        return []
    count, names = len({test for _, test in pairs}), sorted({train for train, _ in pairs})
    return [
        leak(
            "repeated-spans",
            f"{count} test clips show a part of a film that training clips show too, for example "
            f"{pairs[0][1]} and {pairs[0][0]}.",
            effect="The test film was seen in training: scores on it reward memorisation.",
            option=exclude_option(names),
            clips=names,
            pairs=pairs[:_LISTED],
            count=len(pairs),
        )
    ]


def _overlap_s(one: Clip, other: Clip) -> float:
    begin_s = max(one.onset_s, other.onset_s)
    return min(one.onset_s + one.duration_s, other.onset_s + other.duration_s) - begin_s


def _validation_neighbours(shown: Sequence[_Shown], clips: Sequence[Clip], window_s: float) -> list[Finding]:
    """Training segments that share signal or film: a decoder validated on one of them knows it from another.

    Validation holds out whole segments.
    """
    train = [one for one in shown if one.clip.split == "train"]
    pairs = {
        frozenset((one.clip.segment, other.clip.segment))
        for one, other in _pairs(train, window_s, lambda one, other: one.clip.segment != other.clip.segment)
    }
    films: dict[str, list[Clip]] = {}
    for clip in clips:
        if clip.split == "train":
            films.setdefault(clip.film, []).append(clip)
    for group in films.values():
        if len({clip.segment for clip in group}) > 1:
            pairs |= {
                frozenset((one.segment, other.segment))
                for one, other in combinations(group, 2)
                if one.segment != other.segment and _overlap_s(one, other) > 1e-3
            }
    if not pairs:
        return []
    named = sorted(" and ".join(sorted(pair)) for pair in pairs)
    return [
        leak(
            "validation-neighbours",
            f"{len(named)} pairs of training segments overlap in time or show the same film: "
            f"{names_and_more(named, separator='; ')}.",
            effect="A decoder validated on one of them has seen it in the other, so training stops too late.",
            option="Give such segments one name in the study's tables, so that they are held out together.",
            clips=(),
            segments=named,
            count=len(named),
        )
    ]
