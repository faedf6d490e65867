"""``mindanim show --timing``: when a run's clips were shown and at which volumes their responses are read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mindanim.artifacts import with_data
from mindanim.artifacts.files import atomic_path
from mindanim.config.run_options import RunOptions
from mindanim.errors import UsageError


def draw_timing(path: Path, wanted: str, run: RunOptions) -> str:
    """Draw the timing of a run of ``run.subject``.

    Args:
        path: The PNG file to write.
        wanted: The run's name, ``SEGMENT`` or ``SEGMENT:REPEAT``; the first run if empty.

    Returns:
        The title of the figure.

    Raises:
        UsageError: The path is not a PNG, or no run has that name.
        InputError: The study is missing.
    """
    from mindanim.report import timing_figure
    from mindanim.studies import open_study

    if path.suffix.lower() != ".png":
        raise UsageError(f"--timing {path} is not a .png file.", hint="Use a name such as timing.png.")
    run = with_data(run)
    study = open_study(run.need_dataset(), run.need_data(), True, run.study)
    subject = run.subject or study.facts.subjects[0]
    runs = study.runs(subject)
    segment, _, repeat = wanted.partition(":")
    found = [
        one for one in runs if (not wanted or one.segment == segment) and repeat in ("", str(one.repeat))
    ]
    if not found:
        names = ", ".join(dict.fromkeys(one.segment for one in runs))
        raise UsageError(
            f"Subject {subject} has no run '{wanted}'.",
            f"The segments are: {names}.",
            "Select one with --run SEGMENT or --run SEGMENT:REPEAT",
        )
    one = found[0]
    here = [other for other in runs if other.path == one.path and other.volumes == one.volumes]
    if any(other.load is not None for other in here):
        here = [one]
    segments = {other.segment: other for other in here}
    clips = []
    for clip in study.clips():
        if shows := segments.get(clip.segment):
            clips.append(replace(clip, at_s=shows.when(clip) - shows.start_s))
    title = f"{study.facts.title}, subject {subject}, {one.name}: {one.path.name}"
    clips.sort(key=lambda clip: clip.shown_s)
    drawn = timing_figure.TimedRun(title, one.tr_s, one.volumes, clips, study.facts.lags_s)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        timing_figure.draw_timing(temporary, drawn)
    return title
