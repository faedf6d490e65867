"""``mindanim generate``: responses, three decoders and a diffusion model become videos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from mindanim import console, runtime
from mindanim.artifacts import Artifact, Draft, Source, Workspace, produce
from mindanim.artifacts.files import write_text
from mindanim.backbones import load_diffusion
from mindanim.config.generate import Feature, GenerateConfig
from mindanim.config.run_options import RunOptions
from mindanim.errors import UsageError
from mindanim.stages.generation_inputs import TOGETHER, GenerationInputs
from mindanim.vocabulary.limits import SHEET_CLIPS

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from mindanim.generation.generator import Generator
    from mindanim.generation.store import ClipStore

_BATCH = "batch"
_UNITS = {
    "row": "row in the test arrays of the responses, from 0",
    "onset_s": "s after the film's onset",
    "duration_s": "s",
}


def generate(config: GenerateConfig, run: RunOptions) -> Artifact:
    """Write the ``videos`` artifact of ``run.subject``.

    Raises:
        InputError: Inputs are missing or do not belong together.
        MissingError: The weights of the diffusion model are missing.
        UsageError: `features` names the videos to be made.
    """
    workspace = Workspace.of(run)
    names = [feature for feature in get_args(Feature) if config.is_decoded(feature)]
    artifacts = workspace.read_all(run, "fmri", "stimuli", *names)
    place = workspace.place(run, "videos")
    if config.features == place.name:
        raise UsageError(
            f"features = {config.features} names the videos that this run makes.",
            hint="Give the new ones another name: --label NAME",
        )
    earlier = None
    if config.features:
        earlier = workspace.load(place.with_name(config.features), run, "--set features=NAME")
    device = runtime.pick_device(run.device)
    dtype = runtime.pick_dtype(run.precision, device)
    backbone = load_diffusion(config.diffusion, device, dtype, run.offline)
    given = GenerationInputs(config, artifacts, names, backbone, earlier)
    given.check()
    work = _Work(config, run, given, dtype)
    inputs: dict[str, Artifact | Source] = {**artifacts, "diffusion": backbone.weights.source}
    return produce(
        "videos",
        place,
        config=config,
        inputs=inputs,
        run=run,
        seed=config.seed,
        build=work.build,
        expected_bytes=work.expected_bytes(),
        contribute=work.contribute,
        covers=given.covers,
    )


@dataclass(frozen=True)
class _Work:
    """One subject's generation."""

    config: GenerateConfig
    run: RunOptions
    given: GenerationInputs
    dtype: torch.dtype

    def expected_bytes(self) -> int:
        """Approximate size of the frames, films and decoded features."""
        frames, channels, height, width = self.given.shape
        backbone = self.given.backbone
        pixels = (height * width) * (backbone.frame_size // backbone.latent_shape[-1]) ** 2
        decoded = 2 * (frames * channels * height * width + self.given.empty.size)
        # At the end the features are there twice: in one file per clip, and collected.
        return len(self.given.chosen) * (frames * 4 * pixels + 2 * decoded)

    def build(self, draft: Draft) -> None:
        """Generate the missing clips, then write arrays, table, contact sheet and facts."""
        self._adopt(draft)
        self._generate(draft, self.given.chosen)
        runtime.wait_for_all()
        if draft.main:
            self._finish(draft)

    def contribute(self, draft: Draft) -> bool:
        """Generate one share of the clips; return whether those of all shares are there."""
        from mindanim.generation.store import ClipStore

        chosen = self.given.chosen
        self._adopt(draft)
        if self.run.share is not None:
            which, count = self.run.share
            self._generate(draft, chosen.iloc[which - 1 :: count])
        return all(map(ClipStore(draft).has, chosen["clip_id"]))

    def _adopt(self, draft: Draft) -> None:
        """Take over the clips of the videos that are being extended, and their batch size."""
        from mindanim.generation.store import ClipStore

        if draft.main and draft.extends is not None:
            ClipStore(draft).adopt(draft.extends)
            note = draft.scratch(f"{_BATCH}{draft.part}")
            if not note.exists() and not self.run.low_memory:
                write_text(note, str(draft.extends.facts["clips_at_a_time"]))
        runtime.wait_for_all()

    def _generate(self, draft: Draft, wanted: pd.DataFrame) -> None:
        """Generate the missing clips of `wanted`: first the features of all, then frames batch by batch.

        Decoders and diffusion model are thus never in memory together.
        """
        from mindanim.generation.generator import Generator
        from mindanim.generation.store import ClipStore

        store, given = ClipStore(draft), self.given
        if all(map(store.has, wanted["clip_id"])):
            return
        draft.computes_in(runtime.precision_name(self.dtype))
        self._decode(store, wanted)
        generator = Generator.of(
            self.config, given.backbone, given.shape[0], given.empty, low_memory=self.run.low_memory
        )
        batch = self._batch(draft, generator)
        names = list(wanted["clip_id"])
        batches = [names[start : start + batch] for start in range(0, len(names), batch)]
        mine = batches[runtime.rank() :: runtime.world_size()]
        mine = [names for names in mine if not all(map(store.has, names))]
        with console.progress(sum(map(len, mine)), "Generating clips") as follow:
            for names in mine:
                frames = generator.frames(store.features(names), names)
                for place, name in enumerate(names):
                    if not store.has(name):
                        store.put(name, frames[place], given.fps)
                follow.advance(len(names))

    def _decode(self, store: ClipStore, wanted: pd.DataFrame) -> None:
        """Decode the features of the clips of `wanted` that have none yet.

        The groups are those of all test clips, so that the bits of a clip's features do not depend on which
        clips are wanted. Features that are only copied need no such care.
        """
        clips = self.given.clips if self.given.earlier is None else wanted
        groups = [clips.iloc[start : start + TOGETHER] for start in range(0, len(clips), TOGETHER)]
        groups = groups[runtime.rank() :: runtime.world_size()]
        lacking = {name for name in wanted["clip_id"] if not store.has_features(name)}
        groups = [group for group in groups if not lacking.isdisjoint(group["clip_id"])]
        if not groups:
            return
        with console.progress(sum(map(len, groups)), "Decoding features") as follow:
            for names, found in self.given.features(groups):
                for place, name in enumerate(names):
                    if not store.has_features(name):
                        store.put_features(name, found, place)
                follow.advance(len(names))

    def _batch(self, draft: Draft, generator: Generator) -> int:
        """Clips at a time; a continued run uses the batches of the killed one, which give the same bytes."""
        note = draft.scratch(f"{_BATCH}{draft.part}")
        if draft.main and (self.run.batch is not None or not note.exists()):
            write_text(note, str(generator.batch(self.run.batch)))
        runtime.wait_for_all()
        return int(note.read_text())

    def _finish(self, draft: Draft) -> None:
        from mindanim.generation.generation_text import findings, methods
        from mindanim.generation.samplers import SAMPLERS
        from mindanim.generation.store import ClipStore

        config, store, clips = self.config, ClipStore(draft), self.given.clips
        # Also those of an earlier request that was stopped, or is being extended.
        made, total = clips[clips["clip_id"].map(store.has)], len(clips)
        store.discard_all_but(list(made["clip_id"]))
        columns = ["clip_id", "segment", "film", "onset_s", "duration_s", "caption", "row"]
        draft.save_table("clips.tsv", made[columns], units=_UNITS)
        store.collect(list(made["clip_id"]))
        self._draw_sheet(draft, made)
        for text in methods(config, self.given.backbone, self.given.shape[0]):
            draft.methods(text)
        draft.retract("subset")
        for code, text, data in findings(len(made), total):
            draft.finding(code, text, **data)
        notes = draft.scratch(_BATCH).parent.glob(f"{_BATCH}*")  # one of each share
        draft.fact(
            clips=len(made),
            test_clips=total,
            frames=self.given.shape[0],
            fps=float(self.given.fps),
            sampler=config.sampler,
            evaluations_per_clip=SAMPLERS[config.sampler].evaluations(config),
            decoded=list(self.given.decoded),
            no_brain=config.no_brain,
            clips_at_a_time=max(int(note.read_text()) for note in notes),
        )

    def _draw_sheet(self, draft: Draft, made: pd.DataFrame) -> None:
        """Draw ground truth and reconstruction of up to twelve clips, spread evenly over those made."""
        import numpy as np

        from mindanim.generation.clip_files import contact_sheet

        shown = made.iloc[np.linspace(0, len(made) - 1, SHEET_CLIPS).round().astype(int)]
        shown = shown.drop_duplicates("clip_id")
        table = self.given.stimuli.table("clips.tsv")
        test = list(table.loc[table["split"] == "test", "clip_id"])
        truth = self.given.stimuli.array("test_frames.npy")
        with draft.write("figures/contact_sheet.png") as path:
            contact_sheet(
                path,
                [truth[test.index(name)] for name in shown["clip_id"]],
                [np.load(draft.path / f"clips/{name}.npy") for name in shown["clip_id"]],
                [f"{clip.clip_id}   {clip.caption}" for clip in shown.itertuples()],
            )
