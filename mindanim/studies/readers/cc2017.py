"""CC2017 (Wen et al. 2018): three subjects watched 18 training and 5 test films of 8 minutes.

Timing. The runs of seg1..seg18 and test1 begin 2 s after the film and hold 245 volumes, those of test2..test5
begin with the film and hold 246; all end 12 s after the film. The study's own scripts keep volumes 2:end-4
and 3:end-4 (1-based): both are the signal 4 s after each clip's onset, which is the default lag here, so
nothing is trimmed twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from mindanim.errors import InputError
from mindanim.studies.base import READERS, Facts, Segment, regular_clips
from mindanim.studies.checks.declared_vs_disk import Declared, Stranger
from mindanim.studies.readers.declared import Reader
from mindanim.studies.study_options import StudyOptions
from mindanim.studies.tables import read_captions
from mindanim.vocabulary.clips import Clip, Split
from mindanim.vocabulary.limits import LATE_START_S, TAIL_S
from mindanim.vocabulary.runs import Film, Run
from mindanim.vocabulary.subjects import Subject, label_of


def segment_of(name: str, clips: int, repeats: int, clip_s: float = 2.0, tr_s: float = 2.0) -> Segment:
    """A film by its name (``seg1``, ``test2``) with the start and the length its runs have in this layout."""
    split: Split = "test" if name.startswith("test") else "train"
    start_s = LATE_START_S if split == "train" or name == "test1" else 0.0
    volumes = round((clips * clip_s + TAIL_S - start_s) / tr_s)
    return Segment(name, split, clips, repeats, start_s, volumes)


FACTS = Facts(
    name="cc2017",
    title="CC2017: video-fMRI of natural vision (Purdue)",
    layout="cc2017",
    subjects=(1, 2, 3),
    tr_s=2.0,
    clip_s=2.0,
    lags_s=(4.0,),
    segments=(
        *(segment_of(f"seg{number}", 240, 2) for number in range(1, 19)),
        *(segment_of(f"test{number}", 240, 10) for number in range(1, 6)),
    ),
    citation=(
        "Wen H, Shi J, Zhang Y, Lu KH, Cao J, Liu Z (2018). Neural encoding and decoding with deep learning "
        "for "
        "dynamic natural vision. Cerebral Cortex 28(12):4136-4160. doi:10.1093/cercor/bhx268"
    ),
    licence="CC0 1.0 (as the repository page states)",
    where="Purdue University Research Repository, https://doi.org/10.4231/R7SF2TCW",
    dropped={(3, "test2", 9): "it began about 10 s late"},
)

_RUN = re.compile(r"(?P<segment>(?:seg|test)\d+)_(?P<repeat>\d+)(?P<mark>[_.])Atlas\.dtseries\.nii")
"""The study names one of its files with a dot instead of the second underscore."""


class CC2017(Reader):
    """The study in the folder it unpacks to.

    Args:
        root: ``CC2017_Purdue`` or the folder that holds it. The bundles may also be unpacked into one
            another, so that ``subject1`` and ``stimuli`` share one ``video_fmri_dataset``.
        facts: Those of the real study unless another study uses this layout.
    """

    def __init__(
        self,
        root: Path,
        *,
        facts: Facts = FACTS,
        allow_partial: bool = False,
        options: Mapping[str, str] | None = None,
    ) -> None:
        StudyOptions(facts.name, options or {}, {})
        super().__init__(root, facts, allow_partial)
        self._trunk = _trunk(root, facts)

    def clips(self) -> list[Clip]:
        """All declared clips, training clips first."""
        return regular_clips(self.facts)

    def captions(self) -> dict[str, str] | None:
        """Captions from ``captions.tsv`` (clip_id, caption), where the user has added it to the folder."""
        path = self._trunk / "captions.tsv"
        return read_captions(path, self.clips()) if path.exists() else None

    def _films(self) -> list[Film]:
        folder = _first_folder(
            self._trunk / place
            for place in ("Stimuli/video_fmri_dataset/stimuli", "video_fmri_dataset/stimuli", "stimuli")
        )
        return [
            Film(segment.name, folder / f"{segment.name}.mp4", segment.split, segment.name)
            for segment in self.facts.segments
        ]

    def _hint(self) -> str:
        return _packed(self._trunk)

    def _declare(self, subject: Subject) -> Declared:
        folder = self._subject_folder(subject)
        found, strangers = _discover(folder)
        runs = [
            Run(
                subject,
                segment.name,
                segment.split,
                segment.name,
                repeat,
                found.pop((segment.name, repeat), _expected(folder, segment.name, repeat)),
                segment.start_s,
                self.facts.tr_s,
                segment.volumes,
            )
            for segment in self.facts.segments
            for repeat in range(1, segment.repeats + 1)
        ]
        return Declared(
            runs,
            [
                *(Stranger(path, "the study declares no such run", "extra-run") for path in found.values()),
                *(Stranger(path, "the name is not that of a run") for path in strangers),
            ],
        )

    def _subject_places(self, subject: Subject) -> list[Path]:
        name = f"subject{subject}/fmri"
        inside = (f"Subject{label_of(subject)}/video_fmri_dataset/{name}", f"video_fmri_dataset/{name}", name)
        return [self._trunk / place for place in inside]

    def _subject_folder(self, subject: Subject) -> Path:
        folder = _first_folder(self._subject_places(subject))
        if not folder.is_dir():
            raise InputError(
                f"There is no folder {folder}.",
                _packed(self._trunk) or f"The runs of subject {subject} are read from there.",
                f"Get the subject's bundle from {self.facts.where} and unpack it in {self._trunk}.",
            )
        return folder


def _trunk(root: Path, facts: Facts) -> Path:
    for trunk in (root, root / "CC2017_Purdue"):
        if any(trunk.glob("[Ss]ubject*/")) or any(
            (trunk / name).is_dir() for name in ("video_fmri_dataset", "Stimuli")
        ):
            return trunk
    raise InputError(
        f"{root} does not contain the study in the layout of CC2017.",
        _packed(root) or "Neither Subject01/, Stimuli/ nor video_fmri_dataset/ is in it.",
        f"Give the folder CC2017_Purdue with --data; the study is at {facts.where}.",
    )


def _packed(folder: Path) -> str:
    """A hint at archives that were not unpacked; the download nests a bundle.zip within each bundle."""
    archives = sorted({path for depth in ("*.zip", "*/*.zip", "*/*/*.zip") for path in folder.glob(depth)})
    if not archives:
        return ""
    commands = "; ".join(f"unzip {path} -d {path.parent}" for path in archives)
    return f"It contains archives. Unpack them (they may contain another bundle.zip): {commands}"


def _first_folder(places: Iterable[Path]) -> Path:
    """The first folder that exists; if none does, the first of all, for the message."""
    candidates = list(places)
    return next((place for place in candidates if place.is_dir()), candidates[0])


def _expected(folder: Path, segment: str, repeat: int) -> Path:
    return folder / segment / "cifti" / f"{segment}_{repeat}_Atlas.dtseries.nii"


def _discover(folder: Path) -> tuple[dict[tuple[str, int], Path], list[Path]]:
    """Runs by segment and repeat, and CIFTI files whose name or place is not that of a run.

    A name with a dot counts where the proper one is not there.
    """
    runs: dict[tuple[str, int], Path] = {}
    strangers, dotted = [], []
    for path in sorted(folder.glob("*/cifti/[!.]*.dtseries.nii*")):
        name = _RUN.fullmatch(path.name)
        if name is not None and name["segment"] == path.parent.parent.name:
            key = name["segment"], int(name["repeat"])
            if name["mark"] == "_":
                runs[key] = path
            else:
                dotted.append((key, path))
        elif not path.name.startswith("."):
            strangers.append(path)
    for key, path in dotted:
        if runs.setdefault(key, path) != path:
            strangers.append(path)
    return runs, strangers


READERS.add("cc2017", CC2017)
