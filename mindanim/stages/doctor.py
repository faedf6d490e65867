"""``mindanim doctor``: does this machine have what a recipe and a dataset need?"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from mindanim import runtime
from mindanim.artifacts.manifest import commit
from mindanim.artifacts.workspace import with_data
from mindanim.config.recipes import Recipe
from mindanim.config.run_options import RunOptions
from mindanim.errors import MindanimError, MissingError
from mindanim.vocabulary.registry import EXTENSIBLE, Registry, source
from mindanim.vocabulary.subjects import Subject
from mindanim.vocabulary.words import names_and_more

if TYPE_CHECKING:
    from mindanim.studies import Study

Status = Literal["ok", "note", "problem", "missing"]

Part = Literal["data", "machine", "weights"]
PARTS: tuple[Part, ...] = get_args(Part)

_SUBJECT = ", subject "
_NUMBER = r"(?i)(?:(?<=subject)|(?<![a-z0-9]))0*{}(?![a-z0-9]|\.\d)"
"""A subject's number, in a text or a path, but not within a DOI."""
_ROOMY_BYTES = 20e9


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Attributes:
        status: ``missing`` (needed, and not on this machine) or ``problem`` (there, and wrong), among others.
        runs: Of a subject of a study, one record per run: subject, segment, repeat, state, path, code, why,
            hint.
    """

    about: str
    status: Status
    text: str
    hint: str = ""
    runs: tuple[Mapping[str, Any], ...] = ()


def examine(recipe: Recipe, run: RunOptions, parts: Collection[Part] = PARTS) -> Iterator[Check]:
    """Look at the dataset, if one is named, at the machine and at the recipe's backbones.

    Args:
        recipe: Names the backbones.
        run: Names the dataset, its data and the work folder.
        parts: What to look at. data: runs, films and clips; machine: packages, torch, devices, memory, disk;
            weights: the backbones.
    """
    if "data" in parts and run.dataset is not None:
        yield from _merged(_guarded(f"dataset {run.dataset}", partial(_dataset, run)))
    if "machine" in parts:
        yield Check("mindanim", "ok", f"{runtime.version()}, commit {commit() or 'unknown'}")
        yield Check("python", "ok", f"{platform.python_version()} on {platform.platform()}")
        yield from _packages()
        yield from _plugins()
        yield from _guarded("torch", _torch)
        yield _memory()
        yield _disk(run.work)
    if "weights" in parts:
        for kind, name in recipe.tables.get("backbones", {}).items():
            yield from _guarded(f"{kind} backbone", partial(_backbone, kind, name))
        yield from _beside(recipe)


def _merged(checks: Iterable[Check]) -> list[Check]:
    """The checks, those that differ only in the subject as one."""
    groups: dict[tuple[str, str, str], list[Check]] = {}
    for check in checks:
        about, _, subject = check.about.partition(_SUBJECT)
        number = _NUMBER.format(subject) if subject.isdecimal() else "(?!)"
        text, hint = (re.sub(number, "#", part) for part in (check.text, check.hint))
        alone = str(len(groups)) if check.status == "ok" else ""  # numbers of runs are worth a line each
        groups.setdefault((f"{check.status}{alone}", text, hint), []).append(check)
    merged = []
    for first, *others in groups.values():
        names = names_and_more(check.about.partition(", ")[2] for check in others)
        text = f"{first.text} The same for: {names}." if others else first.text
        merged.append(
            replace(first, text=text, runs=tuple(run for one in (first, *others) for run in one.runs))
        )
    return merged


def _guarded(about: str, look: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """The checks of `look`; an error in it is a check too, so that one fault does not hide the others."""
    try:
        yield from look()
    except MissingError as error:
        yield Check(about, "missing", f"{error.what} {error.why}".strip(), error.hint)
    except MindanimError as error:
        yield Check(about, "problem", f"{error.what} {error.why}".strip(), error.hint)


def _packages() -> Iterator[Check]:
    needed, extras = _requirements()
    absent = [name for name in needed if not _installed(name)]
    if absent:
        hint = f"pip install {' '.join(absent)}"
        yield Check("packages", "missing", f"not installed: {', '.join(absent)}", hint)
    else:
        yield Check("packages", "ok", f"all {len(needed)} that mindanim depends on are installed")
    for extra, names in extras.items():
        if without := [name for name in names if not _installed(name)]:
            hint = f"pip install 'mindanim[{extra}]'"
            yield Check("packages", "note", f"without {', '.join(without)} (optional, {extra})", hint)


def _plugins() -> Iterator[Check]:
    """The metrics, samplers, decoders and readers of other packages, and whether each can be used."""
    for thing in EXTENSIBLE:
        for point in importlib.metadata.entry_points(group=f"mindanim.{thing}s"):
            about = f"{thing} {point.name}"
            try:
                _registry(thing)[point.name]
            except MindanimError as error:
                text = f"from {source(point)}: {error.what} {error.why}".strip()
                yield Check(about, "problem", text, error.hint)
            else:
                yield Check(about, "ok", f"from {source(point)}")


def _registry(thing: str) -> Registry[Any]:
    """What is known of a sort of thing, this package's own included."""
    from mindanim.decoders.build import registered
    from mindanim.generation.samplers import SAMPLERS
    from mindanim.metrics.families.metric import METRICS
    from mindanim.studies import READERS

    known: dict[str, Registry[Any]]
    known = {"metric": METRICS, "sampler": SAMPLERS, "decoder": registered(), "reader": READERS}
    return known[thing]


