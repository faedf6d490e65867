"""Voxels a few at a time: how many are mapped and written together, and how many the processor's cache holds.

Measured with CC2017's runs (240 volumes; AMD EPYC with 1 MB of second-level cache per core): parts of about
200 voxels cost least. Smaller ones pay for more calls, larger ones for memory.
"""

from __future__ import annotations

from collections.abc import Iterator

VOXELS_AT_ONCE = 1024
CACHED_BYTES = 3 << 17
"""Most float64 signal of one run in a part: two repeats and what is computed from them stay in 1 MB."""


def blocks(count: int) -> Iterator[slice]:
    """Slices of at most 1,024 voxels, so that memory does not grow with the mesh."""
    return cut(0, count, VOXELS_AT_ONCE)


def parts(block: slice, volumes: int) -> Iterator[slice]:
    """A block in parts of which a run of so many volumes fits into the cache."""
    return cut(block.start, block.stop, max(1, CACHED_BYTES // (8 * max(volumes, 1))))


def cut(start: int, stop: int, most: int) -> Iterator[slice]:
    """Slices of at most ``most``, all about equally long."""
    pieces = max(1, -(-(stop - start) // most))
    step = -(-(stop - start) // pieces)
    return (slice(at, min(at + step, stop)) for at in range(start, stop, max(step, 1)))
