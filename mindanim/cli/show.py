"""`mindanim show`."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any

import typer

from mindanim.cli.options import FILE, helper_parameters, shared_options
from mindanim.cli.render import print_json, print_pairs, print_table, print_tree
from mindanim.config.resolve import resolve_run
from mindanim.errors import InputError, raise_together
from mindanim.stages.show import describe, find, overview
from mindanim.stages.show_timing import draw_timing
from mindanim.vocabulary.subjects import label_of
from mindanim.vocabulary.visible import visible
from mindanim.vocabulary.words import in_bytes, names_and_more

_ARGUMENT = typer.Argument(help="Folder of an artifact, or a file in one (default: list all artifacts).")
_TIMING = typer.Option(
    "--timing",
    help="Plot film, clips, volumes and lag of a run of the raw study to this PNG file.",
    metavar="file",
    show_default=False,
)
_RUN = typer.Option(
    "--run",
    help="The run to plot with --timing: segment, or segment:repeat.",
    metavar="name",
    show_default=False,
)
_VERIFY = typer.Option(
    "--verify",
    help="Read every file and compare its content with its checksum (default: compare sizes only).",
    show_default=False,
)
_SHARED = ("dataset", "data", "study", "subject", "work")


def parameters() -> list[Parameter]:
    """The command's options."""
    path = Parameter(
        "path", Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, _ARGUMENT]
    )
    timing, run = (
        Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, option])
        for name, option in (("timing", _TIMING), ("run_", _RUN))
    )
    verify = Parameter("verify", Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, _VERIFY])
    return helper_parameters(_SHARED, path, timing, run, verify, FILE)


def run(given: Mapping[str, Any]) -> None:
    """Print one artifact or list all of them, or plot the timing of a run of the raw study."""
    as_json = bool(given["json_"])
    if given["path"]:
        shown = describe(find(Path(given["path"])), bool(given["verify"]))
        if as_json:
            print_json(shown)
        else:
            _print_artifact(shown)
        if given["verify"]:
            _refuse([shown], ("damaged",))
        return
    options = resolve_run(shared_options(given, _SHARED))
    if given["timing"]:
        title = draw_timing(Path(given["timing"]), given["run_"] or "", options)
        if as_json:
            print_json({"path": given["timing"], "title": title})
        else:
            print(f"{given['timing']}: {title}")
        return
    rows = overview(options, bool(given["verify"]))
    if as_json:
        print_json(rows)
    elif rows:
        _print_overview(rows)
    else:
        print(f"There are no artifacts in {options.work}.")
    _refuse(rows, ("damaged", "unreadable") if given["verify"] else ("unreadable",))


def _refuse(rows: list[Any], states: tuple[str, ...]) -> None:
    """Raise what is wrong with the artifacts in one of these states, after all of them were printed."""
    raise_together(
        [InputError(reason) for row in rows if row["state"] in states for reason in row["reasons"]]
    )


def _print_overview(rows: list[dict[str, Any]]) -> None:
    columns = ("dataset", "subject", "folder", "state", "identity", "finished", "size")
    cells = [
        (
            row["dataset"],
            label_of(row["subject"]) if row["subject"] is not None else "",
            row["folder"],
            row["state"],
            row["identity"][:8],
            row["finished"] or "",
            in_bytes(row["bytes"]),
        )
        for row in rows
    ]
    print_table(columns, cells)


def _print_artifact(shown: Mapping[str, Any]) -> None:
    made = shown["made"]
    print_pairs(
        {
            shown["kind"]: shown["path"],
            "identity": shown["identity"],
            "state": shown["state"],
            "made by": " ".join(made["command"]),
            "version": f"{made['version']}, commit {made['commit'] or 'unknown'}",
            "finished": made["finished"]
            + (f" in {made['sessions']} sessions" if made["sessions"] > 1 else ""),
        }
    )
    for reason in shown["reasons"]:
        print(visible(f"  {reason}"))
    if shown["facts"]:
        print("\nFacts")
        print_pairs({name: _fact(value) for name, value in shown["facts"].items()}, "  ")
    if shown["findings"]:
        print("\nFindings")
        for finding in shown["findings"]:
            print(visible(f"  {finding['code']}: {finding['text']}"))
    print("\nOutputs")
    cells = [(name, in_bytes(entry["bytes"]), *_form(entry)) for name, entry in shown["outputs"].items()]
    print_table(("file", "size", "shape", "type", "axes", "unit"), cells)
    print("Made from")
    print_tree(_branch(shown["lineage"], set()))


def _form(entry: Mapping[str, Any]) -> tuple[str, str, str, str]:
    if "columns" in entry:
        return f"{entry['rows']} rows", "table", names_and_more(entry["columns"]), ""
    shape = " x ".join(map(str, entry.get("shape", ())))
    return shape, entry.get("dtype", ""), entry.get("axes", ""), entry.get("unit", "")


def _branch(inputs: list[dict[str, Any]], seen: set[str]) -> list[tuple[str, list[Any]]]:
    """Labels of inputs, each with its own inputs; those of an input shown before are not repeated."""
    branches = []
    for given in inputs:
        mark = f"  STALE: {given['changed']}" if given["changed"] else "  (gone)" if given["gone"] else ""
        known = given["identity"] in seen and bool(given["inputs"])
        seen.add(given["identity"])
        label = f"{given['name']} {given['identity'][:8]} {given['path']}".rstrip()
        below = [] if known else _branch(given["inputs"], seen)
        branches.append((f"{label}{mark}{'  (see above)' if known else ''}", below))
    return branches


def _fact(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
