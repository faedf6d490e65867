"""The simulated study: read by the reader of its layout, with the facts of its own file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mindanim.errors import InputError
from mindanim.studies.base import READERS, Entry, Facts, Finding, Segment, Study
from mindanim.studies.paths import inside
from mindanim.studies.readers import algonauts2021, hcp
from mindanim.studies.readers.algonauts2021 import Algonauts2021
from mindanim.studies.readers.bids import Bids
from mindanim.studies.readers.cc2017 import CC2017, segment_of
from mindanim.studies.readers.hcp import HCP
from mindanim.studies.tables import read_captions
from mindanim.vocabulary.clips import Clip
from mindanim.vocabulary.limits import FACTS_FILE
from mindanim.vocabulary.reading import reading
from mindanim.vocabulary.runs import Film, Run
from mindanim.vocabulary.subjects import Subject

_AGAIN = "Write a study with: mindanim simulate"


class Simulated:
    """A study written by ``mindanim simulate``. Its ground truth in ``truth/`` is not read."""

    def __init__(self, root: Path, declared: Mapping[str, Any], study: Study) -> None:
        self.root = root
        self.declared = declared
        self.study = study
        self.facts: Facts = study.facts

    def films(self) -> list[Film]:
        """The film files, as the layout's reader finds them."""
        return self.study.films()

    def clips(self) -> list[Clip]:
        """All clips, training first."""
        return self.study.clips()

    def runs(self, subject: Subject) -> list[Run]:
        """The usable runs of a subject."""
        return self.study.runs(subject)

    def check(self, subject: Subject) -> list[Finding]:
        """How a subject's runs compare with the facts."""
        return self.study.check(subject)

    def inventory(self, subject: Subject) -> list[Entry]:
        """Every run of a subject and what became of it."""
        return self.study.inventory(subject)

    def captions(self) -> dict[str, str] | None:
        """Captions from the table the facts name."""
        path = self._named("captions")
        return read_captions(path, self.clips()) if path else None

    def atlas(self) -> Path | None:
        """The parcellation with the planted regions. InputError where the facts name a file that is not
        there."""
        path = self._named("atlas")
        if path is not None and not path.is_file():
            raise InputError(
                f"{path} is missing.",
                f"{FACTS_FILE} names it as the study's atlas.",
                "Simulate the study again.",
            )
        return path

    def _named(self, key: str) -> Path | None:
        name = self.declared.get(key)
        return inside(self.root, str(name), self.root / FACTS_FILE) if name else None


def open_simulated(
    root: Path, allow_partial: bool = False, options: Mapping[str, str] | None = None
) -> Simulated:
    """Open a simulated study. InputError where ``mindanim-study.json`` is missing or malformed."""
    path = root / FACTS_FILE
    declared = _declared(path)
    layout = str(declared.get("layout", "cc2017"))
    if layout not in _LAYOUTS:
        raise InputError(
            f"{path} declares the layout '{layout}'.", f"This version reads: {', '.join(_LAYOUTS)}."
        )
    try:
        study = _LAYOUTS[layout](root, declared, allow_partial, options or {})
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise InputError(f"{path} has a malformed entry.", repr(error), _AGAIN) from error
    return Simulated(root, declared, study)


def _declared(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(
            f"{path.parent} has no {FACTS_FILE}.",
            "A simulated study declares its facts in it.",
            _AGAIN,
        )
    with reading(path, "JSON file", _AGAIN):
        declared = json.loads(path.read_text(encoding="utf-8"))
    needed = ("subjects", "tr_s", "clip_s", "segments", "test", "repeats", "lags_s")
    missing = [key for key in needed if key not in declared] if isinstance(declared, dict) else list(needed)
    if missing:
        raise InputError(
            f"{path} lacks {', '.join(missing)}.", "The reader needs them to find and time the runs.", _AGAIN
        )
    return dict(declared)


def _facts(declared: Mapping[str, Any], layout: str, segments: tuple[Segment, ...]) -> Facts:
    return Facts(
        name="simulated",
        title="Simulated study",
        layout=layout,
        subjects=tuple(int(subject) for subject in declared["subjects"]),
        tr_s=float(declared["tr_s"]),
        clip_s=float(declared["clip_s"]),
        lags_s=tuple(float(lag) for lag in declared["lags_s"]),
        segments=segments,
        citation="simulated by mindanim, not measured",
        licence="MIT, as mindanim",
        where="mindanim simulate",
    )


Options = Mapping[str, str]


def _cc2017(root: Path, declared: Mapping[str, Any], partial: bool, options: Options) -> Study:
    clip_s, tr_s = float(declared["clip_s"]), float(declared["tr_s"])
    segments = tuple(
        segment_of(name, int(clips), int(declared["repeats"][split]), clip_s, tr_s)
        for split, films in (("train", declared["segments"]), ("test", declared["test"]))
        for name, clips in films.items()
    )
    facts = _facts(declared, "cc2017", segments)
    return CC2017(root, facts=facts, allow_partial=partial, options=options)


def _hcp(root: Path, declared: Mapping[str, Any], partial: bool, options: Options) -> Study:
    volumes = declared["volumes"]
    segments = tuple(
        Segment(name, "train", int(clips), 1, 0.0, int(volumes[name]))
        for name, clips in declared["segments"].items()
    )
    clips = int(declared["test"][hcp.REPEAT])
    segments += (Segment(hcp.REPEAT, "test", clips, len(segments), 0.0, 0),)
    return HCP(root, facts=_facts(declared, "hcp", segments), allow_partial=partial, options=options)


def _algonauts2021(root: Path, declared: Mapping[str, Any], partial: bool, options: Options) -> Study:
    (train,), (test,) = declared["segments"].values(), declared["test"].values()
    repeats, clips = int(declared["repeats"]["train"]), int(train) + int(test)
    segments = (
        Segment("train", "train", int(train), repeats, 0.0, clips),
        Segment("test", "test", int(test), repeats, 0.0, clips),
    )
    facts = _facts(declared, algonauts2021.FACTS.layout, segments)
    return Algonauts2021(root, facts=facts, allow_partial=partial, options=options)


def _bids(root: Path, declared: Mapping[str, Any], partial: bool, options: Options) -> Study:
    own = {"clip_s": str(declared["clip_s"]), "lag_s": str(declared["lags_s"][0])}
    return Bids(root, allow_partial=partial, options=own | dict(options), name="simulated")


_LAYOUTS: dict[str, Callable[[Path, Mapping[str, Any], bool, Options], Study]] = {
    "cc2017": _cc2017,
    "hcp": _hcp,
    "algonauts2021": _algonauts2021,
    "bids": _bids,
}


READERS.add("simulated", open_simulated)
