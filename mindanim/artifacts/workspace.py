"""The work folder: where each artifact is, and what is recorded about a dataset."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mindanim import console, runtime
from mindanim.artifacts.artifact import MANIFEST, Artifact
from mindanim.artifacts.files import write_text
from mindanim.config.names import KINDS, MAKER, MEANING, NEEDS, kind_of_dataset
from mindanim.config.run_options import RunOptions
from mindanim.config.suggestion import command, in_order
from mindanim.errors import InputError, UsageError
from mindanim.vocabulary.reading import reading
from mindanim.vocabulary.subjects import Subject, folder_of
from mindanim.vocabulary.words import names_and_more

DESCRIPTION = "dataset_description.json"


@dataclass(frozen=True)
class Workspace:
    """The part of the work folder that belongs to one dataset: `<work>/<dataset>`."""

    work: Path
    dataset: str

    @classmethod
    def of(cls, run: RunOptions) -> Self:
        """The workspace of `run`; UsageError without a dataset."""
        return cls(run.work, run.need_dataset())

    @property
    def root(self) -> Path:
        return self.work / self.dataset

    def stimuli(self, label: str = "") -> Path:
        """`<work>/<dataset>/stimuli[-label]`."""
        return self.root / _labelled("stimuli", label)

    def stage(self, subject: Subject, kind: str, label: str = "") -> Path:
        """`<work>/<dataset>/sub-01/<kind>[-label]`."""
        return self.root / folder_of(subject) / _labelled(kind, label)

    def place(self, run: RunOptions, kind: str) -> Path:
        """The folder where a stage writes its artifact of `kind`, given `run`."""
        return self._folder(run, kind, run.label)

    def load(self, path: Path, run: RunOptions, choice: str = "") -> Artifact:
        """The artifact in `path`.

        Args:
            path: Its folder.
            run: What the present command works on.
            choice: What selects another one of its kind, if not ``--use``.

        Raises:
            InputError: It does not exist; the hint is the command that makes it.
        """
        if (path / MANIFEST).exists():
            return load_kind(path, _kind(path))
        raise self._missing([path], run, choice)

    def read(self, run: RunOptions, kind: str) -> Artifact:
        """The input of `kind` that a stage reads; see `read_all`."""
        return self.read_all(run, kind)[kind]

    def read_all(self, run: RunOptions, *kinds: str) -> dict[str, Artifact]:
        """The inputs of `kinds` that a stage reads, given `run`.

        Of each kind the one that ``--use`` names; otherwise the one with the run's own label if it exists, so
        that a variant stays together; otherwise the unlabelled one.

        Raises:
            InputError: Some do not exist; the hint has the commands that make them, in order.
        """
        folders = {kind: self._folder(run, kind, self._label(run, kind)) for kind in kinds}
        for kind, folder in folders.items():
            labelled = folder != self._folder(run, kind, "")
            if run.label and kind not in run.use and (labelled or kind != "stimuli"):
                console.say(f"{kind}: reading {folder}")
        if missing := [folder for folder in folders.values() if not (folder / MANIFEST).exists()]:
            raise self._missing(missing, run)
        return {kind: load_kind(folder, kind) for kind, folder in folders.items()}

    def encoded(self, run: RunOptions) -> Artifact | None:
        """The stimuli that a stage reads, given `run`; None if they are not there."""
        folder = self.stimuli(self._label(run, "stimuli"))
        return load_kind(folder, "stimuli") if (folder / MANIFEST).exists() else None

    def _label(self, run: RunOptions, kind: str) -> str:
        if kind in run.use:
            return run.use[kind]
        return run.label if (self._folder(run, kind, run.label) / MANIFEST).exists() else ""

    def _missing(self, folders: Sequence[Path], run: RunOptions, choice: str = "") -> InputError:
        """The error for artifacts that are not there, with the commands that make them and what they need."""
        lines, kinds = ["The stage has not been run, or has not finished."], dict[str, str]()
        if len(folders) > 1:
            lines = ["The stages have not been run, or have not finished."]
        for folder in folders:
            kind, _, label = folder.name.partition("-")
            kinds[kind] = label
            there = sorted(found.parent.name for found in folder.parent.glob(f"{kind}*/{MANIFEST}"))
            if there:
                how = choice or f"--use {kind}=LABEL"
                lines.append(f"There is another one: {', '.join(there)} (choose it with {how}).")
        for need in {need for kind in kinds for need in NEEDS.get(kind, ())} - kinds.keys():
            label = self._label(run, need)
            if not (self._folder(run, need, label) / MANIFEST).exists():
                kinds[need] = label
        if not run.study:
            recorded = (one.manifest["run"].get("study") for one in self.artifacts())
            run = run.model_copy(update={"study": next(filter(None, recorded), {})})
        named = [f"{MEANING[one]} ({one})" if one in MEANING else one for one in map(_kind, folders)]
        commands = [
            command(MAKER.get(kind, kind), run, label=label)
            for kind, label in sorted(kinds.items(), key=lambda item: _order(item[0]))
        ]
        places = {str(folder if len(folders) == 1 else folder.parent): 0 for folder in folders}
        return InputError(
            f"No {names_and_more(named)} in {' or '.join(places)}.",
            why="\n".join(lines),
            hint=in_order(commands),
        )

    def _folder(self, run: RunOptions, kind: str, label: str) -> Path:
        return self.stimuli(label) if kind == "stimuli" else self.stage(run.need_subject(), kind, label)

    def artifacts(self) -> Iterator[Artifact]:
        """Every finished artifact of the dataset, by subject and in the order of the stages."""
        yield from map(Artifact.load, self.folders())

    def folders(self) -> Iterator[Path]:
        """The folders of all finished artifacts, readable or not, in the order of `artifacts`."""
        for folder in [self.root, *sorted(self.root.glob("sub-*"))]:
            found = [path.parent for path in folder.glob(f"*/{MANIFEST}")]
            visible = [path for path in found if not path.name.startswith(".")]
            yield from sorted(visible, key=_stage_order)

    def dataset_description(self, data: Path | None = None) -> Path:
        """Write the BIDS-derivatives dataset_description.json and record the raw data folder in it.

        Warns if another folder was recorded before: artifacts of two studies would get mixed.
        """
        file, recorded = self.root / DESCRIPTION, self.recorded_data()
        folder = data if data is not None else recorded
        if folder is not None and recorded is not None and folder.resolve() != recorded.resolve():
            console.warn(
                f"{self.dataset} was read from {recorded} before; now it is {folder.resolve()}. If this is a "
                f"different study, give it its own name: --dataset {kind_of_dataset(self.dataset)}-NAME"
            )
        record = {
            "Name": f"mindanim derivatives of {self.dataset}",
            "BIDSVersion": "1.10.0",
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "mindanim", "Version": runtime.version()}],
        }
        if folder is not None:
            record["SourceDatasets"] = [{"URL": folder.resolve().as_uri()}]
        text = json.dumps(record, indent=2) + "\n"
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            write_text(file, text)
        return file

    def recorded_data(self) -> Path | None:
        """The raw data folder that an earlier command used; None if none did."""
        sources = self._description().get("SourceDatasets")
        first = sources[0] if isinstance(sources, list) and sources else None
        url = first.get("URL") if isinstance(first, dict) else None
        if not isinstance(url, str) or not url.startswith("file:"):
            return None
        return Path(url2pathname(urlsplit(url).path))

    def _description(self) -> dict[str, Any]:
        file = self.root / DESCRIPTION
        if not file.exists():
            return {}
        with reading(file, "JSON file", "Repair or remove it."):
            record = json.loads(file.read_text(encoding="utf-8"))
        return record if isinstance(record, dict) else {}


def load_kind(folder: Path, kind: str) -> Artifact:
    """The artifact in a folder. InputError if it is none, or one of another kind."""
    artifact = Artifact.load(folder)
    if artifact.kind != kind:
        raise InputError(
            f"{folder / MANIFEST} is of another kind.",
            why=f"It says {artifact.kind!r}; {kind} is needed.",
            hint="Give another folder, or move this one to where it belongs.",
        )
    return artifact


def datasets(work: Path) -> list[str]:
    """Names of the datasets that have a folder in the work folder: with a description, or with artifacts."""
    if not work.is_dir():
        return []
    folders = (path for path in work.iterdir() if path.is_dir() and not path.name.startswith("."))
    return sorted(
        path.name
        for path in folders
        if (path / DESCRIPTION).exists() or next(Workspace(work, path.name).folders(), None)
    )


def find_dataset(run: RunOptions) -> RunOptions:
    """`run` with its dataset: the given one, or the only one in the work folder.

    Raises:
        UsageError: None was given, and there is not exactly one.
    """
    if run.dataset is not None:
        return run
    there = datasets(run.work)
    if len(there) == 1:
        return run.model_copy(update={"dataset": there[0]})
    raise UsageError(
        "No dataset was given.",
        why=f"{run.work} has {len(there)}: {', '.join(there)}." if there else f"{run.work} has none yet.",
        hint="Add --dataset NAME, or set MINDANIM_DATASET.",
    )


def data_variable(dataset: str) -> str:
    """The environment variable that names one dataset's folder, e.g. MINDANIM_DATA_CC2017."""
    return "MINDANIM_DATA_" + "".join(c if c.isalnum() else "_" for c in dataset.upper())


