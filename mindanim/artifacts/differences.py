"""What differs between two artifacts, or two inputs."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

from mindanim.artifacts.identity import is_default, options_of
from mindanim.config.option import StageConfig
from mindanim.vocabulary.words import names_and_more


@dataclass(frozen=True)
class Settings:
    """The options that decided a result.

    Attributes:
        values: Option -> value, of the variant in use.
        changed: Those that differ from their defaults.
        defaults: Option -> default, of every option the stage has; None where that is not known.
    """

    values: Mapping[str, Any]
    changed: Container[str]
    defaults: Mapping[str, Any] | None = None

    @classmethod
    def of_config(cls, config: StageConfig) -> Settings:
        """Those of a call of a stage."""
        values = options_of(config)
        changed = {name for name in values if not is_default(config, name)}
        # A default as it is written, not as validated: it is shown, never compared.
        known = type(config).model_fields.items()
        return cls(
            values, changed, {name: field.get_default(call_default_factory=True) for name, field in known}
        )

    @classmethod
    def of_entry(cls, entry: Mapping[str, Any]) -> Settings:
        """Those that a manifest records of an input."""
        return cls(entry.get("options", {}), entry.get("changed", ()))


def option_changes(before: Settings, now: Settings) -> list[str]:
    """ "name: old -> new" for every option whose value differs.

    An option that only one side has is at its default on the other: a new option, one that is gone, or one
    of another variant. It counts where it was changed from its default.
    """
    lines = []
    for name in sorted(before.values.keys() | now.values.keys()):
        if name in before.values and name in now.values:
            if before.values[name] != now.values[name]:
                lines.append(f"{name}: {before.values[name]!r} -> {now.values[name]!r}")
        elif name in now.values and name in now.changed:
            lines.append(f"{name}: {_default(now, name)} -> {now.values[name]!r}")
        elif name in before.values and name in before.changed:
            gone = now.defaults is not None and name not in now.defaults
            after = "this version has no such option" if gone else "no effect"
            lines.append(f"{name}: {before.values[name]!r} -> {after}")
    return lines


def _default(settings: Settings, name: str) -> str:
    return "default" if settings.defaults is None else f"{settings.defaults[name]!r} (default)"


def input_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What differs between two manifest entries of the same input; empty when nothing does."""
    if before["identity"] == now["identity"]:
        if before.get("digest") == now.get("digest"):
            return ""
        if before.get("clips") != now.get("clips"):
            return f"{before.get('clips')} clips then, {now.get('clips')} now"
        return "rebuilt since, with a different result"
    details = option_changes(Settings.of_entry(before), Settings.of_entry(now))
    if before.get("stage_version") != now.get("stage_version"):
        details.append(f"stage version: {before.get('stage_version')} -> {now.get('stage_version')}")
    if before.get("path") != now.get("path"):
        details.append(f"folder: {before.get('path')} -> {now.get('path')}")
    details += file_changes(before.get("detail", {}).get("files"), now.get("detail", {}).get("files"))
    why = f" ({'; '.join(details)})" if details else ""
    return f"{before['identity'][:8]} -> {now['identity'][:8]}{why}"


def file_changes(before: Any, now: Any) -> list[str]:
    """Which files of a source were added, removed or changed; empty for sources that do not list files."""
    if not isinstance(before, Mapping) or not isinstance(now, Mapping):
        return []
    changed = {name for name in before.keys() & now.keys() if list(before[name]) != list(now[name])}
    kinds = {"added": now.keys() - before.keys(), "removed": before.keys() - now.keys(), "changed": changed}
    return [f"{kind}: {names_and_more(sorted(names))}" for kind, names in kinds.items() if names]
