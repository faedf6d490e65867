"""Every metric by its identifier: which a test set and its networks allow, and why not the others."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from mindanim.metrics.families import definitions, feature_definitions
from mindanim.metrics.families.metric import GROUPS, Group, Metric, Refusal, Setting


def catalogue(setting: Setting, groups: Collection[Group] = GROUPS) -> tuple[list[Metric], list[Refusal]]:
    """The metrics of some groups, in the order of the tables: those a setting allows, and the others."""
    define = {
        "semantic": definitions.semantic,
        "pixel": definitions.pixel,
        "motion": definitions.motion,
        "feature": feature_definitions.feature,
    }
    entries = [entry for group in GROUPS if group in groups for entry in define[group](setting)]
    size = (setting.height, setting.width)
    metrics = [
        metric if metric.group == "feature" else replace(metric, resolution=size, frames=setting.frames)
        for metric, reason in entries
        if not reason
    ]
    return metrics, [Refusal(metric.id, reason) for metric, reason in entries if reason]
