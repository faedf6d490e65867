"""Clips: pieces of films as studies declare them, and sets of their frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from mindanim.vocabulary.arrays import Frames
from mindanim.vocabulary.file_names import check_clip_id

Split = Literal["train", "test"]


@dataclass(frozen=True)
class Clip:
    """A piece of a film. ``index`` counts from 1 within the segment; onset and duration are film time,
    seconds.

    Attributes:
        at_s: Where the clip begins on the clock of its segment's runs, seconds, if that clock is not film
            time: one run may show many films, and many runs may show one film.

    Raises:
        InputError: `clip_id` cannot become part of a file's name, whoever wrote the table or the reader.
    """

    clip_id: str
    split: Split
    segment: str
    film: str
    index: int
    onset_s: float
    duration_s: float
    at_s: float | None = None

    def __post_init__(self) -> None:
        check_clip_id(self.clip_id)

    @property
    def shown_s(self) -> float:
        """Beginning of the clip on the clock that :attr:`Run.start_s` refers to, seconds."""
        return self.onset_s if self.at_s is None else self.at_s


class Clips(Protocol):
    """A set of clips, read one at a time; each is (frame, height, width, rgb) uint8."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Frames: ...
