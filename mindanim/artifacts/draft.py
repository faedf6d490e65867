"""The folder under construction that a stage writes into."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindanim import console, runtime
from mindanim.artifacts.artifact import CONFIG, MANIFEST, Artifact
from mindanim.artifacts.files import WRITING, atomic_path, sha256_of, sync, write_text
from mindanim.artifacts.journal import JOURNALS, kept_findings, read_journals
from mindanim.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import DTypeLike

LOG = "log.txt"
_SCRATCH = "scratch"
_NOT_OUTPUTS = {MANIFEST, CONFIG, LOG}


class Draft:
    """The folder under construction, given to `build`.

    Everything a stage records here (descriptions of outputs, methods, findings, facts, finished steps) goes
    into a journal in the folder, so that a run that continues a killed one has it too.

    Attributes:
        path: The folder.
        resumed: Whether an earlier run left work here.
        main: Whether this process writes what all processes of a launch share. In the others `save_*`,
            `methods`, `finding` and `fact` do nothing; `write`, `scratch` and `mark_done` work everywhere.
        part: Name of this process's share of the work, if several independent processes fill the folder; each
            has its own journal.
        extends: The finished artifact whose parts are to be reused, if any.
    """

    def __init__(self, path: Path, part: str = "", extends: Artifact | None = None) -> None:
        self.path, self.part, self.extends = path, part, extends
        self.main = runtime.rank() == 0
        entries = read_journals(self.path) if path.is_dir() else []
        self.resumed = any(entry["entry"] != "session" for entry in entries)
        self._done = {entry["step"] for entry in entries if entry["entry"] == "done"}

    def begin(self) -> None:
        """Prepare the folder for another session of work; called once, by the main process.

        Raises:
            InputError: The folder is a link or contains one, through which files elsewhere would be changed.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        for path in (self.path, *self.path.rglob("*")):
            _refuse_link(path)
        (self.path / MANIFEST).unlink(missing_ok=True)  # complete for an earlier request, not for this one
        if not self.part:  # what another process is writing now is not a leftover
            for leftover in self.path.rglob(f"{WRITING}*"):
                leftover.unlink()
        journal = self._journal
        if journal.exists() and not journal.read_bytes().endswith(b"\n"):
            with journal.open("a", encoding="utf-8") as file:
                file.write("\n")  # end the half line left by a kill in mid-write
        self._record("session", started=_now(), version=runtime.version())

    def save_array(self, name: str, array: np.ndarray, *, axes: str, unit: str = "") -> None:
        """Write `array` as .npy.

        Args:
            name: File name.
            array: The array.
            axes: One word per dimension, "clip lag voxel".
            unit: Physical unit, if any.
        """
        import numpy as np

        if not self.main:
            return
        _check_axes(name, axes, array.ndim)
        with self.write(name, axes=axes, unit=unit) as path, path.open("wb") as file:
            np.save(file, np.ascontiguousarray(array), allow_pickle=False)

    def open_array(
        self, name: str, shape: tuple[int, ...], dtype: DTypeLike, *, axes: str, unit: str = ""
    ) -> np.memmap:
        """A .npy output to fill in place: created once, filled with zeros, and kept across resumes.

        With several processes, all of them must call this.

        Args:
            name: File name.
            shape: Length of each axis.
            dtype: Type of the values.
            axes: One word per dimension.
            unit: Physical unit, if any.

        Raises:
            InputError: An unfinished run left an array of another shape or type.
        """
        import numpy as np

        _check_axes(name, axes, len(shape))
        path = self._inside(name)
        if self.main and not path.exists():
            with self.write(name, axes=axes, unit=unit) as temporary:
                np.lib.format.open_memmap(temporary, mode="w+", dtype=np.dtype(dtype), shape=shape).flush()
        runtime.wait_for_all()
        array = np.lib.format.open_memmap(path, mode="r+")
        if array.shape != tuple(shape) or array.dtype != np.dtype(dtype):
            raise InputError(
                f"{path} is {array.dtype} {array.shape} instead of {np.dtype(dtype)} {tuple(shape)}.",
                why="An unfinished run left it.",
                hint=f"Remove the folder {self.path} and run the same command again.",
            )
        return array

    def save_table(self, name: str, frame: pd.DataFrame, *, units: Mapping[str, str]) -> None:
        """Write `frame` as TSV without its index; missing values are "n/a".

        Args:
            name: File name.
            frame: The table.
            units: Column -> unit or description.
        """
        if not self.main:
            return
        if strangers := [column for column in units if column not in frame.columns]:
            raise ValueError(f"{name}: units given for columns that do not exist: {', '.join(strangers)}")
        columns = {str(column): units.get(str(column), "") for column in frame.columns}
        with self.write(name, rows=len(frame), columns=columns) as path:
            frame.to_csv(path, sep="\t", index=False, na_rep="n/a", lineterminator="\n")

    def save_json(self, name: str, data: Any) -> None:
        """Write plain data as JSON; NaN and infinities are refused, because JSON has none."""
        if self.main:
            with self.write(name) as path:
                text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)
                path.write_text(text + "\n", encoding="utf-8")

    def save_bytes(self, name: str, data: bytes) -> None:
        """Write bytes unchanged."""
        if self.main:
            with self.write(name) as path:
                path.write_bytes(data)

    @contextmanager
    def write(self, name: str, **described: Any) -> Iterator[Path]:
        """A temporary path to write the output `name` to; renamed to `name` if the block succeeds.

        Args:
            name: File name.
            described: What the manifest says besides size and hash (axes, unit, ...).
        """
        target = self._inside(name)
        if Path(name).parts[0] == _SCRATCH or name in _NOT_OUTPUTS:
            raise ValueError(f"{name} is not a name for an output")
        with atomic_path(target) as temporary:
            yield temporary
        if described:
            self._record("output", name=Path(name).as_posix(), described=described)

    def scratch(self, name: str) -> Path:
        """A path for files that are not outputs (checkpoints): kept after a kill, removed on completion."""
        path = self._inside(f"{_SCRATCH}/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def mark_done(self, step: str) -> None:
        """Record that a step of the work is finished and its files are flushed."""
        if step not in self._done:
            self._done.add(step)
            self._record("done", step=step)

    def is_done(self, step: str) -> bool:
        """Whether this run, or a killed one before it, has finished the step."""
        return step in self._done

    def methods(self, sentence: str) -> None:
        """Add one or more sentences to the methods text; repeated ones are kept once."""
        if self.main:
            self._record("methods", text=sentence)

    def finding(self, code: str, text: str, **data: Any) -> None:
        """Record an audit finding or warning that stays with the artifact, and show it to the user now."""
        if self.main:
            console.warn(text)
            self._record("finding", finding={"code": code, "text": text, "data": data})

    def retract(self, code: str) -> None:
        """Drop the findings with this code that were recorded so far."""
        if self.main:
            self._record("retract", code=code)

    def fact(self, **facts: Any) -> None:
        """Record small facts for `mindanim show`, e.g. n_voxels=1500. NaN becomes null: JSON has no NaN."""
        if self.main:
            absent = {
                name: None for name, value in facts.items() if isinstance(value, float) and math.isnan(value)
            }
            self._record("facts", facts=facts | absent)

    def computes_in(self, precision: str) -> None:
        """Record that networks compute in this precision from here on; the fact `precision` lists all used.

        It changes the numbers, but is not part of the identity, which does not depend on the machine.
        """
        if self.main:
            self._record("precision", precision=precision)

    def complete(self) -> dict[str, Any]:
        """Flush, hash and list all outputs; returns the parts of the manifest that are known here."""
        entries = read_journals(self.path)
        described = {e["name"]: e["described"] for e in entries if e["entry"] == "output"}
        facts: dict[str, Any] = {}
        for entry in entries:
            facts |= entry.get("facts", {})
        if names := _unique(entry["precision"] for entry in entries if entry["entry"] == "precision"):
            facts["precision"] = ", ".join(names)
        sessions = [entry for entry in entries if entry["entry"] == "session"]
        return {
            "started": min(session["started"] for session in sessions),
            "finished": _now(),
            "sessions": len(sessions),
            "versions": sorted({session["version"] for session in sessions}),
            "outputs": {
                name: _describe(self.path / name) | described.get(name, {}) for name in self._outputs()
            },
            "methods": _unique(entry["text"] for entry in entries if entry["entry"] == "methods"),
            "findings": _unique(iter(kept_findings(entries))),
            "facts": facts,
        }

    def seal(self, manifest: Mapping[str, Any]) -> None:
        """Write the manifest; all that remains is `tidy` and renaming the folder."""
        text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False)
        write_text(self.path / MANIFEST, text + "\n")

    def tidy(self) -> None:
        """Remove what only the work in progress needed."""
        shutil.rmtree(self.path / _SCRATCH, ignore_errors=True)
        for journal in self.path.glob(JOURNALS):
            journal.unlink()

    def _inside(self, name: str) -> Path:
        """The path of a file of this folder.

        Raises:
            InputError: It would be outside, by its name or by a link in a folder that someone else left.
        """
        path = self.path / name
        parts = Path(name).parts
        if not parts or Path(name).is_absolute() or ".." in parts:
            raise InputError(f"'{name}' is not written: it is outside {self.path}.")
        here = self.path
        for part in parts:
            here /= part
            _refuse_link(here)
        return path

    def _outputs(self) -> list[str]:
        names = (file.relative_to(self.path).as_posix() for file in self.path.rglob("*") if file.is_file())
        other = (f"{_SCRATCH}/", ".journal")
        return sorted(n for n in names if n not in _NOT_OUTPUTS and not n.startswith(other))

    @property
    def _journal(self) -> Path:
        return self.path / (f".journal-{self.part}.jsonl" if self.part else ".journal.jsonl")

    def _record(self, entry: str, **content: Any) -> None:
        line = json.dumps({"entry": entry, **content}, ensure_ascii=False, allow_nan=False)
        with self._journal.open("a", encoding="utf-8") as journal:
            journal.write(line + "\n")


def _refuse_link(path: Path) -> None:
    if path.is_symlink():
        raise InputError(
            f"{path} is a link.",
            why="A folder in which an artifact is built has none: files elsewhere would be changed.",
            hint="Remove the link and run the same command again.",
        )


def _describe(path: Path) -> dict[str, Any]:
    entry: dict[str, Any] = {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    sync(path)
    if path.suffix == ".npy":
        import numpy as np

        array = np.load(path, mmap_mode="r", allow_pickle=False)
        entry |= {"shape": list(array.shape), "dtype": str(array.dtype)}
    return entry


def _check_axes(name: str, axes: str, dimensions: int) -> None:
    if len(axes.split()) != dimensions:
        raise ValueError(f"{name} has {dimensions} dimensions, but its axes are '{axes}'")


def _unique(items: Iterator[Any]) -> list[Any]:
    kept: list[Any] = []
    for item in items:
        if item not in kept:
            kept.append(item)
    return kept


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
