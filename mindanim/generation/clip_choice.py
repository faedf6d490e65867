"""Which clips of the test set to generate."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mindanim.errors import InputError
from mindanim.vocabulary.words import unknown


def chosen_rows(clip_ids: Sequence[str], wanted: str, limit: int | None) -> list[int]:
    """Rows of the chosen clips, in the order of `clip_ids`, each once.

    Args:
        clip_ids: All clips.
        wanted: Comma-separated clip numbers (from 1), ranges of numbers, and clip ids; empty means all.
        limit: Keep at most this many.

    Raises:
        InputError: Names every part of `wanted` that is not a clip.
    """
    rows: set[int] = set()
    problems = []
    known = {name: row for row, name in enumerate(clip_ids)}
    for part in filter(None, (part.strip() for part in wanted.split(","))):
        if part in known:
            rows.add(known[part])
        elif span := re.fullmatch(r"(\d+)(?:-(\d+))?", part):
            first, last = int(span[1]), int(span[2] or span[1])
            if 1 <= first <= last <= len(clip_ids):
                rows.update(range(first - 1, last))
            else:
                problems.append(f"{part} is not within 1-{len(clip_ids)}")
        else:
            problems.append(
                unknown("clip", part, clip_ids) if len(clip_ids) < 20 else f"there is no clip '{part}'"
            )
    if problems:
        raise InputError(
            f"--clips {wanted}: {'; '.join(problems)}.",
            why=f"The test set has {len(clip_ids)} clips, {clip_ids[0]} to {clip_ids[-1]}.",
            hint="Give numbers (1-20,35) or clip ids, separated by commas.",
        )
    return (sorted(rows) if wanted.strip() else list(range(len(clip_ids))))[:limit]
