"""Numbers as they are printed in every table: scores, p values, intervals."""

from __future__ import annotations

from collections.abc import Sequence


def number(value: float | None) -> str:
    """A score for a table column: decimals by magnitude, a true minus sign, a dash for None."""
    if value is None:
        return "–"
    size = abs(value)
    decimals = 3 if size < 1 else 2 if size < 100 else 1 if size < 1000 else 0
    return f"{round(value, decimals) + 0.0:,.{decimals}f}".replace("-", "−")


def quoted_number(value: float | None) -> str:
    """A published number: not rounded, without trailing zeros."""
    return "–" if value is None else f"{value:g}"


def p_value(value: float | None) -> str:
    """A p value to two significant digits."""
    return "–" if value is None else f"{value:.2g}"


def interval(ends: Sequence[float] | None) -> str:
    """An interval as "low to high"."""
    return "–" if ends is None else f"{number(ends[0])} to {number(ends[1])}"
