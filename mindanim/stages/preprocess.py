"""``mindanim preprocess``: turns a subject's BOLD runs into responses per clip."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mindanim import console
from mindanim.artifacts import (
    Artifact,
    Draft,
    Source,
    Workspace,
    data_unknown,
    find_data,
    find_dataset,
    produce,
)
from mindanim.artifacts.columns import FMRI_CLIPS, FMRI_VOXELS
from mindanim.config.preprocess import PreprocessConfig
from mindanim.config.run_options import RunOptions
from mindanim.studies import Study, open_study
from mindanim.studies.checks.duplicates import near_duplicate_runs
from mindanim.studies.checks.leakage import audit_clips, close_clips, leave_out
from mindanim.vocabulary.clips import Clip
from mindanim.vocabulary.runs import Run
from mindanim.vocabulary.subjects import Subject

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mindanim.bold.response_plan import Plan
    from mindanim.bold.survey import Selection, Survey

_AXES = {"responses": "clip lag voxel", "repeats": "repeat clip lag voxel"}
_UNIT = "standard deviations over clips"


def preprocess(config: PreprocessConfig, run: RunOptions) -> Artifact:
    """Write the ``fmri`` artifact of ``run.subject``.

    Reads the study in ``run.data``, after comparing it with its declared facts; all that can be checked
    without reading data is checked before anything is written.

    Raises:
        InputError: The study differs from the facts, unless ``run.allow_partial``; lists every difference.
        ConfigError: The options do not fit the study.
    """
    from mindanim.bold.atlas import read_regions
    from mindanim.bold.formats.surfaces import atlas_file
    from mindanim.bold.response_plan import make_plan
    from mindanim.bold.survey import check_options

    run = find_dataset(run)
    subject, found = run.need_subject(), find_data(run)
    if found is None:
        raise data_unknown(run)
    run = run.model_copy(update={"data": found[0]})
    study = open_study(run.need_dataset(), found[0], run.allow_partial, run.study)
    runs, clips = study.runs(subject), leave_out(study.clips(), config.exclude)
    if config.purge_s:
        purged = close_clips(clips, runs, config.purge_s)
        clips = [clip for clip in clips if clip.clip_id not in purged]
    lags_s = config.lags_s or study.facts.lags_s
    config = config.model_copy(update={"lags_s": lags_s})
    plan = make_plan(runs, clips, lags_s, config)
    atlas = atlas_file(config.atlas) if config.atlas else study.atlas()
    regions = read_regions(atlas, plan.voxels) if atlas else plan.voxels.names
    check_options(plan, regions, config)
    work = _Work(config, study, subject, runs, clips, plan, atlas, regions)
    path = Workspace.of(run).place(run, "fmri")
    return produce(
        "fmri",
        path,
        config=config,
        inputs=work.inputs(),
        run=run,
        seed=None,
        build=work.build,
        expected_bytes=plan.most_bytes(config),
    )


@dataclass(frozen=True)
class _Work:
    """One subject's preprocessing."""

    config: PreprocessConfig
    study: Study
    subject: Subject
    runs: Sequence[Run]
    clips: Sequence[Clip]
    plan: Plan
    atlas: Path | None
    regions: NDArray[np.str_] | None

    def inputs(self) -> dict[str, Source]:
        """What decides the result: the runs, the timing the study declares for them, and the atlas."""
        runs = {
            f"{run.segment}_{run.repeat}": [run.start_s, run.tr_s, run.volumes, *sorted(run.shown_s.items())]
            for run in self.runs
        }
        clips = [
            [clip.clip_id, clip.split, clip.segment, clip.film, clip.onset_s, clip.duration_s, clip.shown_s]
            for clip in self.clips
        ]
        files = sorted({path for run in self.runs for path in run.files})
        timing = hashlib.sha256(json.dumps([runs, clips]).encode()).hexdigest()
        inputs = {
            "runs": Source.of_files("runs", files, _root_of(files, self.study.root), subject=self.subject),
            "timing": Source("timing", timing, {"start_s, tr_s, volumes": runs, "clips": len(clips)}),
        }
        if self.atlas is not None:
            inputs["atlas"] = Source.of_files("atlas", [self.atlas], self.atlas.parent)
        return inputs

    def build(self, draft: Draft) -> None:
        """Survey, select, extract; then findings, tables, maps, figure."""
        import numpy as np

        from mindanim.bold.responses import extract
        from mindanim.bold.survey import select, survey

        config, plan = self.config, self.plan
        surveying: console.Progress[None] = console.progress(len(plan.segments), "Surveying segments")
        with surveying:
            found = survey(plan, config, surveying.advance)
        selection = select(found, self.regions, config)
        console.say(f"Selected {len(selection.columns)} of {len(plan.voxels)} {plan.voxels.noun}.")

        def open_array(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
            return draft.open_array(
                name, shape, "float32", axes=_AXES[Path(name).stem.split("_")[1]], unit=_UNIT
            )

        sd = np.sqrt(found.variance)
        extracting: console.Progress[None] = console.progress(len(self.runs), "Extracting responses")
        with extracting:
            extract(plan, selection.columns, sd, config, open_array, extracting.advance)
        self._account(draft, found, selection)
        self._write(draft, found, selection)

    def _account(self, draft: Draft, found: Survey, selection: Selection) -> None:
        """Methods, findings and facts."""
        from mindanim.bold import preprocess_text

        plan, facts = self.plan, self.study.facts
        draft.methods(f"Data: {facts.title}, subject {self.subject} ({facts.citation}).")
        for sentence in preprocess_text.methods(plan, selection, self.config):
            draft.methods(sentence)
        used = {clip.clip_id for split in ("train", "test") for clip in plan.clips(split)}
        audited = audit_clips([clip for clip in self.clips if clip.clip_id in used], self.runs, facts)
        if lost := len(self.study.clips()) - len(self.clips):
            text = f"{lost} clips are left out on request (purge_s {self.config.purge_s:g} s, exclude)."
            draft.finding("purged", text, count=lost)
        compared = [finding for finding in self.study.check(self.subject) if finding.status != "ok"]
        for finding in (*compared, *audited, *near_duplicate_runs(found.samples)):
            draft.finding(finding.code, finding.text, **finding.data)
        for code, text, data in preprocess_text.findings(plan, found, selection, self.config):
            draft.finding(code, text, **data)
        partial = any(finding.status == "problem" for finding in compared)
        draft.fact(
            study=facts.title,
            subject=self.subject,
            partial=partial,
            **preprocess_text.facts(plan, found, selection, self.config),
        )

    def _write(self, draft: Draft, found: Survey, selection: Selection) -> None:
        """Tables, cortical maps, figure."""
        import numpy as np

        from mindanim.bold import preprocess_text
        from mindanim.bold.atlas import NO_REGION
        from mindanim.bold.maps.brain_map import brain_map
        from mindanim.bold.maps.qc_figure import Quality, draw_quality
        from mindanim.bold.response_tables import chosen_mask, clips_table, voxels_table

        plan = self.plan
        regions = np.full(len(plan.voxels), NO_REGION) if self.regions is None else self.regions
        draft.save_table("clips.tsv", clips_table(plan, self.clips), units=FMRI_CLIPS)
        draft.save_table("voxels.tsv", voxels_table(plan, found, selection, regions), units=FMRI_VOXELS)
        maps = {
            "reliability": selection.reliability,
            "statistic": selection.statistic,
            "noise ceiling": found.ceiling,
        }
        for name, map_of, elsewhere in (
            ("reliability", maps, np.nan),
            ("mask", {"selected voxels": chosen_mask(plan, selection)}, 0.0),
        ):
            if (written := brain_map(plan.voxels, map_of, elsewhere)) is not None:
                draft.save_bytes(f"{name}{written[0]}", written[1])
        quality = Quality(
            title=f"{self.study.facts.title}, subject {self.subject}: preprocessing",
            plan=plan,
            selection=selection,
            ceiling=found.ceiling[selection.columns],
            regions=regions,
            excluded=preprocess_text.excluded(found, selection),
            clip_s=self.study.facts.clip_s,
            threshold=preprocess_text.threshold(selection, self.config),
        )
        with draft.write("figures/qc.png") as path:
            draw_quality(path, quality)


def _root_of(files: Sequence[Path], root: Path) -> Path:
    """The study's folder, or, if runs are outside it, the nearest folder that contains all of them."""
    inside = all(path.is_relative_to(root) for path in files)
    return root if inside else Path(os.path.commonpath([path.parent for path in files]))
