"""Numbers as tables write them: ASCII digits, a point, an exponent.

Python itself also reads "1_0" as 10 and digits of every script, which in a table are mistakes.
"""

from __future__ import annotations

import re

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_REAL = re.compile(r"[+-]?(?:[0-9]{1,400}\.?[0-9]{0,400}|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,5})?")


def whole(text: str) -> int | None:
    """The whole number that `text` stands for; None if it is none, or has more than 18 digits."""
    return int(text) if _WHOLE.fullmatch(text) else None


def real(text: str) -> float | None:
    """The number that `text` stands for, which may be infinite if it is too large; None if it is none."""
    return float(text) if _REAL.fullmatch(text) else None
