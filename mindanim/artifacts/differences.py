"""Saying in what two artifacts, or two inputs, differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mindanim.vocabulary.words import names_and_more


def option_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """ "name: old -> new" for every option whose value differs."""
    return [
        f"{name}: {_shown(before, name)} -> {_shown(now, name)}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]


def input_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What differs between two manifest entries of the same input; empty when nothing does."""
    if before["identity"] == now["identity"]:
        rebuilt = before.get("digest") != now.get("digest")
        return "built again since, with another result" if rebuilt else ""
    details = option_changes(before.get("options", {}), now.get("options", {}))
    if before.get("path") != now.get("path"):
        details.append(f"folder: {before.get('path')} -> {now.get('path')}")
    details += file_changes(before.get("detail", {}).get("files"), now.get("detail", {}).get("files"))
    why = f" ({'; '.join(details)})" if details else ""
    return f"{before['identity'][:8]} -> {now['identity'][:8]}{why}"


def file_changes(before: Any, now: Any) -> list[str]:
    """For sources that list their files: which ones were added, removed or changed."""
    if not isinstance(before, Mapping) or not isinstance(now, Mapping):
        return []
    changed = {name for name in before.keys() & now.keys() if list(before[name]) != list(now[name])}
    kinds = {"added": now.keys() - before.keys(), "removed": before.keys() - now.keys(), "changed": changed}
    return [f"{kind}: {names_and_more(sorted(names))}" for kind, names in kinds.items() if names]


def _shown(values: Mapping[str, Any], name: str) -> str:
    return repr(values[name]) if name in values else "(absent)"
