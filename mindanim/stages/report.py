"""``mindanim report``, and the page of every evaluation: what was found, put before people's eyes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindanim.artifacts import Artifact
from mindanim.artifacts.files import atomic_path, write_text
from mindanim.errors import InputError, MindanimError, UsageError
from mindanim.stages.comparison import siblings_of
from mindanim.stages.evaluation_inputs import Scene, lineage_of, scene_behind
from mindanim.stages.provenance import Origin, software

if TYPE_CHECKING:
    import pandas as pd

    from mindanim.report import ClipView

GENERATOR = '<meta name="generator" content="mindanim">'
_HIGHLIGHTS = 3


def report(
    evaluations: Sequence[Path],
    out: Path | None,
    clips: int | None = None,
    film_mb: float | None = None,
) -> Path:
    """Write the page of one finished evaluation, or one page that compares several; nothing is computed anew.

    evaluations: their folders. out: the file; None writes beside the folder, or into the folder that all of
    them share. clips: how many to show at most, for a smaller page of one evaluation; None shows as many as
    its own page does, which is the most there can be. film_mb: megabytes that they may take together. Beside
    a page of several, the same tables are written as .tsv, .md and .tex.

    Raises InputError when evaluations cannot stand in one table or `out` is a file of another kind,
    UsageError when `clips` or `film_mb` is given for a page of several, which shows none.
    """
    artifacts = [Artifact.load(path) for path in evaluations]
    if strangers := [one.path for one in artifacts if one.kind != "evaluation"]:
        raise InputError(f"{strangers[0]} is no evaluation.", hint="Run: mindanim evaluate")
    if (clips is not None or film_mb is not None) and len(artifacts) > 1:
        raise UsageError(
            "A page that compares several evaluations shows no clips.",
            hint="Leave out --clips and --film-mb, or name one evaluation.",
        )
    path = out or _default_place(artifacts)
    if path.exists() and GENERATOR not in path.read_text(encoding="utf-8", errors="replace")[:4000]:
        raise InputError(f"{path} was not written by mindanim.", hint="Choose another file with --out.")
    if len(artifacts) == 1:
        _write_one(path, artifacts[0], clips, film_mb)
    else:
        _write_summary(path, artifacts)
    return path


def score_tables(evaluation: Artifact, compared: pd.DataFrame | None, columns: int) -> tuple[list[Any], int]:
    """Tables for a terminal of so many columns, of the scores and of what they are compared with, and how
    wide they are."""
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

    scene: what was scored, or why it cannot be shown. origin: how the evaluation itself came about. nearest:
    folder of strips of the nearest training clips. siblings: other evaluations to compare with.
    most: clips to show, where fewer are wanted than the evaluation's own option says. film_mb: megabytes they
    may take, where that is less than usual.
    """
    from mindanim.report import Curve
    from mindanim.report.breakdown import breakdowns
    from mindanim.report.evaluation_page import FILM_MB, write_report

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


