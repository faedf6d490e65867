"""``mindanim evaluate``: videos and ground truth become metrics with floors, uncertainty and a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindanim import console, runtime
from mindanim.artifacts import Artifact, Draft, Workspace, produce
from mindanim.backbones import Weights, load_diffusion, locate
from mindanim.config.evaluate import EvaluateConfig
from mindanim.config.run_options import RunOptions
from mindanim.errors import MindanimError, MissingError, raise_together
from mindanim.stages.evaluation_folders import FolderScene
from mindanim.stages.evaluation_inputs import FOREIGN, SubjectScene, lineage_of, scene_of

if TYPE_CHECKING:
    from mindanim.metrics.evaluation import Assessment
    from mindanim.metrics.inputs.test_set import Contender
    from mindanim.metrics.networks import FoundNetwork
    from mindanim.vocabulary.scratch import Scratch


def evaluate(config: EvaluateConfig, run: RunOptions) -> Artifact:
    """Write the ``evaluation`` artifact of ``run.subject``, or of ``config.videos``.

    Raises:
        ConfigError: A metric is unknown.
        InputError: Reconstructions are missing, are not of the test clips or differ in size from the ground
            truth, or an evaluation to compare with does not exist.
        MissingError: The weights of a network are missing.
    """
    from mindanim.metrics.families.catalogue import chosen
    from mindanim.metrics.networks import find_networks

    metrics = chosen(config.groups, config.metrics)
    scene = scene_of(config, run)
    problems: list[MindanimError] = []
    for look in (lambda: scene.test, lambda: scene.clips):  # refuse what is missing or does not fit
        try:
            look()
        except MindanimError as error:
            problems.append(error)
            break
    if config.compare:  # the table comes last; a label that does not exist is reported first
        from mindanim.stages.comparison import compared_with

        try:
            compared_with(_place(config, run), config.compare)
        except MindanimError as error:
            problems.append(error)
    networks: dict[str, FoundNetwork] = {}
    diffusion = None
    try:
        networks = find_networks(metrics, config, run.offline)
    except MindanimError as error:
        problems.append(error)
    if isinstance(scene, SubjectScene) and config.diffusion:
        try:
            diffusion = locate(config.diffusion, "diffusion", run.offline)
        except MissingError as error:
            without = "Or go without the floor that needs it: --set diffusion=none"
            problems.append(MissingError(error.what, why=error.why, hint=f"{error.hint}\n{without}"))
    raise_together(problems)
    inputs = scene.inputs | {name: found.source for name, found in networks.items()}
    inputs |= {"diffusion": diffusion.source} if diffusion else {}
    return produce(
        "evaluation", _place(config, run), config=config, inputs=inputs, run=run, seed=config.seed,
        build=_Work(config, run, scene, networks, diffusion).build,
    )  # fmt: skip


def _place(config: EvaluateConfig, run: RunOptions) -> Path:
    workspace = Workspace(run.work, run.dataset or FOREIGN)
    if run.subject is not None:
        return workspace.place(run, "evaluation")
    return workspace.root / (f"evaluation-{run.label}" if run.label else "evaluation")


@dataclass(frozen=True)
class _Work:
    """One evaluation."""

    config: EvaluateConfig
    run: RunOptions
    scene: SubjectScene | FolderScene
    networks: Mapping[str, FoundNetwork]
    diffusion: Weights | None

    def build(self, draft: Draft) -> None:
        """Assess, then write tables, figures and report."""
        if not draft.main:
            return
        from mindanim.metrics.evaluation import Material, assess
        from mindanim.metrics.inputs.nearest_training import NEAREST
        from mindanim.vocabulary.scratch import Scratch

        scene, scratch = self.scene, Scratch(draft.path)
        nearest = self._nearest(scratch)
        material = Material(
            test=scene.test,
            clips=scene.clips,
            features=scene.features,
            networks=self._load(scene.test.shape[0]),
            backbones={name: found.backbone for name, found in self.networks.items()},
            mean_frames=scene.mean_frames,
            contenders={**scene.contenders, NEAREST: nearest},
        )
        batch = self.run.batch or max(1, self.config.batch_frames // scene.test.shape[0])
        found = assess(self.config, material, batch, runtime.threads(), scratch)
        self._write(draft, self._data(found), found, nearest)

    def _data(self, found: Assessment) -> dict[str, Any]:
        """The content of metrics.json."""
        from mindanim.metrics.evaluation_text import audit
        from mindanim.metrics.published_results import quoted

        dataset = self.run.dataset or FOREIGN
        lineage = lineage_of(*self.scene.lineage)
        for text in dict.fromkeys(finding["text"] for artifact in lineage for finding in artifact.findings):
            console.warn(f"Audit: {text}")
        return {
            "dataset": dataset,
            "study": self.scene.study or dataset,
            "subject": self.run.subject,
            "label": self.run.label,
            "source": self.scene.source,
            **found.data,
            "quoted": quoted(dataset),
            "audit": audit(lineage, self.scene.notes, found.notes),
        }

    def _load(self, frames: int) -> dict[str, Any]:
        from mindanim.metrics.families.metric import Loading
        from mindanim.metrics.networks import load_networks

        device = runtime.pick_device(self.run.device)
        # Scores must not depend on the machine: full precision unless another one is asked for.
        precision = "fp32" if self.run.precision == "auto" else self.run.precision
        dtype = runtime.pick_dtype(precision, device)
        return load_networks(self.networks, Loading(device, dtype, self.run.offline, frames))

    def _nearest(self, scratch: Scratch) -> Contender | str:
        """The floor of the nearest training clips, or why it is missing."""
        from mindanim.metrics.inputs.nearest_training import nearest_training_floor

        if not isinstance(self.scene, SubjectScene):
            return "the training clips are not known."
        if self.diffusion is None:
            return "training clips are kept as latents; name their model with --set diffusion=NAME"
        stimuli = self.scene.artifacts["stimuli"]
        encoder = stimuli.manifest["inputs"].get("diffusion", {}).get("identity")
        if encoder not in (None, self.diffusion.identity):
            return f"the stimuli were encoded by another diffusion model than {self.config.diffusion}."
        device = runtime.pick_device(self.run.device)
        backbone = load_diffusion(self.diffusion.name, device, None, self.run.offline)
        videos = self.scene.artifacts["videos"]
        return nearest_training_floor(videos, stimuli, self.scene.test, backbone, scratch)

    def _write(self, draft: Draft, data: dict[str, Any], found: Assessment, nearest: Contender | str) -> None:
        from mindanim.metrics.evaluation_text import findings, methods
        from mindanim.metrics.inputs.nearest_training import NEAREST
        from mindanim.metrics.score_figures import draw_differences, draw_motion_test
        from mindanim.report.clip_choice import chosen_clips
        from mindanim.report.film_strips import encode_strip
        from mindanim.report.latex import table_latex
        from mindanim.report.markdown import table_markdown
        from mindanim.report.provenance import Origin
        from mindanim.stages.comparison import siblings_of
        from mindanim.stages.report import write_page

        draft.save_json("metrics.json", data)
        draft.save_table("per_clip.tsv", found.per_clip, units=found.units)
        draft.save_array("pairing_null.npy", found.null, axes="metric permutation")
        draft.save_bytes("table.md", table_markdown(data).encode())
        draft.save_bytes("table.tex", table_latex(data).encode())
        with draft.write("figures/scores.png") as path:
            draw_differences(path, data)
        if data["motion_test"] is not None:
            with draft.write("figures/motion_test.png") as path:
                draw_motion_test(path, data)
        said = methods(data, self.config)
        for sentence in said:
            draft.methods(sentence)
        for code, text in findings(data["subset"], self.scene.notes, found.notes):
            draft.finding(code, text)
        above = [score["id"] for score in data["scores"] if score["above_floor"]]
        draft.fact(clips=data["clips"], subset=data["subset"], above_floor=above)
        if not isinstance(nearest, str):
            for row, _ in chosen_clips(data, found.per_clip, self.config.report_clips, self.config.seed):
                name = f"floors/{NEAREST}/{self.scene.test.clip_ids[row]}.webp"
                draft.save_bytes(name, encode_strip(nearest.clips[row]))
        if isinstance(self.scene, SubjectScene) and self.scene.lacking:
            names = ", ".join(self.scene.lacking)
            console.say(f"Not compared with: {names}. To generate them, and then evaluate with --force:")
            for command in self.scene.lacking.values():
                console.say(f"  {command}")
        with draft.write("report.html") as path:
            write_page(
                path,
                data,
                found.per_clip,
                self.scene,
                own_methods=said,
                origin=Origin.of_this_call(_place(self.config, self.run), self.config.seed),
                nearest=draft.path / "floors" / NEAREST,
                null=found.null,
                siblings=siblings_of(_place(self.config, self.run)),
            )
