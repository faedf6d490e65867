"""Compressed runs: their content unpacked into files without a name."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import IO

from mindanim.vocabulary.reading import reading

_UNPACKED_AT_ONCE = 16
"""Compressed runs kept unpacked: the repeats of a film are compared voxel by voxel."""
_CHUNK_BYTES = 1 << 22


class Unpacked:
    """The last few runs that were unpacked; their files have no name and vanish with the process."""

    def __init__(self) -> None:
        self._files: OrderedDict[Hashable, IO[bytes]] = OrderedDict()

    def __call__(self, key: Hashable, unpack: Callable[[IO[bytes]], None]) -> IO[bytes]:
        """The file of ``key``, filled by ``unpack`` where it is not there any more."""
        if key in self._files:
            self._files.move_to_end(key)
        else:
            while len(self._files) >= _UNPACKED_AT_ONCE:
                self._files.popitem(last=False)[1].close()
            file: IO[bytes] = tempfile.TemporaryFile(prefix="mindanim-")  # noqa: SIM115 - open while it is used
            unpack(file)
            file.flush()
            self._files[key] = file
        return self._files[key]


def unpack_whole(path: Path, target: IO[bytes], format: str) -> None:
    """Unpack a file as it is. InputError where its packing is damaged."""
    with reading(path, format), gzip.open(path) as packed:
        shutil.copyfileobj(packed, target, _CHUNK_BYTES)