def shown_clips(data: dict[str, Any], per_clip: pd.DataFrame, count: int, seed: int) -> list[tuple[int, str]]:
    """Rows of the clips to show, each with its place: the best, median and worst of the whole test set by the
    metric in `ranked_by`, then others drawn at random, at most `count` together."""
    import numpy as np

    goodness = _goodness(data, per_clip)
    order = np.argsort(-np.nan_to_num(goodness, nan=-np.inf), kind="stable")
    total = len(order)
    few = min(_HIGHLIGHTS, count // 3, total // 3)
    start = (total - few) // 2
    placed: dict[int, str] = {}
    if few and data["ranked_by"]:
        for place, rows in (
            ("Best", order[:few]),
            ("Worst", order[total - few :]),
            ("Median", order[start : start + few]),
        ):
            placed |= {int(row): place for row in rows if int(row) not in placed}
    rest = [int(row) for row in order if int(row) not in placed]
    room = max(0, min(count - len(placed), len(rest)))
    drawn = sorted(np.random.default_rng(seed).permutation(rest)[:room].tolist())  # fewer are among more
    return [*placed.items(), *((row, "") for row in drawn)]


def _goodness(data: dict[str, Any], per_clip: pd.DataFrame) -> Any:
    import numpy as np

    for score in data["scores"]:
        if score["id"] == data["ranked_by"]:
            sign = 1 if score["direction"] == "higher" else -1
            return sign * per_clip[score["id"]].to_numpy(dtype=np.float64)
    return np.full(len(per_clip), np.nan)


def _views(
    data: dict[str, Any], per_clip: pd.DataFrame, scene: Scene, nearest: Path, most: int | None
) -> list[ClipView]:
    import numpy as np

    from mindanim.metrics.with_floors import Contender
    from mindanim.report import ClipView
    from mindanim.report.film_strips import read_strip, reduced

    test, clips, goodness = scene.test, scene.clips, _goodness(data, per_clip)
    config = scene.config
    others = {name: one.clips for name, one in scene.contenders.items() if isinstance(one, Contender)}
    views = []
    count = config.report_clips if most is None else min(most, config.report_clips)
    for row, place in shown_clips(data, per_clip, count, config.seed):
        recon = clips[row]
        beside = {name: found[row] for name, found in others.items()}
        strip = nearest / f"{test.clip_ids[row]}.webp"
        if strip.is_file():
            beside["nearest-train"] = read_strip(strip, test.shape[0])
        beside["frozen"] = np.broadcast_to(recon[:1], recon.shape)
        if not isinstance(scene.mean_frames, str):
            beside["mean-image"] = np.asarray(scene.mean_frames)
        views.append(
            ClipView(
                test.clip_ids[row],
                test.captions[row],
                float(goodness[row]),
                reduced(test.truth[row]),
                reduced(recon),
                {name: reduced(frames) for name, frames in beside.items()},
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
            tables.append(compare([mine, Evaluated.of(Artifact.load(path))]))
        except MindanimError as error:
            refused.append(f"{path.name} is not compared: {error.what} {error.why}")
    return tables, refused


def _write_one(path: Path, evaluation: Artifact, clips: int | None, film_mb: float | None) -> None:
    from mindanim.metrics.comparison import Evaluated

    found = Evaluated.of(evaluation)
    with atomic_path(path) as beside:
        write_page(
            beside,
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


def _write_summary(path: Path, evaluations: Sequence[Artifact]) -> None:
    from mindanim.metrics.comparison import Evaluated, across_subjects, compare
    from mindanim.report.comparison_page import Summary, latex, markdown, write_summary

    found = [Evaluated.of(one) for one in evaluations]
    differences = compare(found)
    subjects = {one.data["subject"] for one in found}
    by_label: dict[str, list[Evaluated]] = {}
    for one in found:
        by_label.setdefault(one.data["label"], []).append(one)
    across = {
        label: across_subjects(group)
        for label, group in by_label.items()
        if len(subjects) > 1 and len({one.data["subject"] for one in group}) == len(group) > 1
    }
    provenance = [Origin.of(one).record for one in evaluations]
    summary = Summary([(one.name, one.data) for one in found], differences, across, provenance)
    with atomic_path(path) as beside:
        write_summary(beside, summary)
    write_text(path.with_suffix(".md"), markdown(summary))
    write_text(path.with_suffix(".tex"), latex(summary))
    write_text(path.with_suffix(".tsv"), differences.to_csv(sep="\t", index=False, na_rep="n/a"))


def _default_place(evaluations: Sequence[Artifact]) -> Path:
    if len(evaluations) == 1:
        one = evaluations[0].path
        return one.with_name(one.name.replace("evaluation", "report", 1) + ".html")
    parents = {one.path.resolve().parent for one in evaluations}
    folder = parents.pop() if len(parents) == 1 else next(iter(parents)).parent
    return folder / "summary.html"
