"""HCP 7T movie watching: four runs of about 15 minutes, each of several film excerpts with rest between them.

Time. A run begins with its film, which holds the rests as well, so film time is run time. The response to a
clip is read 4 s after its onset.

Split. The last excerpt of every run (76 s) is the *same* film. It is the test set here: one segment of 76
clips with four repeats, one in each run, whatever their place in it. Everything else is for training. A split
at random would put the test film into the training set three times.

Spans. The start and end of the other excerpts are in ``clip_times_24.npy`` (frames at 24 per second), which
users of these data pass on to one another, or in a table ``clip_times.tsv`` with the columns ``run``,
``start_frame`` and ``end_frame``. The spans that are known anyway are held against it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from mindanim.errors import InputError
from mindanim.studies.base import READERS, Facts, Finding, Segment
from mindanim.studies.checks.declared_vs_disk import Declared, Stranger
from mindanim.studies.files import peek
from mindanim.studies.readers.declared import Reader
from mindanim.studies.readers.hcp_spans import Spans, find_spans
from mindanim.studies.study_options import StudyOptions
from mindanim.vocabulary.clips import Clip, Split
from mindanim.vocabulary.runs import Film, Run
from mindanim.vocabulary.subjects import Subject

MOVIES = {
    "MOVIE1": ("tfMRI_MOVIE1_7T_AP", "7T_MOVIE1_CC1", 921),
    "MOVIE2": ("tfMRI_MOVIE2_7T_PA", "7T_MOVIE2_HO1", 918),
    "MOVIE3": ("tfMRI_MOVIE3_7T_PA", "7T_MOVIE3_CC2", 915),
    "MOVIE4": ("tfMRI_MOVIE4_7T_AP", "7T_MOVIE4_HO2", 901),
}
"""Run, film and, recalled, volumes of each of the four."""
CLIPS = {"MOVIE1": 728, "MOVIE2": 792, "MOVIE3": 745, "MOVIE4": 775}
"""One-second clips per run, the repeated ones among them."""
REPEAT = "repeat"
"""Segment of the excerpt that ends every run."""
REPEAT_CLIPS = 76

VARIANTS = {
    "msmall": ("_Atlas_MSMAll_hp2000_clean", "32k mesh, MSMAll-aligned, ICA-FIX-cleaned"),
    "plain": ("_Atlas", "32k mesh, not cleaned"),
    "1.6mm": ("_Atlas_1.6mm_MSMAll_hp2000_clean", "59k mesh, MSMAll-aligned, ICA-FIX-cleaned"),
}
_GRAYORDINATES = {"msmall": 91_282, "plain": 91_282, "1.6mm": 170_494}
_ENCODINGS = {"post": "_v2", "pre": ""}
_OPTIONS = {
    "variant": f"which of the runs' files ({', '.join(VARIANTS)}); the first that is there",
    "films": "stimulus encoding, shown after (post) or before (pre) 2014-08-21",
}

FACTS = Facts(
    name="hcp",
    title="HCP 7T movie watching",
    layout="hcp",
    subjects=(100610, 102816, 104416),
    tr_s=1.0,
    clip_s=1.0,
    lags_s=(4.0,),
    segments=(
        *(
            Segment(name, "train", CLIPS[name] - REPEAT_CLIPS, 1, 0.0, volumes)
            for name, (_, _, volumes) in MOVIES.items()
        ),
        Segment(REPEAT, "test", REPEAT_CLIPS, len(MOVIES), 0.0, 0),
    ),
    citation=(
        "Van Essen DC, Smith SM, Barch DM, Behrens TEJ, Yacoub E, Ugurbil K (2013). The WU-Minn Human "
        "Connectome Project: an overview. NeuroImage 80:62-79. doi:10.1016/j.neuroimage.2013.05.041"
    ),
    licence="WU-Minn HCP Consortium Open Access Data Use Terms (to be accepted by every user)",
    where="ConnectomeDB, https://db.humanconnectome.org (HCP Young Adult, 7T movie packages)",
)


class HCP(Reader):
    """The study as its packages unpack: ``<subject>/MNINonLinear/Results/...``, next to the films.

    Subjects are those whose folder is there, known by their six digits.

    Args:
        facts: Those of the real study unless a simulated one uses this layout.
    """

    def __init__(
        self,
        root: Path,
        *,
        facts: Facts = FACTS,
        allow_partial: bool = False,
        options: Mapping[str, str] | None = None,
    ) -> None:
        asked = StudyOptions(facts.name, options or {}, _OPTIONS)
        subjects = _subjects(root)
        if not subjects:
            raise InputError(
                f"{root} does not contain the study in the layout of HCP.",
                "There is no <subject>/MNINonLinear/Results in it, with a subject of six digits.",
                f"Give the folder that holds the subjects' folders with --data; it comes from {facts.where}.",
            )
        super().__init__(root, replace(facts, subjects=tuple(subjects)), allow_partial)
        self._declared = facts
        self._variant = asked.choice("variant", tuple(VARIANTS))
        self._encoding = asked.choice("films", tuple(_ENCODINGS))
        self._movies = [segment.name for segment in facts.segments if segment.name != REPEAT]
        self._spans: Spans | None = None

    def spans(self) -> Spans:
        """The excerpts of every run. InputError where unknown, unless an incomplete study is allowed."""
        if self._spans is None:
            self._spans = find_spans(self.root, self._declared, self._allow_partial)
        return self._spans

    def clips(self) -> list[Clip]:
        """Clips of one second within the excerpts; those of the repeated one last, as the test set."""
        spans, clips = self.spans(), []
        for movie in self._movies:
            onsets = [onset for start, end in spans.training(movie) for onset in _seconds(start, end)]
            clips += [
                Clip(f"{movie.lower()}-{index:04d}", "train", movie, movie, index, onset, self.facts.clip_s)
                for index, onset in enumerate(onsets, start=1)
            ]
        reference = self._movies[0]
        clips += [
            Clip(f"{REPEAT}-{index:04d}", "test", REPEAT, reference, index, onset, self.facts.clip_s)
            for index, onset in enumerate(_seconds(*spans.repeated(reference)), start=1)
        ]
        return clips

    def _films(self) -> list[Film]:
        return [Film(movie, self._film(movie), "train", movie) for movie in self._movies]

    def _film(self, movie: str) -> Path:
        """The film in the encoding asked for, or in the one that is there, the later one first."""
        stem = MOVIES[movie][1]
        encodings = [self._encoding] if self._encoding else list(_ENCODINGS)
        names = [f"{stem}{_ENCODINGS[encoding]}.mp4" for encoding in encodings]
        for name in names:
            for depth in ("", "*/", "*/*/"):
                if found := sorted(self.root.glob(f"{depth}{name}")):
                    return found[0]
        return self.root / "stimuli" / names[0]

    def _hint(self) -> str:
        return "They are looked for by name in the study's folder and two levels below it."

    def _declare(self, subject: Subject) -> Declared:
        results = self.root / str(subject) / "MNINonLinear" / "Results"
        variant, there = self._choose(results)
        paths = {movie: _path(results, movie, variant) for movie in self._movies}
        runs = [self._run(subject, movie, movie, 1, path, 0.0) for movie, path in paths.items()]
        spans = self.spans()
        reference_s = spans.repeated(self._movies[0])[0]
        for repeat, (movie, path) in enumerate(paths.items(), start=1):
            # Its own film shows the excerpt at another time than the film that the clips are declared in.
            shift_s = reference_s - spans.repeated(movie)[0]
            runs.append(self._run(subject, REPEAT, self._movies[0], repeat, path, shift_s))
        used = set(paths.values())
        others = [
            path for path in sorted(results.glob("tfMRI_MOVIE*/[!.]*.dtseries.nii*")) if path not in used
        ]
        strangers = [
            Stranger(path, f"the {variant} files are read")
            if any(path in _names(results, movie) for movie in self._movies)
            else Stranger(path, "the name is not that of a run")
            for path in others
        ]
        return Declared(runs, strangers, [*self._notes(subject, variant, there, paths), *spans.findings])

    def _run(self, subject: Subject, segment: str, film: str, repeat: int, path: Path, start_s: float) -> Run:
        split: Split = "test" if segment == REPEAT else "train"
        return Run(subject, film, split, segment, repeat, path, start_s, self.facts.tr_s, 0)

    def _choose(self, results: Path) -> tuple[str, list[str]]:
        """The variant to read, and all that have a file."""
        there = [
            variant
            for variant in VARIANTS
            if any(_path(results, movie, variant).is_file() for movie in self._movies)
        ]
        return self._variant or next(iter(there), next(iter(VARIANTS))), there

    def _notes(
        self, subject: Subject, variant: str, there: list[str], paths: Mapping[str, Path]
    ) -> Iterator[Finding]:
        """What the files turn out to be: variant, mesh, and length where it is not what is recalled."""
        if len(there) > 1 and self._variant is None:
            text = f"Subject {subject}: runs are there as {', '.join(there)}; read are the {variant} ones."
            yield Finding("note", "variant", text, "Choose with: --study variant=NAME", {"variant": variant})
        sizes, lengths = {}, []
        volumes = {segment.name: segment.volumes for segment in self._declared.segments}
        for movie, path in paths.items():
            try:
                layout = peek(path) if path.is_file() else None
            except InputError:
                continue  # a finding of its own
            if layout is not None:
                sizes[path.name] = layout.grayordinates
                if layout.volumes != volumes[movie]:
                    lengths.append(f"{path.name} {layout.volumes} instead of {volumes[movie]}")
        if len(set(sizes.values())) > 1:
            listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
            text = f"Subject {subject}: the runs are not on one mesh (grayordinates: {listed})."
            yield Finding("problem", "mixed-mesh", text, f"Get the {variant} files of all runs.")
        strange = [size for size in set(sizes.values()) if size != _GRAYORDINATES[variant]]
        if strange and self._declared is FACTS:
            text = (
                f"Subject {subject}: the {variant} files hold {strange[0]} grayordinates, not the expected "
                f"{_GRAYORDINATES[variant]}. Places come from the files' own axes."
            )
            yield Finding("note", "grayordinates", text)
        if lengths:
            text = f"Subject {subject}: runs of another length than recalled: {', '.join(lengths)} volumes."
            yield Finding("note", "other-length", text)


def _subjects(root: Path) -> list[int]:
    return sorted(
        int(path.parts[-3])
        for path in root.glob("*/MNINonLinear/Results")
        if re.fullmatch(r"[1-9]\d{5}", path.parts[-3])
    )


def _path(results: Path, movie: str, variant: str) -> Path:
    run = MOVIES[movie][0]
    return results / run / f"{run}{VARIANTS[variant][0]}.dtseries.nii"


def _names(results: Path, movie: str) -> set[Path]:
    return {_path(results, movie, variant) for variant in VARIANTS}


def _seconds(start_s: float, end_s: float) -> list[float]:
    """Onsets of the whole seconds from ``start_s`` to ``end_s``."""
    return [start_s + second for second in range(int(end_s - start_s + 1e-6))]


READERS.add("hcp", HCP)
