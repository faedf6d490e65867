"""Text from files and file names as it is shown: what would steer a terminal or reorder a line is escaped."""

from __future__ import annotations

import re
import unicodedata

_LET_THROUGH = "\u200c\u200d"  # joiners, which some scripts and emoji need
_OTHER = re.compile(r"[^\n\t\x20-\x7e]")


def visible(text: str, *, lines: bool = True) -> str:
    """`text` with control characters, bidirectional controls and undecodable bytes written as escapes.

    Args:
        text: Any text.
        lines: Whether it may have several lines; otherwise line ends are escaped too.
    """
    if not lines:
        text = text.replace("\n", r"\n")
    return _OTHER.sub(lambda found: _shown(found[0]), text)


def visible_json(text: str) -> str:
    """JSON with the same characters escaped in the way of JSON; its meaning stays the same."""
    return _OTHER.sub(lambda found: _json_escape(found[0]), text)


def _shown(character: str) -> str:
    # Controls, formats (bidirectional and invisible ones), surrogates of undecodable bytes, line separators.
    hidden = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    if not hidden or character in _LET_THROUGH:
        return character
    return character.encode("unicode_escape").decode()


def _json_escape(character: str) -> str:
    if _shown(character) == character:
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))