def find_data(run: RunOptions) -> tuple[Path, str] | None:
    """The raw data folder and what names it; None if nothing does.

    Looked up in this order: ``--data``, MINDANIM_DATA_<DATASET>, MINDANIM_DATA, the one recorded in the work
    folder.

    Raises:
        InputError: The first one named does not exist.
    """
    workspace = Workspace.of(run)
    own = data_variable(workspace.dataset)
    for origin, folder in (
        ("--data", run.data),
        (own, _from_environment(own)),
        ("MINDANIM_DATA", _from_environment("MINDANIM_DATA")),
        (str(workspace.root / DESCRIPTION), workspace.recorded_data()),
    ):
        if folder is None:
            continue
        if not folder.is_dir():
            raise InputError(
                f"The data folder {folder} does not exist.",
                why=f"It comes from {origin}.",
                hint="Add --data FOLDER with its current location.",
            )
        return folder, origin
    return None


def data_unknown(run: RunOptions) -> InputError:
    """The error for an unknown data folder; it lists every place that was looked up."""
    workspace = Workspace.of(run)
    return InputError(
        f"The raw data folder of {workspace.dataset} is unknown.",
        why=f"Looked up: --data (not given), {data_variable(workspace.dataset)} and MINDANIM_DATA (not set), "
        f"{workspace.root / DESCRIPTION} (nothing recorded).",
        hint="Add --data FOLDER once; later commands remember it.",
    )


def with_data(run: RunOptions) -> RunOptions:
    """`run` with its dataset and raw data folder.

    Raises:
        UsageError: The dataset is unknown.
        InputError: The folder is unknown, or does not exist.
    """
    run = find_dataset(run)
    found = find_data(run)
    if found is None:
        raise data_unknown(run)
    return run.model_copy(update={"data": found[0]})


def _from_environment(name: str) -> Path | None:
    value = os.environ.get(name)
    return Path(value).expanduser() if value else None


def _labelled(kind: str, label: str) -> str:
    return f"{kind}-{label}" if label else kind


def _kind(folder: Path) -> str:
    return folder.name.partition("-")[0]


def _order(kind: str) -> int:
    return KINDS.index(kind) if kind in KINDS else len(KINDS)


def _stage_order(path: Path) -> tuple[int, str]:
    return (_order(_kind(path)), path.name)
