"""Feed damaged files to a reader and judge what it does with each."""

from __future__ import annotations

import random
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

from mindanim.errors import MindanimError
from tests.fuzz.mutations import mutate
from tests.fuzz.readers import Reader

REFUSED, ACCEPTED = "refused", "accepted"


def attack(reader: Reader, folder: Path, numbers: range) -> Iterator[tuple[int, str]]:
    """Number and verdict of each damaged file: refused, accepted, or what is wrong.

    Args:
        reader: The reader.
        folder: A folder for it alone.
        numbers: Which files; a file depends on the reader and its number only.
    """
    whole = folder / "whole"
    whole.mkdir(parents=True)
    made = reader.make(whole)
    reader_is_right(reader, folder, whole, made)
    content = made.read_bytes()
    for number in numbers:
        work = folder / f"n{number}"
        shutil.copytree(whole, work)
        path = work / made.relative_to(whole)
        path.write_bytes(
            mutate(content, random.Random(f"{reader.name} {number}"), reader.fields, reader.text)
        )
        yield number, judged(reader, path)
        shutil.rmtree(work, ignore_errors=True)


def reader_is_right(reader: Reader, folder: Path, whole: Path, made: Path) -> None:
    """The file without damage is accepted (a lock of another host, which is a refusal, aside)."""
    work = folder / "undamaged"
    shutil.copytree(whole, work)
    verdict = judged(reader, work / made.relative_to(whole))
    assert verdict == (REFUSED if reader.name == "lock" else ACCEPTED), f"{reader.name}: {verdict}"
    shutil.rmtree(work)


def judged(reader: Reader, path: Path) -> str:
    """What the reader does with a file, in a word, or what is wrong about it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            reader.read(path)
        except MindanimError as error:
            places = [str(path.parent), *(one.name for one in path.parent.iterdir())]
            named = any(place in str(error) for place in (places if reader.study else [path.name]))
            right = named and error.exit_code in (3, 4)
            return REFUSED if right else f"wrong: exit {error.exit_code}, {error.what[:150]}"
        except Exception as error:
            return f"wrong: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return ACCEPTED
