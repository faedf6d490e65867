"""Words of messages: lists of names, and what to say about a name that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def names_and_more(names: Iterable[object], limit: int = 8, separator: str = ", ") -> str:
    """The first `limit` names and how many more there are: "a, b and 3 more"."""
    listed = [str(name) for name in names]
    rest = len(listed) - limit
    more = f"{'' if separator == ', ' else ';'} and {rest} more" if rest > 0 else ""
    return separator.join(listed[:limit]) + more


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, or the part of it before a dot; None when nothing is close."""
    names = list(known)
    plain = {_plain(candidate).partition(".")[0]: candidate for candidate in reversed(names)}
    plain |= {_plain(candidate): candidate for candidate in names}
    matches = difflib.get_close_matches(_plain(name), plain, n=1, cutoff=0.6)
    return plain[matches[0]] if matches else None


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")


def unknown(thing: str, name: str, known: Iterable[str]) -> str:
    """One sentence: what is unknown, and either the likely name or all of them."""
    names = list(known)
    likely = closest(name, names)
    hint = f"did you mean '{likely}'?" if likely else f"known: {names_and_more(names, 12) or 'none'}"
    return f"unknown {thing} '{name}': {hint}"


def in_bytes(count: float) -> str:
    """A number of bytes with a unit that leaves one to three digits before the point: "3.2 MB"."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.95:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} TB"


def unknown_sentence(thing: str, name: str, known: Iterable[str]) -> str:
    """`unknown`, with the full stop or the question mark that ends it."""
    text = unknown(thing, name, known)
    return text if text.endswith("?") else f"{text}."
