"""Damage of the kinds that files meet: bits, blocks, cuts, header fields and numbers in text."""

from __future__ import annotations

import random
import re
import struct

_NUMBERS = (
    "nan",
    "inf",
    "-inf",
    "-1",
    "0",
    "1e400",
    "1e308",
    "99999999999",
    "9" * 400,
    "9" * 5000,
    "",
    "x",
    "0.5",
)
_TEXTS = (
    b"[" * 5000,
    b"{" * 3000,
    b"\x00",
    b"\xff\xfe",
    b"\t\t\t",
    b'"',
    b"../../x",
    b"\r",
    "\u0661".encode(),
)
_VALUES: dict[str, tuple[float, ...]] = {
    "f": (float("nan"), float("inf"), float("-inf"), -1.0, 0.0, 1e-38, 3e38, 7.5),
    "d": (float("nan"), float("inf"), float("-inf"), -1.0, 0.0, 1e-300, 1e300, 7.5),
    "b": (-128, -1, 0, 1, 4, 127),
    "h": (-32768, -1, 0, 1, 2, 5, 16, 64, 128, 1024, 32767),
    "i": (-(2**31), -1, 0, 1, 348, 540, 2**31 - 1),
    "q": (-(2**63), -5, -1, 0, 1, 544, 2**31, 2**40, 2**63 - 1),
}


def mutate(content: bytes, rng: random.Random, fields: tuple[tuple[int, str], ...], text: bool) -> bytes:
    """`content` with one or two kinds of damage.

    Args:
        content: A valid file.
        rng: Decides on the damage.
        fields: Place and struct format (one letter, little-endian) of the numbers in a binary header.
        text: Whether numbers in words occur, which are replaced.
    """
    kinds = [_flip, _cut, _overwrite] + [_number, _insert] * text
    for _ in range(rng.choice((1, 1, 2))):
        if fields and rng.random() < 0.5:
            place, form = rng.choice(fields)
            if place + struct.calcsize(form) <= len(content):
                changed = bytearray(content)
                struct.pack_into(f"<{form}", changed, place, rng.choice(_VALUES[form]))
                content = bytes(changed)
        else:
            content = rng.choice(kinds)(content, rng)
    return content


def _place(content: bytes, rng: random.Random) -> int:
    """Anywhere, but in half of the cases among the first 600 bytes, where headers are."""
    return rng.randrange(max(1, min(len(content), 600) if rng.random() < 0.5 else len(content)))


def _flip(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 3, 16)) if content else 0):
        changed[_place(content, rng)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: _place(content, rng)]


def _overwrite(content: bytes, rng: random.Random) -> bytes:
    start, size = _place(content, rng), rng.choice((1, 4, 8, 64, 600))
    block = rng.choice((bytes(size), b"\xff" * size, rng.randbytes(size)))
    return content[:start] + block + content[start + size :]


def _number(content: bytes, rng: random.Random) -> bytes:
    found = list(re.finditer(rb"-?\d+(\.\d+)?", content[: 1 << 16]))
    if not found:
        return content
    one = rng.choice(found)
    return content[: one.start()] + rng.choice(_NUMBERS).encode() + content[one.end() :]


def _insert(content: bytes, rng: random.Random) -> bytes:
    start = _place(content, rng)
    return content[:start] + rng.choice(_TEXTS) + content[start + rng.choice((0, 1, 20)) :]
