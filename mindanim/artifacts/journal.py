"""What the runs that built a folder have recorded in it, one JSON object per line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

JOURNALS = ".journal*.jsonl"


def read_journals(folder: Path) -> list[dict[str, Any]]:
    """The entries of all journals in a folder; each has its kind under `entry`."""
    entries = []
    for journal in sorted(folder.glob(JOURNALS)):
        for line in journal.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError, RecursionError):  # half a line: that entry was never completed
                entry = json.loads(line)
                if isinstance(entry, dict) and "entry" in entry:
                    entries.append(entry)
    return entries


def kept_findings(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The findings among the entries that no later entry retracts."""
    kept: list[dict[str, Any]] = []
    for entry in entries:
        if entry["entry"] == "finding":
            kept.append(entry["finding"])
        elif entry["entry"] == "retract":
            kept = [finding for finding in kept if finding["code"] != entry["code"]]
    return kept
