"""``mindanim evaluate``: videos and ground truth become metrics with floors, uncertainty and a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from mindanim import console, runtime
from mindanim.artifacts import Artifact, Draft, Source, Workspace, ancestors, produce
from mindanim.artifacts.artifact import MANIFEST
from mindanim.backbones import Weights, load_clip, load_image_classifier, load_video_classifier, locate
from mindanim.config.evaluation import EvaluateConfig
from mindanim.config.run import RunOptions

if TYPE_CHECKING:
    from mindanim.metrics.assess import Assessment
    from mindanim.metrics.material import FileClips, TestSet
    from mindanim.metrics.scored import Contender
    from mindanim.metrics.semantic import Networks
    from mindanim.report import ClipView, Curve

_NETWORKS: tuple[Literal["image_classifier", "video_classifier", "clip"], ...] = (
    "image_classifier",
    "video_classifier",
    "clip",
)
_HOW = {"oracle": "--oracle all", "no-brain": "--no-brain"}


def evaluate(config: EvaluateConfig, run: RunOptions) -> Artifact:
    """Write the ``evaluation`` artifact of ``run.subject``.

    Raises InputError when reconstructions are missing, do not belong to the test clips or differ in size from
    the ground truth; MissingError without a network's weights.
    """
    workspace = Workspace.of(run)
    artifacts = {name: workspace.read(run, name) for name in ("fmri", "stimuli", "videos")}
    beside: dict[str, Artifact] = {}
    for name, label in {"oracle": config.ceiling, "no-brain": config.no_brain}.items():
        place = workspace.stage(run.need_subject(), "videos", label)
        if label and place != artifacts["videos"].path and (place / MANIFEST).exists():
            beside[name] = workspace.load(place)
    weights: dict[str, Weights] = {
        kind: locate(name, kind, run.offline) for kind in _NETWORKS if (name := getattr(config, kind))
    }
    work = _Work(config, run, artifacts, beside, weights)
    work.clips  # noqa: B018 - refuses reconstructions that are missing, of other clips, or of another size
    inputs: dict[str, Artifact | Source] = {**artifacts, **beside}
    inputs |= {kind: found.source for kind, found in weights.items()}
    path = workspace.place(run, "evaluation")
    return produce(
        "evaluation", path, config=config, inputs=inputs, run=run, seed=config.seed, build=work.build
    )


@dataclass(frozen=True)
class _Work:
    """One subject's evaluation."""

    config: EvaluateConfig
    run: RunOptions
    artifacts: Mapping[str, Artifact]
    beside: Mapping[str, Artifact]
    weights: Mapping[str, Weights]

    @cached_property
    def test(self) -> TestSet:
        from mindanim.metrics.material import read_test_set

        videos = self.artifacts["videos"]
        return read_test_set(self.artifacts["fmri"], self.artifacts["stimuli"], videos, self.config.subset)

    @cached_property
    def clips(self) -> FileClips:
        from mindanim.metrics.material import read_videos

        return read_videos(self.artifacts["videos"], self.test)

    @cached_property
    def contenders(self) -> dict[str, Contender | str]:
        """Other videos of the same clips by name, or how to get them."""
        from mindanim.metrics.material import read_contender

        stimuli, found = self.artifacts["stimuli"], {}
        for name, label in {"oracle": self.config.ceiling, "no-brain": self.config.no_brain}.items():
            if name in self.beside:
                found[name] = read_contender(self.beside[name], self.test, stimuli)
            elif label:
                command = f"mindanim generate {_HOW[name]} --label {label}"
                found[name] = f"not computed; run `{command}` first, then evaluate again."
            else:
                found[name] = "not asked for."
        return found

    def build(self, draft: Draft) -> None:
        """Assess, then write tables, figures and report."""
        if not draft.main:
            return
        from mindanim.metrics.assess import Material, assess
        from mindanim.metrics.material import read_features
        from mindanim.metrics.published import quoted

        stimuli = self.artifacts["stimuli"]
        mean = "mean_frames.npy"
        material = Material(
            test=self.test,
            clips=self.clips,
            features=read_features(self.artifacts["videos"], self.test, stimuli),
            networks=self._load(),
            clip_name=self.config.clip or "",
            backbones={kind: {"name": w.name, "sha256": w.identity} for kind, w in self.weights.items()},
            mean_frames=stimuli.array(mean) if mean in stimuli.outputs else f"{stimuli.path} has no {mean}.",
            contenders=self.contenders,
        )
        batch = self.run.batch or max(1, self.config.batch_frames // self.test.shape[0])
        found = assess(self.config, material, batch, runtime.threads())
        data = {
            "dataset": self.run.need_dataset(),
            "subject": self.run.need_subject(),
            "label": self.run.label,
            **found.data,
            "quoted": quoted(self.run.need_dataset()),
            "audit": [
                finding | {"artifact": artifact.path.name}
                for artifact in _lineage(*self.artifacts.values())
                for finding in artifact.findings
            ],
        }
        for text in dict.fromkeys(finding["text"] for finding in data["audit"]):
            console.warn(f"Audit: {text}")
        self._write(draft, data, found)

    def _load(self) -> Networks:
        from mindanim.metrics.semantic import Networks

        device = runtime.pick_device(self.run.device)
        # Scores shall not depend on the machine: full precision unless another one is asked for.
        precision = "fp32" if self.run.precision == "auto" else self.run.precision
        dtype = runtime.pick_dtype(precision, device)
        loaders = (load_image_classifier, load_video_classifier, load_clip)
        loaded: dict[str, Any] = {
            kind: load(self.weights[kind].name, device, dtype, self.run.offline)
            for kind, load in zip(_NETWORKS, loaders, strict=True)
            if kind in self.weights
        }
        return Networks(**loaded)

    def _write(self, draft: Draft, data: dict[str, Any], found: Assessment) -> None:
        from mindanim.metrics.account import methods
        from mindanim.metrics.figures import draw_differences, draw_motion_test
        from mindanim.metrics.tables import table_markdown
        from mindanim.report.html import write_report

        draft.save_json("metrics.json", data)
        draft.save_table("per_clip.tsv", found.per_clip, units=found.units)
        draft.save_bytes("table.md", table_markdown(data).encode())
        with draft.write("figures/scores.png") as path:
            draw_differences(path, data["scores"])
        if data["motion_test"] is not None:
            with draft.write("figures/motion_test.png") as path:
                draw_motion_test(path, data["motion_test"])
        for sentence in methods(data, self.config):
            draft.methods(sentence)
        if data["subset"]:
            draft.finding("subset", f"Scored on a subset: {data['subset']}.")
        for refusal in data["refused"]:
            draft.finding("refused", f"{refusal['id']} is not computed: {refusal['reason']}.", **refusal)
        above = [score["id"] for score in data["scores"] if score["above_floor"]]
        draft.fact(clips=data["clips"], subset=data["subset"], above_floor=above)
        lineage = _lineage(*self.artifacts.values())
        said = [sentence for artifact in lineage for sentence in artifact.manifest["methods"]]
        with draft.write("report.html") as path:
            write_report(
                path,
                metrics=data,
                per_clip=found.per_clip,
                clips=self._views(found),
                curves=[_curve(artifact) for artifact in lineage if "history.tsv" in artifact.outputs],
                provenance=[_record(artifact) for artifact in lineage],
                methods=[*said, *methods(data, self.config)],
                findings=[
                    {"text": f"{one['id']} is not computed: {one['reason']}."} for one in data["refused"]
                ],
                fps=self.artifacts["stimuli"].facts.get("fps"),
                score_name=found.ranked_by.name if found.ranked_by else "",
            )

    def _views(self, found: Assessment) -> list[ClipView]:
        """Clips for the report, spread evenly over the test set."""
        import numpy as np

        from mindanim.metrics.scored import Contender
        from mindanim.report import ClipView

        test, metric = self.test, found.ranked_by
        count = min(self.config.report_clips, len(test.clips))
        rows = np.unique(np.linspace(0, len(test.clips) - 1, count).round().astype(int))
        goodness = np.full(len(test.clips), np.nan)
        if metric is not None:
            goodness = metric.sign * found.per_clip[metric.id].to_numpy()
        others = {name: one.clips for name, one in self.contenders.items() if isinstance(one, Contender)}
        return [
            ClipView(
                test.clip_ids[row],
                test.captions[row],
                float(goodness[row]),
                test.truth[row],
                self.clips[row],
                {name: clips[row] for name, clips in others.items()},
            )
            for row in rows
        ]


def _lineage(*artifacts: Artifact) -> list[Artifact]:
    """These artifacts and all that they were made from, inputs first, each once."""
    found: dict[str, Artifact] = {}
    for artifact in artifacts:
        above = [ancestor.artifact for ancestor in ancestors(artifact) if ancestor.artifact is not None]
        for one in (*_lineage(*above), artifact):
            found.setdefault(str(one.path.resolve()), one)
    return list(found.values())


def _record(artifact: Artifact) -> dict[str, str]:
    manifest = artifact.manifest
    return {
        "artifact": artifact.path.name,
        "identity": artifact.identity[:12],
        "command": " ".join(manifest["command"]),
        "version": manifest["version"],
        "commit": manifest["commit"] or "",
        "finished": manifest["finished"],
    }


def _curve(artifact: Artifact) -> Curve:
    from mindanim.report import Curve

    return Curve(artifact.kind, artifact.table("history.tsv"), artifact.facts.get("best_epoch"))
