"""The text of a ``study.toml``: proposed options, each with its reason."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindanim.config.preprocess import PreprocessConfig
from mindanim.vocabulary.clips import Clip

_HRF_PEAK_S = 5.0
"""When the canonical response to an instant peaks, seconds (double gamma, as in SPM)."""
_DRIFT_S = 150.0
"""Length of a run per degree of its drifts, seconds (AFNI)."""
_DEFAULT_ORDER: int = PreprocessConfig.model_fields["detrend_order"].default
USUAL_CLIP_S = 2.0
"""Clip length of the paper and of CC2017, seconds."""


@dataclass(frozen=True)
class Choice:
    """One proposed option.

    Attributes:
        value: Text, number or list.
        reason: Written above it, as a comment.
        active: Whether it counts, or is a comment itself.
    """

    table: str
    name: str
    value: Any
    reason: str
    active: bool = True


def propose_clip(tr_s: float) -> tuple[float, str]:
    """Clip length for a repetition time in seconds, and why."""
    if tr_s <= USUAL_CLIP_S or tr_s != tr_s:
        return USUAL_CLIP_S, "Clip length, s: that of the paper."
    return tr_s, f"Clip length, s: one volume (TR {tr_s:g} s); the paper's clips last 2 s, one volume there."


def propose_lag(clip_s: float) -> tuple[float, str]:
    """Lag for clips of ``clip_s`` seconds, and why."""
    lag_s = _HRF_PEAK_S + clip_s / 2
    return lag_s, (
        f"Seconds from a clip's onset to the signal taken as its response: the canonical response to "
        f"{clip_s:g} s peaks {_HRF_PEAK_S:g} s after their middle."
    )


def propose_detrend_order(clips: Sequence[Clip]) -> tuple[int, str] | None:
    """Degree of the drifts to remove from the shortest run, and why; None if it is the default or more.

    AFNI's rule (3dDeconvolve, option -polort): one, and one more per 150 s.
    """
    ends: dict[str, float] = {}
    for clip in clips:
        ends[clip.segment] = max(ends.get(clip.segment, 0.0), clip.shown_s + clip.duration_s)
    shortest = min(ends.values())
    order = 1 + int(shortest / _DRIFT_S)
    if order >= _DEFAULT_ORDER:
        return None
    return order, (
        f"Degree of the drifts removed from each run. The shortest lasts {shortest:.0f} s; the default of "
        f"{_DEFAULT_ORDER} is for runs of 8 minutes and would take a large part of its signal along."
    )


def study_file(head: Sequence[str], run: Mapping[str, Any], choices: Sequence[Choice]) -> str:
    """The file's text.

    Args:
        head: Comments on top, one per line.
        run: Shared options that need no reason.
        choices: In the order in which to write them; tables are put together.
    """
    lines = [f"# {line}".rstrip() for line in head]
    tables: dict[str, list[Choice]] = {}
    for choice in choices:
        tables.setdefault(choice.table, []).append(choice)
    lines += ["", "[run]", *(f"{name} = {_toml(value)}" for name, value in run.items())]
    for table in sorted(tables, key=lambda name: name.partition(".")[0] != "run"):
        if table != "run":
            lines += ["", f"[{table}]"]
        for choice in tables[table]:
            lines += [f"# {part}" for part in _wrapped(choice.reason)]
            lines.append(f"{'' if choice.active else '# '}{choice.name} = {_toml(choice.value)}")
    return "\n".join(lines) + "\n"


def _wrapped(text: str) -> list[str]:
    import textwrap

    return [line for part in text.splitlines() for line in textwrap.wrap(part, 100) or [""]]


def _toml(value: Any) -> str:
    if isinstance(value, Path):
        value = str(value)
    return json.dumps(value, ensure_ascii=False)
