"""Tables that come with a study."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mindanim.errors import InputError
from mindanim.studies.base import Clip


def read_captions(path: Path, clips: Sequence[Clip]) -> dict[str, str]:
    """Caption by clip_id from a TSV with the columns clip_id and caption.

    Raises InputError where the table is missing, lacks a column, names a clip twice or an unknown clip, or
    leaves a clip of the study without a caption.
    """
    mend = "Give one row per clip with the columns clip_id and caption, separated by a tab."
    if not path.is_file():
        raise InputError(f"The captions {path} are missing.", mend=mend)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    if not rows or not {"clip_id", "caption"} <= rows[0].keys():
        raise InputError(f"{path} lacks rows or a column clip_id or caption.", mend=mend)
    counts = Counter(row["clip_id"] for row in rows)
    known = {clip.clip_id for clip in clips}
    faults = {
        "named twice": [clip_id for clip_id, count in counts.items() if count > 1],
        "not a clip of the study": [clip_id for clip_id in counts if clip_id not in known],
        "without a caption": sorted(
            known - {row["clip_id"] for row in rows if (row["caption"] or "").strip()}
        ),
    }
    why = "; ".join(f"{fault}: {_some(names)}" for fault, names in faults.items() if names)
    if why:
        raise InputError(f"The captions in {path} do not fit the study's clips.", why, mend)
    return {row["clip_id"]: row["caption"].strip() for row in rows}


def _some(names: Sequence[str], limit: int = 8) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
