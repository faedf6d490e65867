"""report.html: one self-contained page per evaluation that needs no network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindanim.report import conclusions, figures, headings, verdicts
from mindanim.report.bibliography import bibliography
from mindanim.report.breakdown import Breakdown
from mindanim.report.clip_choice import sections
from mindanim.report.film_strips import strips
from mindanim.report.number_format import interval, number, p_value, quoted_number
from mindanim.report.page_content import ClipView, Curve
from mindanim.vocabulary.visible import visible

if TYPE_CHECKING:
    import pandas as pd

_TEMPLATES = Path(__file__).parent / "templates"
FILM_MB = 14.0
_TABLE_SCORES = 10
_IN_A_ROW = 5
_ASSUMED_FPS = 4.0
_ABLATED = (
    "2way.image",
    "50way.image",
    "50way.video",
    "vifi",
    "ssim.rgb7",
    "psnr.db",
    "hue.circular",
    "flow.corr",
    "feature.clip_text.r",
    "feature.latent.r",
    "feature.latent_diff.r",
)


def write_report(
    path: Path,
    *,
    metrics: dict[str, Any],
    per_clip: pd.DataFrame,
    clips: Sequence[ClipView],
    curves: Sequence[Curve],
    provenance: Sequence[Mapping[str, Any]],
    methods: Sequence[str],
    findings: Sequence[Mapping[str, Any]],
    software: Sequence[str] = (),
    fps: float | None = None,
    score_name: str = "",
    ablations: Sequence[pd.DataFrame] = (),
    breakdowns: Sequence[Breakdown] = (),
    film_mb: float = FILM_MB,
) -> None:
    """Write a self-contained page: summary, clips, scores, motion test, training, audit, methods.

    Args:
        path: The file to write.
        metrics: The content of metrics.json.
        per_clip: One row per clip, with `clip_id`, `segment` and a column per metric identifier.
        clips: Clips to show.
        curves: Training curves of the decoders.
        provenance: One flat record per artifact.
        methods: Sentences of the methods section.
        findings: Records with `text`, in addition to those in `metrics["audit"]`.
        software: Sentences on the environments that the artifacts were made in.
        fps: Frames per second to play clips at; None plays them at 4 Hz and says so.
        score_name: Name of `ClipView.score`.
        ablations: `metrics.comparison.compare` with each of the other evaluations.
        breakdowns: Mean scores of groups of clips.
        film_mb: Megabytes for all clips together; they are compressed to fit.

    Raises:
        InputError: metrics.json has another schema.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    headings.check_version(metrics)
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {
        "number": number,
        "interval": interval,
        "p": p_value,
    }
    environment.filters |= {
        "quoted": quoted_number,
        "short": verdicts.short,
        "label": headings.label_of,
    }
    environment.filters["columns"] = _columns
    drawn = [(curve, figures.training_curve(curve)) for curve in curves]
    page = environment.get_template("evaluation.html").render(
        title=headings.title(metrics),
        metrics=metrics,
        headline=conclusions.headline(metrics["scores"]),
        summary=conclusions.summary(metrics),
        floors=verdicts.FLOORS,
        ceilings=verdicts.CEILINGS,
        ablations=_ablations(ablations, metrics["scores"]),
        tests=headings.tests(name for table in ablations for name in table["p_by"]),
        units=headings.units(name for table in ablations for name in table["unit"]),
        over_units=headings.over_units(metrics),
        scope=headings.scope(metrics),
        breakdowns=breakdowns,
        bibliography=bibliography(metrics, methods),
        groups=_groups(metrics["scores"]),
        sections=sections(strips(clips, int(1e6 * film_mb)), len(per_clip)),
        fps=fps or _ASSUMED_FPS,
        fps_known=fps is not None,
        score_name=score_name,
        motion=_motion(metrics),
        curves=[(curve, drawing) for curve, drawing in drawn if drawing is not None],
        without_curve=[curve.name for curve, drawing in drawn if drawing is None],
        table=_per_clip(per_clip, metrics["scores"]),
        audit=_unique([finding["text"] for finding in (*metrics["audit"], *findings)]),
        provenance=provenance,
        software=software,
        networks=_networks(metrics["scores"]),
        fields=_unique([name for record in provenance for name in record]),
        methods=methods,
        mark=figures.mark,
    )
    path.write_text(visible(page), encoding="utf-8")


def _columns(films: int) -> int:
    """Number of columns for the small films of a clip; more than five go in two rows."""
    return max(4, films if films <= _IN_A_ROW else math.ceil(films / 2))


def _groups(scores: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Title and rows of each group of scores, each row with its bar."""
    return [
        (title, [score | _cells(score) for score in members]) for title, members in headings.grouped(scores)
    ]


def _cells(score: dict[str, Any]) -> dict[str, Any]:
    return {
        "bar": figures.score_bar(score),
        "verdict": verdicts.standing(score),
        "other_floors": verdicts.other_floors(score),
    }


def _ablations(
    tables: Sequence[pd.DataFrame], scores: Sequence[dict[str, Any]]
) -> list[tuple[dict[str, Any], list[dict[str, Any] | None]]]:
    """Selected scores, each with its difference in every other evaluation."""
    if not tables:
        return []
    found: list[dict[str, dict[str, Any]]] = [
        {row["metric"]: {str(name): value for name, value in row.items()} for row in table.to_dict("records")}
        for table in tables
    ]
    rows: list[tuple[dict[str, Any], list[dict[str, Any] | None]]] = []
    for score in scores:
        if score["id"] in _ABLATED or score["id"].startswith("epe."):
            rows.append((score, [table.get(score["id"]) for table in found]))
    return rows


def _motion(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """One entry per measure and set of clips that the frame-order test was computed for."""
    test = metrics.get("motion_test") or {}
    entries = []
    for measure, name, lower, unit in (
        ("flow.corr", "Flow correlation", False, "flow correlation, mean over clips"),
        ("epe", "End-point error", True, "end-point error, px per frame step, mean over clips"),
    ):
        for which in ("all", "correct"):
            found = test.get(measure) or {}
            found = found if which == "all" else found.get("correct") or {}
            if not found.get("null"):
                continue
            clips = "all clips" if which == "all" else "recognised clips"
            title = f"{name}, {clips}"
            drawing = figures.histogram(found["null"], found["value"], lower, title, unit)
            entries.append({"title": title, "drawing": drawing, **found})
    return entries


def _per_clip(per_clip: pd.DataFrame, scores: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Head and rows of the table of clips: the first scores of each group, ten at most."""
    by_group: dict[str, list[dict[str, Any]]] = {}
    for score in scores:
        if score["id"] in per_clip:
            by_group.setdefault(score["group"], []).append(score)
    most = max(1, _TABLE_SCORES // max(len(by_group), 1))
    chosen = [score for found in by_group.values() for score in found[:most]]
    rows = [
        (clip["clip_id"], clip["segment"], [_none_for_nan(clip[score["id"]]) for score in chosen])
        for clip in per_clip.to_dict("records")
    ]
    return {"scores": chosen, "rows": rows}


def _networks(scores: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The networks that scores depend on: name, sha256, and the identifiers of those scores."""
    found: dict[str, dict[str, Any]] = {}
    for score in scores:
        if (network := score["backbone"]) is not None:
            entry = found.setdefault(network["sha256"], network | {"scores": []})
            entry["scores"].append(score["id"])
    return list(found.values())


def _none_for_nan(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _unique(items: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(items))
