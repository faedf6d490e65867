"""``mindanim generate``: responses, three decoders and a diffusion model become videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any, get_args

from mindanim import console, runtime
from mindanim.artifacts import Artifact, Draft, Source, Workspace, produce
from mindanim.artifacts.files import write_text
from mindanim.backbones import DiffusionBackbone, load_diffusion
from mindanim.config.generation import Feature, GenerateConfig
from mindanim.config.run import RunOptions
from mindanim.errors import InputError, MindanimError, raise_together

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from mindanim.generation.features import Known
    from mindanim.generation.generator import Generator

_SHEET_CLIPS = 12
_UNITS = {
    "row": "row in the test arrays of the responses, from 0",
    "onset_s": "s after the film's onset",
    "duration_s": "s",
}


def generate(config: GenerateConfig, run: RunOptions) -> Artifact:
    """Write the ``videos`` artifact of ``run.subject``.

    Raises InputError when inputs are missing or do not belong together, MissingError without the diffusion
    model's weights.
    """
    workspace = Workspace.of(run)
    names = [feature for feature in get_args(Feature) if config.is_decoded(feature)]
    artifacts = {name: workspace.read(run, name) for name in ("fmri", "stimuli", *names)}
    device = runtime.pick_device(run.device)
    precision = runtime.pick_dtype(run.precision, device)
    backbone = load_diffusion(config.diffusion, device, precision, run.offline)
    work = _Work(config, run, artifacts, names, backbone)
    work.check()
    inputs: dict[str, Artifact | Source] = {**artifacts, "diffusion": backbone.weights.source}
    path = workspace.place(run, "videos")
    return produce(
        "videos",
        path,
        config=config,
        inputs=inputs,
        run=run,
        seed=config.seed,
        build=work.build,
        expected_bytes=work.expected_bytes(),
        contribute=work.contribute,
    )


@dataclass(frozen=True)
class _Work:
    """One subject's generation."""

    config: GenerateConfig
    run: RunOptions
    artifacts: Mapping[str, Artifact]
    decoded: Sequence[Feature]
    backbone: DiffusionBackbone

    @property
    def stimuli(self) -> Artifact:
        return self.artifacts["stimuli"]

    @cached_property
    def clips(self) -> pd.DataFrame:
        """The test clips of the subject, with `row`, their row in the responses, and `stimulus`, that in the
        features.
        """
        table = self.stimuli.table("clips.tsv")
        there = {name: row for row, name in enumerate(table["clip_id"])}
        mine = self.artifacts["fmri"].table("clips.tsv")
        test = mine[mine["split"] == "test"].reset_index(drop=True)
        if missing := [name for name in test["clip_id"] if name not in there]:
            raise InputError(
                f"{len(missing)} test clips have responses but no encoded stimuli, {missing[0]} the first.",
                why=f"{self.stimuli.path} was made from other films, or from a part of them.",
                mend="Run: mindanim encode-stimuli",
            )
        stimulus = [there[name] for name in test["clip_id"]]
        return test.assign(
            row=range(len(test)), stimulus=stimulus, caption=table["caption"].iloc[stimulus].to_numpy()
        )

    @cached_property
    def chosen(self) -> pd.DataFrame:
        """The rows of `clips` that are to be made."""
        from mindanim.generation.choice import chosen_rows

        rows = chosen_rows(list(self.clips["clip_id"]), self.config.clips, self.config.limit)
        return self.clips.iloc[rows].reset_index(drop=True)

    @cached_property
    def shape(self) -> tuple[int, int, int, int]:
        """(frame, channel, height, width) of one clip's latents."""
        frames, channels, height, width = self.stimuli.array("latents.npy").shape[1:]
        return frames, channels, height, width

    @cached_property
    def fps(self) -> Fraction:
        """Frames per second at which the films were sampled, hence of the videos."""
        return Fraction(self.stimuli.facts["fps"]).limit_denominator(1001)

    def check(self) -> None:
        """Raise InputError for everything that does not belong together."""
        problems: list[MindanimError] = []
        stimuli, backbone = self.stimuli, self.backbone
        for name in self.decoded:
            problems += [
                self._stranger(name, used) for used in ("fmri", "stimuli") if self._differ(name, used)
            ]
        encoder = stimuli.manifest["inputs"].get("diffusion", {"identity": backbone.weights.identity})
        width = stimuli.array("empty_tokens.npy").shape[-1]
        if (
            encoder["identity"] != backbone.weights.identity
            or self.shape[1] != backbone.latent_shape[0]
            or width != backbone.text_width
        ):
            problems.append(
                InputError(
                    f"{stimuli.path} was encoded by another diffusion model than {backbone.weights.name}.",
                    why="Latents and text conditions mean nothing to any other model than their own.",
                    mend="Name the same model for both (--set diffusion=...), or encode the stimuli again.",
                )
            )
        raise_together(problems)
        self.chosen  # noqa: B018 - refuses clips that do not exist

    def _differ(self, decoder: Feature, used: str) -> bool:
        trained_on = self.artifacts[decoder].manifest["inputs"].get(used)
        return trained_on is not None and trained_on["identity"] != self.artifacts[used].identity

    def _stranger(self, decoder: Feature, used: str) -> InputError:
        return InputError(
            f"The {decoder} decoder in {self.artifacts[decoder].path} was trained on another {used} than "
            f"that in {self.artifacts[used].path}.",
            why="It reads, or gives, other numbers than these.",
            mend=f"Choose inputs that belong together with --use {used}=LABEL, or train it again: "
            f"mindanim train-{decoder}",
        )

    def expected_bytes(self) -> int:
        """Frames, their films and the decoded features, about."""
        frames, channels, height, width = self.shape
        pixels = (height * width) * (self.backbone.frame_size // self.backbone.latent_shape[-1]) ** 2
        tokens = self.stimuli.array("empty_tokens.npy").size
        return len(self.chosen) * (frames * (4 * pixels + 2 * channels * height * width) + 2 * tokens)

    def build(self, draft: Draft) -> None:
        """Generate the clips that are not there yet; then arrays, table, sheet and facts."""
        batch = self._generate(draft, self.chosen)
        runtime.wait_for_all()
        if draft.main:
            self._finish(draft, batch)

    def contribute(self, draft: Draft) -> bool:
        """Generate one share of the clips; whether those of all shares are there now."""
        from mindanim.generation.store import ClipStore

        if self.run.share is not None:
            which, count = self.run.share
            self._generate(draft, self.chosen.iloc[which - 1 :: count])
        return all(map(ClipStore(draft).has, self.chosen["clip_id"]))

    def _generate(self, draft: Draft, wanted: pd.DataFrame) -> int:
        """Make the clips of ``wanted`` that are not there, batch after batch; returns clips per batch."""
        import numpy as np
        import torch

        from mindanim.decoders import load
        from mindanim.generation.features import features, noise_responses
        from mindanim.generation.generator import Generator
        from mindanim.generation.store import ClipStore

        known = self._known()
        responses = self._responses()
        if self.config.no_brain:
            responses = noise_responses(responses, list(self.clips["clip_id"]), self.config.seed)
        generator = Generator.of(
            self.config, self.backbone, self.shape[0], known.empty, low_memory=self.run.low_memory
        )
        batch = self._batch(draft, generator)
        batches = [wanted.iloc[start : start + batch] for start in range(0, len(wanted), batch)]
        mine = batches[runtime.rank() :: runtime.world_size()]
        store = ClipStore(draft)
        mine = [clips for clips in mine if not all(map(store.has, clips["clip_id"]))]
        if not mine:
            return batch
        decoders = {name: load(self.artifacts[name].path, self.backbone.device) for name in self.decoded}
        with console.progress(sum(map(len, mine)), "Generating clips") as follow:
            for clips in mine:
                signal = torch.from_numpy(np.array(responses[clips["row"]], np.float32))
                given = features(self.config, decoders, signal, known, clips["stimulus"].to_numpy())
                frames = generator.frames(given, list(clips["clip_id"]))
                for place, clip_id in enumerate(clips["clip_id"]):
                    if not store.has(clip_id):
                        store.put(clip_id, given, place, frames[place], self.fps)
                follow.advance(len(clips))
        return batch

    def _responses(self) -> NDArray[np.float32]:
        """The test clips' responses (clip, lag, voxel), averaged over the chosen repeats."""
        from mindanim.generation.features import half_of_repeats

        fmri = self.artifacts["fmri"]
        if self.config.repeats == "all":
            return fmri.array("test_responses.npy")
        half = half_of_repeats(fmri.array("test_repeats.npy"), self.config.repeats)
        if half is None:
            raise InputError(
                f"Some test clips in {fmri.path} have no {self.config.repeats} repeat.",
                why="Half of the repeats needs at least two of each clip.",
            )
        return half

    def _batch(self, draft: Draft, generator: Generator) -> int:
        """Clips at a time. A continued run takes the batches of the killed one: equal batches give equal
        bytes.
        """
        note = draft.scratch(f"batch{draft.part}")
        if draft.main and (self.run.batch is not None or not note.exists()):
            write_text(note, str(generator.batch(self.run.batch)))
        runtime.wait_for_all()
        return int(note.read_text())

    def _known(self) -> Known:
        import numpy as np

        from mindanim.generation.features import Known

        stimuli, train = self.stimuli, self.stimuli.table("clips.tsv")["split"] == "train"
        latents, clip = stimuli.array("latents.npy"), stimuli.array("clip_text.npy")[:, 0]
        means: dict[Feature, NDArray[Any]] = {}
        if "semantic" in self.config.without:
            means["semantic"] = clip[train].mean(axis=0)
        if "structure" in self.config.without:
            means["structure"] = latents[:, 0][train].mean(axis=0, dtype=np.float64)
        tokens, empty = stimuli.array("text_tokens.npy"), stimuli.array("empty_tokens.npy")
        return Known(clip, tokens, latents, empty, means)

    def _finish(self, draft: Draft, batch: int) -> None:
        from mindanim.generation.account import evaluations, methods
        from mindanim.generation.store import ClipStore

        config, chosen, total = self.config, self.chosen, len(self.clips)
        columns = ["clip_id", "segment", "film", "onset_s", "duration_s", "caption", "row"]
        draft.save_table("clips.tsv", chosen[columns], units=_UNITS)
        ClipStore(draft).collect(list(chosen["clip_id"]))
        self._draw_sheet(draft)
        for text in methods(config, self.backbone, self.shape[0]):
            draft.methods(text)
        if len(chosen) < total:
            text = (
                f"Only {len(chosen)} of {total} test clips were generated: scores are those of this subset."
            )
            draft.finding("subset", text, clips=len(chosen), of=total)
        draft.fact(
            clips=len(chosen),
            test_clips=total,
            frames=self.shape[0],
            fps=float(self.fps),
            sampler=config.sampler,
            evaluations_per_clip=evaluations(config),
            decoded=list(self.decoded),
            no_brain=config.no_brain,
            clips_at_a_time=batch,
        )

    def _draw_sheet(self, draft: Draft) -> None:
        """Truth and reconstruction of up to twelve clips, spread evenly over those that were made."""
        import numpy as np

        from mindanim.generation.render import contact_sheet

        shown = self.chosen.iloc[np.linspace(0, len(self.chosen) - 1, _SHEET_CLIPS).round().astype(int)]
        shown = shown.drop_duplicates("clip_id")
        table = self.stimuli.table("clips.tsv")
        test = list(table.loc[table["split"] == "test", "clip_id"])
        truth = self.stimuli.array("test_frames.npy")
        with draft.write("figures/contact_sheet.png") as path:
            contact_sheet(
                path,
                [truth[test.index(name)] for name in shown["clip_id"]],
                [np.load(draft.path / f"clips/{name}.npy") for name in shown["clip_id"]],
                [f"{clip.clip_id}   {clip.caption}" for clip in shown.itertuples()],
            )
