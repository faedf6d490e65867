"""What a run showed and when, from its ``events.tsv``; and which of it is for the test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mindanim.errors import InputError, UsageError
from mindanim.studies.paths import inside
from mindanim.studies.readers.bids_names import Name
from mindanim.studies.tables import ROW, number, read_table, text
from mindanim.studies.timeline import Shown, cut
from mindanim.vocabulary.clips import Split

FILMS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")
LONGEST_CLIP_S = 10.0
"""Duration up to which an event is taken for a clip as it is, seconds."""
NO_FILM = ("", "n/a", "na", "nan", "none", "null")
"""What a row without a film has in stim_file, in any case of letters."""
_HINT = "Events need onset, duration and stim_file (BIDS, task events); stim_file is a film in stimuli/."


@dataclass(frozen=True)
class Events:
    """What a run showed.

    Attributes:
        shown: The clips in the order of the table.
        skipped: By extension, the stimulus files that are not known to be films, one per row.
        short: Films of the rows that are shorter than a clip.
    """

    shown: list[Shown]
    skipped: Mapping[str, list[str]]
    short: list[str]


@dataclass(frozen=True)
class SplitRule:
    """Which clips are for the test: those whose ``key`` has one of ``values``.

    Attributes:
        key: An entity of the run's name (``run``, ``ses``, ``task``), ``film``, or a column of the events.
    """

    key: str
    values: tuple[str, ...]

    @classmethod
    def parse(cls, given: str | None) -> SplitRule | None:
        """``run:5+6`` -> the runs 5 and 6. UsageError for another form."""
        if given is None:
            return None
        key, _, values = given.partition(":")
        rule = cls(key.strip(), tuple(value.strip() for value in values.split("+") if value.strip()))
        if not rule.key or not rule.values:
            raise UsageError(
                f"--study test={given} names no clips.",
                "It is KEY:VALUE+VALUE... with run, ses, task, film or a column of the events as KEY.",
                "For example --study test=run:5+6",
            )
        return rule

    def split(self, path: Path, row: Mapping[str, str], entities: Mapping[str, str]) -> Split:
        """The split of one event."""
        if self.key == "film":
            found = row["stim_file"]
            names = {found, PurePosixPath(found).name, PurePosixPath(found).stem}
        elif self.key in entities:
            return "test" if _bare(entities[self.key]) in map(_bare, self.values) else "train"
        elif self.key in row and self.key != ROW:
            names = {row[self.key]}
        else:
            raise InputError(
                f"--study test={self.key}:... fits neither {path.name} nor its columns.",
                f"The columns are: {', '.join(name for name in row if name != ROW)}.",
            )
        return "test" if names & set(self.values) else "train"


def read_events(
    path: Path,
    run: Name,
    stimuli: Path,
    *,
    rule: SplitRule | None,
    clip_s: float | None,
    allow_outside: bool,
) -> Events:
    """Read the clips of one run.

    Rows without a stimulus (fixation, buttons) are skipped; those with a file that does not have a film's
    extension (a picture, or a format that is not read) are skipped and listed. Without a rule the column
    ``split`` decides. With ``clip_s``, films are cut into clips of that length; without it every row is one
    clip.

    Raises:
        InputError: A row cannot be used; names table and line.
    """
    shown, skipped, short = list[Shown](), dict[str, list[str]](), list[str]()
    for row in read_table(path, ("onset", "duration", "stim_file"), _HINT):
        name = row["stim_file"] = _below_stimuli(row["stim_file"])
        if name.lower() in NO_FILM:
            continue
        ending = PurePosixPath(name).suffix.lower()
        if ending not in FILMS:
            skipped.setdefault(ending or "no extension", []).append(name)
            continue
        one = Shown(
            name,
            inside(stimuli, name, path, allow_outside=allow_outside),
            number(path, row, "stim_start", default=0.0),
            number(path, row, "duration"),
            number(path, row, "onset", least=float("-inf")),
            rule.split(path, row, run.entities) if rule else _own_split(path, row),
        )
        if clip_s is not None and one.duration_s > 0:
            clips = cut(one, clip_s)
            shown += clips
            short += [] if clips else [name]
        elif clip_s is None and 0 < one.duration_s <= LONGEST_CLIP_S:
            shown.append(one)
        else:
            raise InputError(
                f"{path}, line {row[ROW]}: {one.film} lasts {one.duration_s:g} s.",
                f"Without a clip length, every film is one clip, of more than 0 and at most "
                f"{LONGEST_CLIP_S:g} s."
                if one.duration_s
                else "An event in which a film is shown lasts longer than that.",
                "Cut films into clips: --study clip_s=2" if one.duration_s else "Correct its duration.",
            )
    return Events(shown, skipped, short)


def _below_stimuli(name: str) -> str:
    """A stimulus file relative to ``stimuli/``, also where it is given relative to the dataset, as a BIDS URI
    or with the separators of Windows."""
    return name.replace("\\", "/").removeprefix("bids::").removeprefix("stimuli/")


def _bare(label: str) -> str:
    """A label of an entity without leading zeros."""
    return label.lstrip("0") or "0"


def _own_split(path: Path, row: Mapping[str, str]) -> Split:
    if "split" not in row:
        raise InputError(
            f"{path} does not say which clips are for the test.",
            "It has no column 'split' (train or test).",
            "Add the column, or say it: --study test=run:5+6 or test=film:NAME or test=COLUMN:VALUE",
        )
    value = text(path, row, "split")
    if value not in ("train", "test"):
        raise InputError(f"{path}, line {row[ROW]}: split is '{value}', not train or test.")
    return "test" if value == "test" else "train"
