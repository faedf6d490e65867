"""``mindanim evaluate``: videos and ground truth become metrics with floors, uncertainty and a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindanim import console, runtime
from mindanim.artifacts import Artifact, Draft, Source, Workspace, produce
from mindanim.backbones import (
    Weights,
    load_clip,
    load_diffusion,
    load_image_classifier,
    load_video_classifier,
    locate,
)
from mindanim.config.evaluate import EvaluateConfig
from mindanim.config.run_options import RunOptions
from mindanim.errors import MindanimError, MissingError, raise_together
from mindanim.stages.evaluation_folders import FolderScene
from mindanim.stages.evaluation_inputs import FOREIGN, SubjectScene, lineage_of, scene_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mindanim.backbones import Kind
    from mindanim.metrics.evaluation import Assessment
    from mindanim.metrics.families.semantic import Networks
    from mindanim.metrics.with_floors import Contender

_CLASSIFIERS: tuple[Kind, ...] = ("image_classifier", "video_classifier", "clip")
NEAREST = "nearest-train"


def evaluate(config: EvaluateConfig, run: RunOptions) -> Artifact:
    """Write the ``evaluation`` artifact of ``run.subject``, or of ``config.videos``.

    Raises InputError when reconstructions are missing, do not belong to the test clips or differ in size from
    the ground truth, or when an evaluation to compare with is not there; MissingError without a network's
    weights.
    """
    scene = scene_of(config, run)
    problems: list[MindanimError] = []
    for look in (lambda: scene.test, lambda: scene.clips):  # refuse what is missing or does not fit
        try:
            look()
        except MindanimError as error:
            problems.append(error)
            break
    if config.compare:  # the table comes last, a label that is not there is told first
        from mindanim.stages.comparison import compared_with

        try:
            compared_with(_place(config, run), config.compare)
        except MindanimError as error:
            problems.append(error)
    weights = _locate(config, run, scene, problems)
    raise_together(problems)
    work = _Work(config, run, scene, weights)
    inputs = scene.inputs | {kind: found.source for kind, found in weights.items()}
    inputs |= {name: _path_source(name, path) for name, path in work.checkpoints.items()}
    return produce(
        "evaluation", _place(config, run), config=config, inputs=inputs, run=run, seed=config.seed,
        build=work.build,
    )  # fmt: skip


def _locate(
    config: EvaluateConfig,
    run: RunOptions,
    scene: SubjectScene | FolderScene,
    problems: list[MindanimError],
) -> dict[str, Weights]:
    """The networks that the chosen groups of metrics look through."""
    wanted: list[Kind] = []
    if "semantic" in config.groups:
        wanted += ["image_classifier", "video_classifier"]
    if "semantic" in config.groups or "motion" in config.groups:
        wanted.append("clip")
    if isinstance(scene, SubjectScene):
        wanted.append("diffusion")
    weights = {}
    for kind in wanted:
        name = getattr(config, kind)
        if not name:
            continue
        try:
            weights[kind] = locate(name, kind, run.offline)
        except MissingError as error:
            without = f"Or go without it: --set {kind}=none. What is left out is then named in every table."
            problems.append(MissingError(error.what, why=error.why, hint=f"{error.hint}\n{without}"))
    return {str(kind): found for kind, found in weights.items()}


def _path_source(name: str, path: Path) -> Source:
    """A checkpoint file as an input."""
    return Source.of_files(name, [path], path.parent)


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
    weights: Mapping[str, Weights]

    @property
    def checkpoints(self) -> dict[str, Path]:
        """Weights that are single files of the user's own."""
        given = {"vifi": self.config.vifi, "raft": self.config.raft}
        return {name: path for name, path in given.items() if path is not None}

    def build(self, draft: Draft) -> None:
        """Assess, then write tables, figures and report."""
        if not draft.main:
            return
        from mindanim.metrics.evaluation import Material, assess
        from mindanim.metrics.inputs.scratch import Scratch
        from mindanim.metrics.published_results import quoted

        scene, dataset = self.scene, self.run.dataset or FOREIGN
        material = Material(
            test=scene.test,
            clips=scene.clips,
            features=scene.features,
            networks=self._load(scene.test.shape[0]),
            clip_name=self.config.clip or "",
            backbones=self._backbones(),
            mean_frames=scene.mean_frames,
            contenders={**scene.contenders, NEAREST: self._nearest(draft)},
        )
        batch = self.run.batch or max(1, self.config.batch_frames // scene.test.shape[0])
        found = assess(self.config, material, batch, runtime.threads(), Scratch(draft.path))
        lineage = lineage_of(*scene.lineage)
        data = {
            "dataset": dataset,
            "subject": self.run.subject,
            "label": self.run.label,
            "source": scene.source,
            **found.data,
            "quoted": quoted(dataset),
            "audit": [
                *(
                    finding | {"artifact": artifact.path.name}
                    for artifact in lineage
                    for finding in artifact.findings
                ),
                *({"code": "clips", "text": note, "data": {}, "artifact": "videos"} for note in scene.notes),
                *(
                    {"code": "coarse-p", "text": note, "data": {}, "artifact": "evaluation"}
                    for note in found.notes
                ),
            ],
        }
        for text in dict.fromkeys(finding["text"] for artifact in lineage for finding in artifact.findings):
            console.warn(f"Audit: {text}")
        self._write(draft, data, found, material)

    def _backbones(self) -> dict[str, dict[str, str]]:
        found = {kind: {"name": w.name, "sha256": w.identity} for kind, w in self.weights.items()}
        from mindanim.artifacts.files import sha256_of

        return found | {
            name: {"name": path.name, "sha256": sha256_of(path)} for name, path in self.checkpoints.items()
        }

    def _load(self, frames: int) -> Networks:
        from mindanim.backbones import load_raft, load_vifi
        from mindanim.metrics.families.semantic import Networks

        device = runtime.pick_device(self.run.device)
        # Scores shall not depend on the machine: full precision unless another one is asked for.
        precision = "fp32" if self.run.precision == "auto" else self.run.precision
        dtype = runtime.pick_dtype(precision, device)
        video = partial(load_video_classifier, frames=frames)
        loaders: tuple[Callable[..., Any], ...] = (load_image_classifier, video, load_clip)
        loaded: dict[str, Any] = {
            kind: load(self.weights[kind].name, device, dtype, self.run.offline)
            for kind, load in zip(_CLASSIFIERS, loaders, strict=True)
            if kind in self.weights
        }
        special = {"vifi": load_vifi, "raft": load_raft}
        loaded |= {name: special[name](path, device) for name, path in self.checkpoints.items()}
        return Networks(**loaded)

    def _nearest(self, draft: Draft) -> Contender | str:
        """The training clips with the features nearest to the decoded ones, as the autoencoder shows them."""
        from mindanim.metrics.inputs.scratch import Scratch
        from mindanim.metrics.inputs.test_set import ArrayClips, nearest_training_clips
        from mindanim.metrics.with_floors import Contender

        if not isinstance(self.scene, SubjectScene):
            return "the training clips are not known."
        if "diffusion" not in self.weights:
            return "training clips are kept as latents; name their model with --set diffusion=NAME."
        stimuli, test = self.scene.artifacts["stimuli"], self.scene.test
        encoder = stimuli.manifest["inputs"].get("diffusion", {}).get("identity")
        if encoder not in (None, self.weights["diffusion"].identity):
            return f"the stimuli were encoded by another diffusion model than {self.config.diffusion}."
        rows = nearest_training_clips(self.scene.artifacts["videos"], stimuli, test, Scratch(draft.path))
        unique, place = _unique(rows)
        device = runtime.pick_device(self.run.device)
        backbone = load_diffusion(self.weights["diffusion"].name, device, None, self.run.offline)
        latents = stimuli.array("latents.npy")
        if latents.shape[2:] != backbone.latent_shape:
            return "the autoencoder does not fit the latents of the stimuli."
        frames = _scratch(draft, (len(unique), *test.shape))
        with console.progress(len(unique), "nearest training clips") as follow:
            for number, row in enumerate(unique):
                shown = _decoded(backbone, latents[row])
                if shown.shape != test.shape:
                    return f"the autoencoder shows {shown.shape}, the clips are {test.shape}."
                frames[number] = shown
                follow.advance()
        return Contender(ArrayClips(frames, place), None)

    def _write(self, draft: Draft, data: dict[str, Any], found: Assessment, material: Any) -> None:
        from mindanim.metrics.evaluation_text import methods
        from mindanim.metrics.figures import draw_differences, draw_motion_test
        from mindanim.report.film_strips import encode_strip
        from mindanim.report.latex import table_latex
        from mindanim.report.markdown import table_markdown
        from mindanim.stages.comparison import siblings_of
        from mindanim.stages.provenance import Origin
        from mindanim.stages.report import shown_clips, write_page

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
        if data["subset"]:
            draft.finding("subset", f"Scored on a subset: {data['subset']}.")
        for note in self.scene.notes:
            draft.finding("clips", note)
        for note in found.notes:
            draft.finding("coarse-p", note)
        above = [score["id"] for score in data["scores"] if score["above_floor"]]
        draft.fact(clips=data["clips"], subset=data["subset"], above_floor=above)
        nearest = material.contenders[NEAREST]
        if not isinstance(nearest, str):
            for row, _ in shown_clips(data, found.per_clip, self.config.report_clips, self.config.seed):
                name = f"floors/{NEAREST}/{self.scene.test.clip_ids[row]}.webp"
                draft.save_bytes(name, encode_strip(nearest.clips[row]))
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


def _unique(rows: NDArray[np.intp]) -> tuple[list[int], list[int]]:
    import numpy as np

    unique, place = np.unique(rows, return_inverse=True)
    return [int(row) for row in unique], [int(number) for number in place]


def _scratch(draft: Draft, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Room on disk for frames, so that memory does not grow with the number of clips."""
    import numpy as np

    array: NDArray[np.uint8] = np.lib.format.open_memmap(
        draft.scratch("nearest.npy"), mode="w+", dtype=np.uint8, shape=shape
    )
    return array


def _decoded(backbone: Any, latents: NDArray[np.floating]) -> NDArray[np.uint8]:
    import numpy as np
    import torch

    frames = backbone.decode_latents(torch.from_numpy(np.asarray(latents, np.float32)))
    shown: NDArray[np.uint8] = (frames * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return shown
