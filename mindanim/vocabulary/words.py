"""Lists of names in messages."""

from __future__ import annotations

from collections.abc import Iterable


def names_and_more(names: Iterable[object], limit: int = 8, separator: str = ", ") -> str:
    """The first `limit` names and how many more there are: "a, b and 3 more"."""
    listed = [str(name) for name in names]
    rest = len(listed) - limit
    more = f"{'' if separator == ', ' else ';'} and {rest} more" if rest > 0 else ""
    return separator.join(listed[:limit]) + more
