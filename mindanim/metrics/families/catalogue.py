"""Which metrics can be computed on a test set, and why not the others."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import cache, wraps
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mindanim.config.evaluate import Group
from mindanim.errors import ConfigError, InputError, MindanimError
from mindanim.metrics.families.metric import (
    GROUPS,
    METRICS,
    AnswerMetric,
    FeatureMetric,
    FrameMetric,
    Metric,
    Setting,
)
from mindanim.vocabulary.words import unknown_sentence


def chosen(groups: Collection[Group] = GROUPS, ids: Collection[str] = ()) -> list[Metric]:
    """The registered metrics of some groups, in the order of the tables.

    Args:
        groups: Their groups.
        ids: Their identifiers; empty for all.

    Raises:
        ConfigError: An identifier is unknown.
    """
    foreign = METRICS.foreign()
    known = sorted((_named(name, foreign) for name in METRICS), key=lambda metric: GROUPS.index(metric.group))
    for name in ids:
        if not any(_fits(metric, name) for metric in known):
            raise ConfigError(unknown_sentence("metric", name, (metric.id for metric in known)))
    wanted = [metric for metric in known if not ids or any(_fits(metric, name) for name in ids)]
    return [metric for metric in wanted if metric.group in groups]


def _named(name: str, foreign: Mapping[str, str]) -> Metric:
    """The metric called `name`; ConfigError when another package brings another one under this name."""
    found = METRICS[name]
    if found.id != name:
        raise ConfigError(
            f"{foreign[name]} has no metric {name}.",
            why=f"Its entry point of this name is the metric {found.id}.",
            hint="The name of the entry point must be the identifier of a Metric.",
        )
    if (package := foreign.get(name)) is None:
        return found
    whose = f"The metric {name} of {package}"
    if isinstance(found, FrameMetric):
        score = _blamed(found.score, whose, _a_number)
        return replace(found, describe=_blamed(found.describe, f"A metric of {package}"), score=score)
    if isinstance(found, AnswerMetric):
        return replace(found, score=_blamed(found.score, whose, _one_per_pair_of_answers))
    if isinstance(found, FeatureMetric):
        return replace(found, score=_blamed(found.score, whose, _one_per_pair))
    return found


def _a_number(found: Any, *given: Any) -> float:
    return float(found)


def _one_per_pair(found: Any, features: Any, pairs: Any) -> NDArray[np.float64]:
    """Scores ``(pair,)``; ValueError for another shape, which would be broadcast without a word."""
    scores = np.asarray(found)
    if np.iscomplexobj(scores):
        raise ValueError(f"score returned {scores.dtype}, expected float64")
    scores = scores.astype(np.float64)
    if scores.shape != (len(pairs),):
        raise ValueError(
            f"score returned shape {scores.shape}, expected one number per pair: ({len(pairs)},)"
        )
    return scores


def _one_per_pair_of_answers(found: Any, truth: Any, recon: Any) -> NDArray[np.float64]:
    return _one_per_pair(found, truth, next(iter(recon.values())))


@cache  # metrics that share a description still do
def _blamed(
    function: Callable[..., Any], whose: str, made: Callable[..., Any] | None = None
) -> Callable[..., Any]:
    """A function of another package, whose errors name the package; `made` converts what it returns, and is
    also given its arguments."""

    @wraps(function)
    def guarded(*given: Any) -> Any:
        try:
            found = function(*given)
            return found if made is None else made(found, *given)
        except MindanimError:
            raise
        except Exception as error:
            raise InputError(
                f"{whose} failed.",
                why=f"{type(error).__name__}: {error}",
                hint="Update or remove the package, or name the metrics to compute: --set metrics=ID,ID,...",
            ) from error

    return guarded


def _fits(metric: Metric, name: str) -> bool:
    """Whether `name` is the metric's identifier or completes its pattern."""
    parts = re.split(r"(<\w+>)", metric.id)
    pattern = "".join(r"[^.]+" if part.startswith("<") else re.escape(part) for part in parts)
    return name == metric.id or re.fullmatch(pattern, name) is not None


def catalogue(
    setting: Setting, groups: Collection[Group] = GROUPS, ids: Collection[str] = ()
) -> tuple[list[Metric], dict[str, str]]:
    """The metrics that can be computed, and identifier -> reason for those that cannot.

    Args:
        setting: What there is to score.
        groups: See `chosen`.
        ids: See `chosen`.

    Raises:
        ConfigError: An identifier is unknown.
    """
    metrics: list[Metric] = []
    refused: dict[str, str] = {}
    for known in chosen(groups, ids):
        if not known.offered(setting):
            continue
        metric = known.of(setting)
        if ids and not {known.id, metric.id} & set(ids):
            refused |= {name: f"on these clips it is {metric.id}" for name in ids if _fits(known, name)}
        elif reason := known.refused(setting):
            refused[metric.id] = reason
        else:
            metrics.append(metric)
    return metrics, refused
