"""``mindanim init``: look at a study and write the options and tables that it needs, as proposals."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mindanim.artifacts.files import write_text
from mindanim.artifacts.workspace import with_data
from mindanim.config.names import MAKER
from mindanim.config.run_options import RunOptions
from mindanim.config.suggestion import command
from mindanim.errors import InputError, UsageError
from mindanim.studies import Finding, Study, open_study
from mindanim.studies.proposals.study_file import (
    Choice,
    propose_clip,
    propose_detrend_order,
    propose_lag,
    study_file,
)

Kind = Literal["bids", "tables", "captions"]

STUDY_FILE, CAPTIONS = "study.toml", "captions.tsv"
_RECIPE = (
    'The networks of the usual recipe, "own-study", are 55 GB to download (49 of them a captioner that is '
    'not needed with a table of captions), and they want a GPU. "demo" runs everything on a CPU with small '
    "networks that come with mindanim: to see that all is connected, not to judge reconstructions."
)
_CAPTIONS = "What each clip shows: one sentence per row of this table. Rows without a caption are an error."
_ONCE = (
    "Training films were shown once, so that no correlation of repeats can tell which voxels respond. This "
    "keeps those with the largest temporal variance, which artefacts have too. Regions (--roi, --atlas) "
    "are a better choice."
)


@dataclass(frozen=True)
class Initialised:
    """What was found and written.

    Attributes:
        found: Sentences on the study.
        notes: What to check.
        files: Files written.
        commands: The seven stages, to be run in order.
    """

    found: Sequence[str]
    notes: Sequence[str]
    files: Sequence[Path]
    commands: Sequence[str]


@dataclass
class _Proposal:
    """Choices for one study. tables: texts of tables to write into its folder, by name."""

    dataset: str
    root: Path
    choices: list[Choice] = field(default_factory=list)
    tables: dict[str, str] = field(default_factory=dict)

    def options(self) -> dict[str, str]:
        """Those for the reader."""
        return {one.name: _text(one.value) for one in self.choices if one.table == "run.study"}


def initialise(kind: Kind, folder: Path | None, out: Path, run: RunOptions) -> Initialised:
    """Write ``study.toml`` and ``captions.tsv`` into ``out``; nothing is overwritten.

    Args:
        kind: The layout of the study; captions writes the table of captions alone.
        folder: The study; None uses ``run.data``.
        out: Where to write; tables of a study without them are written into its folder.
        run: Options that are given beforehand: dataset, study, recipe, work.

    Raises:
        InputError: The folder has no runs, events or films, one film only, or a file is there already.
        UsageError: No folder was given.
    """
    if kind == "captions":
        return _captions_alone(run, out)
    root = folder or run.data
    if root is None:
        raise UsageError("No folder was given.", hint=f"Run: {_again(kind, 'FOLDER', run, out)}")
    if not root.is_dir():
        raise InputError(f"{root} is not a folder.", hint=f"Run: {_again(kind, 'FOLDER', run, out)}")
    root = root.resolve()
    target, dataset = out / STUDY_FILE, run.dataset or f"{kind}-{_slug(root.name)}"
    _refuse_existing([target])
    proposal = (_propose_bids if kind == "bids" else _propose_tables)(root, dataset, run.study)
    files = [root / name for name in proposal.tables]
    _refuse_existing(files)
    for file, text in zip(files, proposal.tables.values(), strict=True):
        write_text(file, text)
    try:
        study = open_study(dataset, root, False, proposal.options())
    except InputError as error:
        if not files:
            raise
        written = " and ".join(map(str, files))
        raise InputError(
            f"{written} must be completed by hand: names and headers do not tell everything.",
            f"{error.what} {error.why}".strip(),
            f"Fill in what is empty. Then run again: {_again(kind, str(root), run, out)}",
        ) from error
    study.films()
    findings = {finding.text: finding for subject in study.facts.subjects for finding in study.check(subject)}
    notes = [_note(finding) for finding in findings.values() if finding.status != "ok"]
    if proposed := propose_detrend_order(study.clips()):
        proposal.choices.append(Choice("preprocess", "detrend_order", *proposed))
    if study.facts.repeats.get("train", 0) == 1:
        proposal.choices.append(Choice("preprocess", "selection", "variance", _ONCE))
    if study.captions() is None:
        captions = out / CAPTIONS
        _refuse_existing([captions])
        write_text(captions, captions_table(study))
        files.append(captions)
        proposal.choices.append(Choice("encode-stimuli", "captions", str(captions.resolve()), _CAPTIONS))
        notes.append(f"Write a caption into each row of {captions}: what the clip shows.")
    shared: dict[str, Any] = {"dataset": dataset, "data": root}
    recipe = Choice("run", "recipe", run.recipe or "demo", _RECIPE, active=run.recipe is not None)
    found = _found(study)
    head = [
        f"Options that mindanim proposes for the study in {root}. Correct what is wrong.",
        "Every stage takes this file: mindanim preprocess --config study.toml --subject 1",
        "",
        *found,
    ]
    write_text(target, study_file(head, shared, [recipe, *proposal.choices]))
    subject = study.facts.subjects[0]
    asked = {"config": target, "dataset": dataset, "data": root, "study": proposal.options()}
    now = run.model_copy(update=asked | {"subject": subject})
    return Initialised(found, notes, [target, *files], [command(stage, now) for stage in MAKER.values()])


def captions_table(study: Study) -> str:
    """A table of captions to fill in, with what helps to find each clip."""
    rows = ["clip_id\tfilm\tonset_s\tduration_s\tcaption"]
    rows += [f"{one.clip_id}\t{one.film}\t{one.onset_s:g}\t{one.duration_s:g}\t" for one in study.clips()]
    return "\n".join(rows) + "\n"


def _captions_alone(run: RunOptions, out: Path) -> Initialised:
    run = with_data(run)
    study = open_study(run.need_dataset(), run.need_data(), run.allow_partial, run.study)
    target = out / CAPTIONS
    _refuse_existing([target])
    write_text(target, captions_table(study))
    then = command("encode-stimuli", run, "--captions", str(target))
    found = [f"{len(study.clips())} clips of {study.facts.title}."]
    return Initialised(found, [f"Write a caption into each row of {target}."], [target], [then])


def _propose_bids(root: Path, dataset: str, given: Mapping[str, str]) -> _Proposal:
    from mindanim.studies.proposals.bids_folder import look

    found = look(root)
    proposal = _Proposal(dataset, root, list(found.versions))
    if found.stimuli != "stimuli":
        proposal.choices.append(Choice("run.study", "stimuli", found.stimuli, "Folder of the films."))
    if found.split is not None:
        reason = f"The test set: {found.split.reason}."
        proposal.choices.append(Choice("run.study", "test", found.split.rule, reason))
    _override(proposal, given)
    clip_s = None
    if found.long and "clip_s" not in given:
        proposal.choices.append(Choice("run.study", "clip_s", *propose_clip(0.0)))
        facts = open_study(dataset, root, False, proposal.options()).facts
        clip_s, reason = propose_clip(facts.tr_s)
        proposal.choices[-1] = Choice("run.study", "clip_s", clip_s, reason)
    if "lag_s" not in given:
        clip_s = clip_s or open_study(dataset, root, False, proposal.options()).facts.clip_s
        proposal.choices.append(Choice("run.study", "lag_s", *propose_lag(clip_s)))
    return proposal


def _propose_tables(root: Path, dataset: str, given: Mapping[str, str]) -> _Proposal:
    from mindanim.stimuli.video import FilmFile
    from mindanim.studies.proposals.tables_folder import (
        clips_table,
        find_films,
        find_runs,
        runs_table,
        split_of,
    )
    from mindanim.studies.readers.own import CLIPS, RUNS, STUDY

    proposal = _Proposal(dataset, root)
    _override(proposal, given)
    if not (root / CLIPS).exists() or not (root / RUNS).exists():
        films = find_films(root)
        runs = find_runs(root, films)
        seconds = {film.relative_to(root).as_posix(): FilmFile(film).end_s for film in films}
        split = split_of(runs, seconds)
        if not (root / CLIPS).exists():
            clip_s, _ = propose_clip(max((run.tr_s or 0.0 for run in runs), default=0.0))
            proposal.tables[CLIPS] = clips_table(seconds, split.films, clip_s)
        if not (root / RUNS).exists():
            proposal.tables[RUNS] = runs_table(root, runs)
    if not (root / STUDY).exists():
        lag_s, reason = propose_lag(2.0)
        proposal.choices.append(Choice("preprocess", "lags_s", [lag_s], reason))
    return proposal


def _override(proposal: _Proposal, given: Mapping[str, str]) -> None:
    """Replace proposals by what the user asked for."""
    kept = [one for one in proposal.choices if one.name not in given]
    proposal.choices[:] = kept
    proposal.choices += [Choice("run.study", name, value, "As given.") for name, value in given.items()]


def _found(study: Study) -> list[str]:
    facts, clips = study.facts, study.clips()
    names = {"train": "training", "test": "test"}
    counts = [f"{sum(one.split == split for one in clips)} {name}" for split, name in names.items()]
    often = {1: "once", 2: "up to twice"}
    repeats = ", ".join(
        f"{names[split]} films {often.get(count, f'up to {count} times')}"
        for split, count in facts.repeats.items()
    )
    test = ", ".join(sorted({one.film for one in clips if one.split == "test"}))
    subjects = ", ".join(str(subject) for subject in facts.subjects)
    return [
        f"Found: subjects {subjects}; {len({one.film for one in clips})} films; TR {facts.tr_s:g} s.",
        f"{counts[0]} and {counts[1]} clips of {facts.clip_s:g} s. Shown to each subject: {repeats}.",
        f"The test set: {test}.",
    ]


def _note(finding: Finding) -> str:
    return f"{finding.text} {finding.hint}".strip()


def _refuse_existing(files: Sequence[Path]) -> None:
    if there := [str(file) for file in files if file.exists()]:
        raise InputError(
            f"{' and '.join(there)} exists; nothing is overwritten.",
            hint="Move it away, or write to another folder: --out FOLDER",
        )


def _again(kind: str, folder: str, run: RunOptions, out: Path) -> str:
    """The same command, with all that it was given, for this folder."""
    more = ["--recipe", run.recipe] if run.recipe else []
    more += ["--out", str(out)] if out != Path() else []
    return command(f"init {kind}", run.model_copy(update={"data": None}), folder, *more)


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._") or "study"


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)
