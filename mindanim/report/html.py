"""report.html: one file that opens anywhere, without a network, and explains itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindanim.report import figures, words
from mindanim.report.bibliography import bibliography
from mindanim.report.breakdown import Breakdown
from mindanim.report.film_strips import Shown, strips
from mindanim.report.page_content import ClipView, Curve

if TYPE_CHECKING:
    import pandas as pd

_PAGE = Path(__file__).parent / "page"
FILM_MB = 14.0
_HIGHLIGHTS = 3
PLACES = ("Best", "Median", "Worst")
_COLUMNS = 10
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

    metrics: the content of metrics.json. per_clip: its table, one row per clip with `clip_id`, `segment` and
    a column per metric identifier. clips: those to be shown. provenance: one flat record per artifact.
    software: sentences on the environments they were made in.
    findings: records with `text`, beside those in `metrics["audit"]`.
    fps: frames per second of the films, at which clips are played; None plays them at 4 Hz and says so.
    score_name: the name of `ClipView.score`. ablations: `metrics.compare.compare` with other evaluations.
    film_mb: megabytes that the clips may take together; they are compressed until they do.

    Raises InputError when the metrics were written by another version of the schema.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    words.check_version(metrics)
    environment = Environment(
        loader=FileSystemLoader(_PAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"number": words.number, "interval": words.interval, "p": words.p_value}
    environment.filters |= {"quoted": words.quoted_number, "short": words.short, "label": words.label_of}
    environment.filters["columns"] = _columns
    drawn = [(curve, figures.training_curve(curve)) for curve in curves]
    page = environment.get_template("report.html").render(
        title=words.title(metrics),
        metrics=metrics,
        headline=words.headline(metrics["scores"]),
        summary=words.summary(metrics),
        floors=words.FLOORS,
        ceilings=words.CEILINGS,
        ablations=_ablations(ablations, metrics["scores"]),
        tests=words.tests(name for table in ablations for name in table["p_by"]),
        breakdowns=breakdowns,
        bibliography=bibliography(metrics, methods),
        groups=_groups(metrics["scores"]),
        sections=_sections(clips, film_mb, len(per_clip)),
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
    path.write_text(page, encoding="utf-8")


def _columns(films: int) -> int:
    """In how many columns to put the small films of a clip: two rows of them where there are many."""
    return max(4, films if films <= _IN_A_ROW else math.ceil(films / 2))


def _groups(scores: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Title and rows of each group of scores, each row with its bar."""
    return [(title, [score | _cells(score) for score in members]) for title, members in words.grouped(scores)]


def _cells(score: dict[str, Any]) -> dict[str, Any]:
    return {
        "bar": figures.score_bar(score),
        "verdict": words.standing(score),
        "beside": words.beside(score),
    }


def _sections(clips: Sequence[ClipView], film_mb: float, there: int) -> list[tuple[str, list[Shown]]]:
    """Best, median and worst clips, and the rest, best first. there: clips that were scored."""
    ranked = sorted(clips, key=lambda view: -math.inf if math.isnan(view.score) else view.score, reverse=True)
    shown = strips(ranked, int(1e6 * film_mb))
    if any(clip.view.place for clip in shown):
        return _placed(shown, drawn=len(shown) < there)
    if len(shown) <= 3 * _HIGHLIGHTS:
        return [("All clips, best first", shown)] if shown else []
    start = (len(shown) - _HIGHLIGHTS) // 2
    middle = slice(start, start + _HIGHLIGHTS)
    rest = shown[_HIGHLIGHTS:start] + shown[middle.stop : -_HIGHLIGHTS]
    sections = [
        ("Best", shown[:_HIGHLIGHTS]),
        ("Median", shown[middle]),
        ("Worst", shown[-_HIGHLIGHTS:]),
    ]
    return [*sections, (f"The others ({len(rest)}), best first", rest)] if rest else sections


def _ablations(
    tables: Sequence[pd.DataFrame], scores: Sequence[dict[str, Any]]
) -> list[tuple[dict[str, Any], list[dict[str, Any] | None]]]:
    """One row per score of the first ones of each group: the score, and its difference in every other
    evaluation."""
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


def _placed(shown: Sequence[Shown], drawn: bool) -> list[tuple[str, list[Shown]]]:
    """Clips under the places that they have in the whole test set. drawn: there are more than these."""
    sections = [(name, [clip for clip in shown if clip.view.place == name]) for name in PLACES]
    rest = [clip for clip in shown if not clip.view.place]
    how = "drawn at random, best first" if drawn else "best first"
    sections.append((f"The others ({len(rest)}), {how}", rest))
    return [(name, clips) for name, clips in sections if clips]


def _motion(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """One entry per measure and set of clips for which the frame-order test was computed."""
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
    """Head and rows of the table of clips: the first scores of each group, at most ten."""
    by_group: dict[str, list[dict[str, Any]]] = {}
    for score in scores:
        if score["id"] in per_clip:
            by_group.setdefault(score["group"], []).append(score)
    most = max(1, _COLUMNS // max(len(by_group), 1))
    chosen = [score for found in by_group.values() for score in found[:most]]
    rows = [
        (clip["clip_id"], clip["segment"], [_none_for_nan(clip[score["id"]]) for score in chosen])
        for clip in per_clip.to_dict("records")
    ]
    return {"scores": chosen, "rows": rows}


def _networks(scores: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The networks that scores look through: name, sha256, and the identifiers of those scores."""
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
