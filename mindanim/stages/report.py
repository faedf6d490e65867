"""``mindanim report``, and the page that every evaluation writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindanim.artifacts import Artifact
from mindanim.artifacts.files import atomic_path, write_text
from mindanim.artifacts.workspace import load_kind
from mindanim.errors import InputError, MindanimError, UsageError
from mindanim.stages.comparison import siblings_of
from mindanim.stages.evaluation_inputs import Scene, lineage_of, scene_behind

if TYPE_CHECKING:
    import pandas as pd

    from mindanim.report import ClipView
    from mindanim.report.provenance import Origin

GENERATOR = '<meta name="generator" content="mindanim">'
ENDINGS = (".html", ".md", ".tex", ".tsv")
"""What a report is written as; a table of values only where several evaluations are compared."""
_MARKS = {".md": "<!-- written by mindanim report -->\n\n", ".tex": "% written by mindanim report\n"}


def report(
    evaluations: Sequence[Path],
    out: Path | None,
    clips: int | None = None,
    film_mb: float | None = None,
) -> Path:
    """Write the page of one finished evaluation, or a page that compares several, without recomputing scores.

    A page of several is accompanied by the same tables as .tsv, .md and .tex.

    Args:
        evaluations: Their folders.
        out: File to write, a page (.html) or its tables (.md, .tex and, of several, .tsv); None writes a page
            next to the folder, or into the common parent of several.
        clips: Clips to show at most; None shows as many as the evaluation's own page.
        film_mb: Megabytes for all clips together; None is the default of the page.

    Returns:
        The file.

    Raises:
        InputError: The evaluations are not comparable, or `out` is a file of another kind.
        UsageError: `out` has another ending, or `clips` or `film_mb` is given for what shows no clips.
    """
    artifacts = [Artifact.load(path) for path in evaluations]
    if strangers := [one.path for one in artifacts if one.kind != "evaluation"]:
        raise InputError(
            f"{strangers[0]} is not an evaluation.", hint="List the artifacts there are: mindanim show"
        )
    if (clips is not None or film_mb is not None) and len(artifacts) > 1:
        raise UsageError(
            "A page that compares several evaluations shows no clips.",
            hint="Leave out --clips and --film-mb, or give one evaluation.",
        )
    path = out or _default_place(artifacts)
    if path.suffix not in ENDINGS[: 4 if len(artifacts) > 1 else 3]:
        raise UsageError(
            f"--out {path} does not say what to write.",
            why=f"It ends in {path.suffix!r}." if path.suffix else "It has no ending.",
            hint="End it in .html for a page, .md for Markdown or .tex for LaTeX; .tsv compares several.",
        )
    if path.suffix != ".tsv":
        _refuse_foreign(path)
    if path.suffix != ".html" and (clips is not None or film_mb is not None):
        raise UsageError("--clips and --film-mb are for pages.", hint="Leave them out, or end --out in .html")
    if len(artifacts) == 1 and path.suffix != ".html":
        name = f"table{path.suffix}"
        write_text(path, _MARKS[path.suffix] + artifacts[0].file(name).read_text(encoding="utf-8"))
    elif len(artifacts) == 1:
        _write_one(path, artifacts[0], clips, film_mb)
    else:
        _write_comparison(path, artifacts)
    return path


def score_tables(evaluation: Artifact, compared: pd.DataFrame | None, columns: int) -> tuple[list[Any], int]:
    """Tables for a terminal.

    Args:
        evaluation: A finished evaluation.
        compared: `metrics.comparison.compare` with other evaluations; None without.
        columns: Width of the terminal.

    Returns:
        The tables, and their width in columns.
    """
    from mindanim.report.terminal import comparison_table, fitting, score_table

    metrics, width = evaluation.json("metrics.json"), fitting(columns)
    tables: list[Any] = [score_table(metrics, width)]
    if compared is not None:
        tables.append(comparison_table(compared, metrics, width))
    return tables, width


def scores_of(evaluation: Artifact) -> list[dict[str, Any]]:
    """The scores of metrics.json, each with `standing`: above, not above, or which floor wins."""
    from mindanim.report.verdicts import standing

    return [score | {"standing": standing(score)} for score in evaluation.json("metrics.json")["scores"]]


def write_page(
    path: Path,
    data: dict[str, Any],
    per_clip: pd.DataFrame,
    scene: Scene | str,
    *,
    own_methods: Sequence[str],
    origin: Origin,
    nearest: Path,
    null: Any = None,
    siblings: Sequence[Path] = (),
    most: int | None = None,
    film_mb: float | None = None,
) -> None:
    """Write the page of one evaluation.

    Args:
        path: File to write.
        data: The content of metrics.json.
        per_clip: One row per clip.
        scene: What was scored, or why its clips cannot be shown.
        own_methods: Methods sentences of the evaluation itself.
        origin: How the evaluation was made.
        nearest: Folder of film strips of the nearest training clips.
        null: Null distributions of the scores, for comparisons.
        siblings: Other evaluations to compare with.
        most: Clips to show, if fewer than the option `report_clips`.
        film_mb: Megabytes for all clips together; None is the default of the page.
    """
    from mindanim.report import Curve
    from mindanim.report.breakdown import breakdowns
    from mindanim.report.evaluation_page import FILM_MB, write_report
    from mindanim.report.provenance import Origin, software

    there = None if isinstance(scene, str) else scene
    lineage = lineage_of(*there.lineage) if there else []
    said = [sentence for artifact in lineage for sentence in artifact.manifest["methods"]]
    captions = there.test.captions if there else None
    origins = [*map(Origin.of, lineage), origin]
    ablations, refused = _ablations(data, per_clip, null, siblings)
    ranked = [score["name"] for score in data["scores"] if score["id"] == data["ranked_by"]]
    write_report(
        path,
        metrics=data,
        per_clip=per_clip,
        clips=_views(data, per_clip, there, nearest, most) if there else [],
        curves=[
            Curve(one.kind, one.table("history.tsv"), one.facts.get("best_epoch"))
            for one in lineage
            if "history.tsv" in one.outputs
        ],
        provenance=[one.record for one in origins],
        software=software(origins),
        methods=[*said, *own_methods],
        findings=[{"text": text} for text in ([scene] if isinstance(scene, str) else []) + refused],
        fps=there.fps if there else None,
        score_name=ranked[0] if ranked else "",
        ablations=ablations,
        breakdowns=breakdowns(data, per_clip, captions),
        film_mb=FILM_MB if film_mb is None else film_mb,
    )


def _views(
    data: dict[str, Any], per_clip: pd.DataFrame, scene: Scene, nearest: Path, most: int | None
) -> list[ClipView]:
    import numpy as np

    from mindanim.metrics.inputs.test_set import Contender
    from mindanim.report import ClipView
    from mindanim.report.clip_choice import chosen_clips, goodness
    from mindanim.report.film_strips import read_strip, reduced

    test, clips, ranks = scene.test, scene.clips, goodness(data, per_clip)
    config = scene.config
    others = {name: one.clips for name, one in scene.contenders.items() if isinstance(one, Contender)}
    views = []
    count = config.report_clips if most is None else min(most, config.report_clips)
    for row, place in chosen_clips(data, per_clip, count, config.seed):
        recon = clips[row]
        extra = {name: found[row] for name, found in others.items()}
        strip = nearest / f"{test.clip_ids[row]}.webp"
        if strip.is_file():
            extra["nearest-train"] = read_strip(strip, test.shape[0])
        extra["frozen"] = np.broadcast_to(recon[:1], recon.shape)
        if not isinstance(scene.mean_frames, str):
            extra["mean-image"] = np.asarray(scene.mean_frames)
        views.append(
            ClipView(
                test.clip_ids[row],
                test.captions[row],
                float(ranks[row]),
                reduced(test.truth[row]),
                reduced(recon),
                {name: reduced(frames) for name, frames in extra.items()},
                place,
            )
        )
    return views


def _ablations(
    data: dict[str, Any], per_clip: pd.DataFrame, null: Any, siblings: Sequence[Path]
) -> tuple[list[pd.DataFrame], list[str]]:
    """This evaluation against each of the others, and why some of them cannot be compared."""
    from mindanim.metrics.comparison import Evaluated, called, compare

    tables, refused = [], []
    mine = Evaluated(called(data), data, per_clip, null)
    for path in siblings:
        try:
            tables.append(compare([mine, Evaluated.of(load_kind(path, "evaluation"))]))
        except MindanimError as error:
            refused.append(f"{path.name} is not compared: {error.what} {error.why}")
    return tables, refused


def _write_one(path: Path, evaluation: Artifact, clips: int | None, film_mb: float | None) -> None:
    from mindanim.metrics.comparison import Evaluated
    from mindanim.report.provenance import Origin

    found = Evaluated.of(evaluation)
    with atomic_path(path) as temporary:
        write_page(
            temporary,
            found.data,
            found.per_clip,
            scene_behind(evaluation),
            own_methods=evaluation.manifest["methods"],
            origin=Origin.of(evaluation),
            nearest=evaluation.path / "floors" / "nearest-train",
            null=found.null,
            siblings=siblings_of(evaluation.path),
            most=clips,
            film_mb=film_mb,
        )


def _write_comparison(path: Path, evaluations: Sequence[Artifact]) -> None:
    from mindanim.metrics.comparison import Evaluated, across_subjects_by_label, compare
    from mindanim.report.comparison_page import Summary, latex, markdown, write_summary
    from mindanim.report.provenance import Origin

    found = [Evaluated.of(one) for one in evaluations]
    differences = compare(found)
    summary = Summary(
        [(one.name, one.data) for one in found],
        differences,
        across_subjects_by_label(found),
        [Origin.of(one).record for one in evaluations],
    )
    tables = {
        ".md": _MARKS[".md"] + markdown(summary),
        ".tex": _MARKS[".tex"] + latex(summary),
        ".tsv": differences.to_csv(sep="\t", index=False, na_rep="n/a"),
    }
    if path.suffix in tables:
        _refuse_foreign(path, tables[path.suffix].partition("\n")[0])
        write_text(path, tables[path.suffix])
        return
    for ending, text in tables.items():
        if not path.exists():  # with a page of ours, the tables next to it are ours too
            _refuse_foreign(path.with_suffix(ending), text.partition("\n")[0])
    with atomic_path(path) as temporary:
        write_summary(temporary, summary)
    for ending, text in tables.items():
        write_text(path.with_suffix(ending), text)


def _refuse_foreign(path: Path, first_line: str = "") -> None:
    """Refuse to overwrite a file that is not ours.

    Args:
        path: The file.
        first_line: How a table without a mark begins.
    """
    if not path.exists():
        return
    if not path.is_file():
        raise InputError(f"{path} is not a file.", hint="Choose another file with --out")
    with path.open(encoding="utf-8", errors="replace") as file:
        begin = file.read(4000)
    ours = (GENERATOR, *_MARKS.values())
    if not any(mark in begin for mark in ours) and begin.partition("\n")[0] != first_line:
        raise InputError(f"{path} was not written by mindanim.", hint="Choose another file with --out")


def _default_place(evaluations: Sequence[Artifact]) -> Path:
    if len(evaluations) == 1:
        one = evaluations[0].path
        return one.with_name(one.name.replace("evaluation", "report", 1) + ".html")
    parents = {one.path.resolve().parent for one in evaluations}
    folder = parents.pop() if len(parents) == 1 else next(iter(parents)).parent
    return folder / "summary.html"
