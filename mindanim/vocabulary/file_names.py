"""Names from tables, films and the command line that become parts of file names."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from mindanim.errors import InputError

MOST_BYTES = 120
"""Longest name: file systems allow 255 bytes, and stages add a prefix, the name of a part and an ending."""
NAME = rf"(?=.{{1,{MOST_BYTES}}}\Z)[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.))*"
"""A dataset or a label. Both are parts of folder names; a label follows the first dash."""
_CHARACTERS = f"use ASCII letters, digits, '.', '_' and '-', no '..', at most {MOST_BYTES} characters, "
NAME_RULE = f"it becomes part of a folder's name; {_CHARACTERS}a letter or digit first"
CLIP_RULE = f"It becomes part of a file's name: {_CHARACTERS}a letter, digit or '_' first."
_KEPT_BYTES = MOST_BYTES - 40  # room for a split and the numbers of segment and clip


def check_clip_id(text: str, where: str = "") -> str:
    """`text` itself, if it may be a clip_id: a name, or one after underscores.

    Args:
        text: The clip_id.
        where: File and line that it is from.

    Raises:
        InputError: It cannot become part of a file's name.
    """
    if len(text) > MOST_BYTES or re.fullmatch(f"_*{NAME}", text) is None:
        short = text if len(text) <= MOST_BYTES else f"{text[:MOST_BYTES]}..."
        raise InputError(f"{where}{': ' if where else ''}the clip_id '{short}' is not possible.", CLIP_RULE)
    return text


def as_name(text: str) -> str:
    """A name made of any text, such as a film's file name with spaces or umlauts.

    Accents are dropped and other characters become dashes. A hash of the text is added where letters or
    digits were lost, so that different texts keep different names.
    """
    composed = unicodedata.normalize("NFC", text)
    plain = unicodedata.normalize("NFKD", composed).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9_]*\.[.]*|[^A-Za-z0-9_.]+", _joint, plain).strip(".-_")
    lost = any(c.isalnum() and not unicodedata.normalize("NFKD", c)[0].isascii() for c in composed)
    if lost or not name or len(name) > _KEPT_BYTES:
        mark = hashlib.sha256(composed.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        name = f"{name[:_KEPT_BYTES].rstrip('.-_') or 'name'}-{mark}"
    return name


def _joint(match: re.Match[str]) -> str:
    return "." if match[0] == "." else "-"