def _requirements() -> tuple[list[str], dict[str, list[str]]]:
    """Names of what mindanim depends on here, and per optional extra; the developers' extra is left out."""
    from packaging.requirements import Requirement

    texts = importlib.metadata.requires("mindanim") or []
    extras = sorted(importlib.metadata.metadata("mindanim").get_all("Provides-Extra") or [])

    def names(extra: str) -> list[str]:
        found = [Requirement(text) for text in texts]
        return [one.name for one in found if one.marker is None or one.marker.evaluate({"extra": extra})]

    needed = names("")
    return needed, {
        extra: [name for name in names(extra) if name not in needed] for extra in extras if extra != "dev"
    }


def _installed(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _torch() -> Iterator[Check]:
    import torch

    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU"
    yield Check("torch", "ok", f"{torch.__version__} ({build} build)")
    try:
        import torchvision
    except (ImportError, RuntimeError) as error:
        hint = "Install torch and torchvision from the same kind of build (both CPU or both CUDA)."
        yield Check("torchvision", "problem", f"cannot be imported: {error}", hint)
    else:
        yield Check("torchvision", "ok", torchvision.__version__)
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        free, total = torch.cuda.mem_get_info(index)
        yield Check("device", "ok", f"cuda:{index} {about.name}, {_gb(free)} of {_gb(total)} free")
    if torch.backends.mps.is_available():
        yield Check("device", "ok", "mps (Apple GPU)")
    if runtime.pick_device("auto").type == "cpu":
        text = f"no GPU; {runtime.threads()} CPU threads: enough for the demo, slow for a full study"
        yield Check("device", "note", text)


def _memory() -> Check:
    import psutil

    free, total = runtime.main_memory_bytes(), psutil.virtual_memory().total
    return Check("memory", "ok", f"{_gb(free)} available; the machine has {_gb(total)}")


def _disk(work: Path) -> Check:
    here = work.absolute()
    while not here.exists():
        here = here.parent
    if not os.access(here, os.W_OK):
        return Check("disk", "problem", f"{here} is not writable", "Choose another folder with --work")
    free = shutil.disk_usage(here).free
    text = f"{_gb(free)} free for {work}"
    return Check("disk", "ok" if free > _ROOMY_BYTES else "note", text)


def _backbone(kind: str, name: str) -> Iterator[Check]:
    from typing import cast

    from mindanim.backbones import Kind, locate

    found = locate(name, cast(Kind, kind), offline=True)
    licence = f", licence {found.licence}" if found.licence else ""
    yield Check(f"{kind} backbone", "ok", f"{name}: {found.path} ({_gb(found.size_bytes)}{licence})")


def _beside(recipe: Recipe) -> Iterator[Check]:
    """What to know about weights that the recipe does not list."""
    names = recipe.tables.get("backbones", {})
    if "captioner" in names:
        text = "the captioner is used only where no captions are given"
        yield Check("captions", "note", text, "It is not needed with your own captions: --captions FILE")
    if set(names.values()) - {"demo"} and recipe.tables.get("evaluate", {}).get("vifi") is None:
        text = "VIFI and the gated CLIP-pcc need ViFi-CLIP (ViT-B/16), and no checkpoint is named"
        hint = (
            "Its authors publish the checkpoint: github.com/muzairkhattak/ViFi-CLIP. Then: evaluate "
            "--set vifi=FILE. Without it the two scores are left out, by name."
        )
        yield Check("vifi", "note", text, hint)


def _dataset(run: RunOptions) -> Iterator[Check]:
    from mindanim.studies import open_study

    run = with_data(run)
    study = open_study(run.need_dataset(), run.need_data(), True, run.study)
    about = f"dataset {run.dataset}"
    facts = study.facts
    yield Check(about, "ok", f"{facts.title} in {study.root}")
    yield Check(f"{about}, terms", "ok", f"{facts.licence}; from {facts.where}")
    yield Check(f"{about}, to cite", "ok", facts.citation)
    for subject in [run.subject] if run.subject else facts.subjects:
        yield from _guarded(f"{about}, subject {subject}", partial(_subject, about, study, subject))
    yield from _guarded(f"{about}, films", partial(_films, about, study))


def _subject(about: str, study: Study, subject: Subject) -> Iterator[Check]:
    first, *others = study.check(subject)
    runs = tuple({**vars(entry), "path": str(entry.path)} for entry in study.inventory(subject))
    yield Check(f"{about}, subject {subject}", first.status, first.text, first.hint, runs)
    for finding in others:
        yield Check(f"{about}, subject {subject}", finding.status, finding.text, finding.hint)


def _films(about: str, study: Study) -> Iterator[Check]:
    """Films and clips; where some are missing, those that are there, and an error about the others."""
    films, clips = study.films(), study.clips()
    there = {film.name for film in films}
    shown = {clip.film for clip in clips}
    counts = ", ".join(
        f"{sum(clip.split == split and clip.film in there for clip in clips)} {name}"
        for split, name in (("train", "training"), ("test", "test"))
    )
    text = f"{len(there & shown)} of {len(shown)} films, {counts} clips"
    missing = sorted(shown - there)
    hint = f"Get the others from {study.facts.where}, or leave them out: --allow-partial" if missing else ""
    yield Check(f"{about}, films", "problem" if missing else "ok", text, hint)


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
