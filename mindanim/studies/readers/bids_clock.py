"""When the volumes of a run in BIDS were acquired: its sidecars, else its header, never another run's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mindanim.errors import InputError
from mindanim.studies.header_clock import Clock, header_clock
from mindanim.studies.readers.bids_names import Name, metadata
from mindanim.vocabulary.limits import LONGEST_TR_S, TR_TOLERANCE

_Stated = Mapping[str, tuple[Any, Path]]


@dataclass(frozen=True)
class RunClock:
    """The clock of a run.

    Attributes:
        tr_s, start_s: Seconds between volumes, and from the zero of the events' clock to the first volume.
        fault: Why the clock is not known, in words; tr_s is NaN then.
        from_header: Whether start_s is the header's SeriesStart.
        asks: Why the volumes may stand for another time than start_s: ``slice-timing`` where they were
            corrected to a reference that is not stated, ``toffset`` where a NIfTI header gives a start,
            ``fewer-volumes`` where the raw run has more.
    """

    tr_s: float = float("nan")
    start_s: float = 0.0
    fault: str = ""
    from_header: bool = False
    asks: tuple[str, ...] = ()


def run_clock(
    name: Name, trees: Sequence[Path], start_time: float | str | None, raw: Path | None = None
) -> RunClock:
    """Read the clock of a preprocessed run.

    Args:
        start_time: StartTime of runs that state none, seconds, or ``half`` of the repetition time.
        raw: The run before it was preprocessed, if it is there.
    """
    try:
        stated = metadata(name, trees)
        header = _header(name.path)
        tr_s, first_s = _repetition_time(name, stated, header)
        start_s = _start_time(stated)
    except InputError as error:
        return RunClock(fault=" ".join(part for part in (error.what, error.why) if part).rstrip("."))
    if start_s is not None:
        return RunClock(tr_s, first_s + start_s)
    if start_time is not None:
        return RunClock(tr_s, first_s + (tr_s / 2 if isinstance(start_time, str) else start_time))
    header = header or Clock()
    if header.start_s and name.extension.startswith((".dtseries", ".ptseries")):
        return RunClock(tr_s, first_s + header.start_s, from_header=True)
    before = (_header(raw) if raw is not None else None) or Clock()
    asks = {
        "slice-timing": str(stated.get("SliceTimingCorrected", ("", None))[0]).lower() in ("true", "1"),
        "toffset": bool(header.start_s),
        "fewer-volumes": (before.volumes or 0) > (header.volumes or math.inf),
    }
    return RunClock(tr_s, first_s, asks=tuple(code for code, open_ in asks.items() if open_))


def _repetition_time(name: Name, stated: _Stated, header: Clock | None) -> tuple[float, float]:
    """Seconds between volumes, and the first of BIDS's VolumeTiming where that replaces them."""
    value, sidecar = stated.get("RepetitionTime", (None, None))
    if value is None and stated.get("VolumeTiming", (None,))[0] is not None:
        return _even(*stated["VolumeTiming"], header.volumes if header else None)
    if value is not None:
        if _is_number(value) and 0 < value < LONGEST_TR_S:
            return float(value), 0.0
        raise InputError(
            f"RepetitionTime of {name.label(())} is {value!r} in {sidecar}, not a number of seconds above 0 "
            f"and below {LONGEST_TR_S:g}{_milliseconds(value)}."
        )
    if header is None:
        return math.nan, 0.0
    if header.tr_s is not None and 0 < header.tr_s < LONGEST_TR_S:
        return header.tr_s, 0.0
    says = "no TR" if header.tr_s is None else f"a TR of {header.tr_s:g} s{_milliseconds(header.tr_s)}"
    raise InputError(f"{name.label(())} has no RepetitionTime in a sidecar, and its header gives {says}.")


def _header(path: Path) -> Clock | None:
    try:
        return header_clock(path)
    except InputError:
        return None  # the run is unreadable, which the comparison with the disk says


def _even(times: Any, sidecar: Path, volumes: int | None) -> tuple[float, float]:
    """The step and the first of evenly spaced volumes, of as many as the run has."""
    if isinstance(times, list) and len(times) > 1 and all(map(_is_number, times)):
        steps = np.diff(times)
        if 0 < steps[0] < LONGEST_TR_S and np.ptp(steps) <= TR_TOLERANCE * steps[0]:
            if volumes not in (None, len(times)):
                raise InputError(
                    f"VolumeTiming in {sidecar} has {len(times)} times, but the run has {volumes} volumes."
                )
            return float(np.mean(steps)), float(times[0])
    raise InputError(f"VolumeTiming in {sidecar} is not evenly spaced; only runs with one TR are read.")


def _start_time(stated: _Stated) -> float | None:
    """The sidecar's StartTime; None where it states none."""
    value, sidecar = stated.get("StartTime", (None, None))
    if value is None:
        return None
    if not _is_number(value) or abs(value) >= LONGEST_TR_S:
        raise InputError(
            f"StartTime in {sidecar} is {value!r}, not a number of seconds below {LONGEST_TR_S:g}"
            f"{_milliseconds(value)}; null if it is not known."
        )
    return float(value)


def _is_number(value: Any) -> bool:
    # 1e300: JSON allows whole numbers that no float can hold
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _milliseconds(value: Any) -> str:
    return " (milliseconds?)" if _is_number(value) and value >= LONGEST_TR_S else ""
