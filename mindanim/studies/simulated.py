"""The simulated study: read as CC2017 is, with the facts of its own ``mindanim-study.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mindanim.errors import InputError
from mindanim.studies.base import Facts
from mindanim.studies.cc2017 import CC2017, segment_of
from mindanim.studies.tables import read_captions

FACTS_FILE = "mindanim-study.json"


class Simulated(CC2017):
    """A study written by ``mindanim simulate``. Its ground truth in ``truth/`` is not read."""

    def __init__(self, root: Path, *, allow_partial: bool = False) -> None:
        self.declared = _declared(root / FACTS_FILE)
        super().__init__(root, facts=_facts(root / FACTS_FILE, self.declared), allow_partial=allow_partial)

    def captions(self) -> dict[str, str] | None:
        """Captions from the table the facts name."""
        name = self.declared.get("captions")
        return read_captions(self.root / name, self.clips()) if name else None

    def atlas(self) -> Path | None:
        """The parcellation with the planted regions. InputError where the facts name a file that is not
        there."""
        name = self.declared.get("atlas")
        if not name:
            return None
        path: Path = self.root / name
        if not path.is_file():
            raise InputError(
                f"{path} is missing.",
                f"{FACTS_FILE} names it as the study's atlas.",
                "Simulate the study again.",
            )
        return path


def open_simulated(root: Path, allow_partial: bool = False) -> Simulated:
    """Open a simulated study. InputError where ``mindanim-study.json`` is missing or malformed."""
    return Simulated(root, allow_partial=allow_partial)


def _declared(path: Path) -> dict[str, Any]:
    mend = "Write a study with: mindanim simulate"
    if not path.is_file():
        raise InputError(
            f"There is no {FACTS_FILE} in {path.parent}.", "A simulated study declares its facts in it.", mend
        )
    try:
        declared = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not JSON.", str(error), mend) from error
    needed = ("subjects", "tr_s", "clip_s", "segments", "test", "repeats", "lags_s")
    missing = [key for key in needed if key not in declared] if isinstance(declared, dict) else list(needed)
    if missing:
        raise InputError(
            f"{path} lacks {', '.join(missing)}.", "The reader needs them to find and time the runs.", mend
        )
    return dict(declared)


def _facts(path: Path, declared: dict[str, Any]) -> Facts:
    if declared.get("layout", "cc2017") != "cc2017":
        raise InputError(
            f"{path} declares the layout '{declared['layout']}'.", "This version reads the layout cc2017."
        )
    try:
        clip_s, tr_s = float(declared["clip_s"]), float(declared["tr_s"])
        return Facts(
            name="simulated",
            title="Simulated study",
            layout="cc2017",
            subjects=tuple(int(subject) for subject in declared["subjects"]),
            tr_s=tr_s,
            clip_s=clip_s,
            lags_s=tuple(float(lag) for lag in declared["lags_s"]),
            segments=tuple(
                segment_of(name, int(clips), int(declared["repeats"][split]), clip_s, tr_s)
                for split, films in (("train", declared["segments"]), ("test", declared["test"]))
                for name, clips in films.items()
            ),
            citation="simulated by mindanim, not measured",
            licence="MIT, as mindanim",
            where="mindanim simulate",
        )
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise InputError(
            f"{path} has a malformed entry.", repr(error), "Write a study with: mindanim simulate"
        ) from error
