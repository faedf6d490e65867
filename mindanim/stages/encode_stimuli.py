"""``mindanim encode-stimuli``: turns the study's films into the features that decoders learn."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindanim import console, runtime
from mindanim.artifacts import Artifact, Draft, Source, Workspace, produce, with_data
from mindanim.artifacts.columns import STIMULI_CLIPS
from mindanim.backbones import (
    DiffusionBackbone,
    Kind,
    Weights,
    clip_width,
    load_captioner,
    load_clip,
    load_diffusion,
    locate,
)
from mindanim.config.encode_stimuli import EncodeStimuliConfig
from mindanim.config.run_options import RunOptions
from mindanim.config.suggestion import command
from mindanim.errors import ConfigError, InputError, MindanimError, MissingError, raise_together
from mindanim.studies import Study, open_study
from mindanim.studies.checks.duplicates import near_duplicates, perceptual_hash
from mindanim.studies.checks.leakage import audit_clips
from mindanim.studies.tables import read_captions
from mindanim.vocabulary.clips import Clip
from mindanim.vocabulary.limits import SHEET_CLIPS
from mindanim.vocabulary.runs import Film

if TYPE_CHECKING:
    import torch

    from mindanim.stimuli.encoding import Encoding, Models
    from mindanim.stimuli.frames import Sampling

_COLUMNS = ("clip_id", "split", "segment", "film", "onset_s", "duration_s")


def encode_stimuli(config: EncodeStimuliConfig, run: RunOptions) -> Artifact:
    """Write the ``stimuli`` artifact of a study.

    Raises:
        InputError: Films or captions are missing, damaged or do not fit the study's clips.
        MissingError: The models' weights are not here.
        ConfigError: The options do not fit the models.
    """
    run = with_data(run)
    assert run.data is not None, "with_data finds it or raises"
    study = open_study(run.need_dataset(), run.data, run.allow_partial, run.study)
    work = _Work(config, run, study)
    work.check()
    return produce(
        "stimuli",
        Workspace.of(run).place(run, "stimuli"),
        config=config,
        inputs=work.inputs(),
        run=run,
        seed=config.seed,
        build=work.build,
        expected_bytes=work.expected_bytes,
    )


@dataclass(frozen=True)
class _Work:
    """One study's encoding."""

    config: EncodeStimuliConfig
    run: RunOptions
    study: Study

    @cached_property
    def films(self) -> list[Film]:
        return self.study.films()

    @cached_property
    def clips(self) -> list[Clip]:
        """The clips of the films that are there, training clips first; their order is that of all arrays."""
        there = {film.name for film in self.films}
        clips = [clip for clip in self.study.clips() if clip.film in there]
        return sorted(clips, key=lambda clip: clip.split != "train")

    @cached_property
    def given_captions(self) -> list[str] | None:
        """Captions of `clips` from the user's table or the study's; None when there is neither."""
        from mindanim.stimuli.captions import HDF5, match_captions, read_hdf5

        given, clips = self.config.captions, self.study.clips()
        if given.endswith(HDF5):
            files = [Path(name) for name in given.split(",")]
            found: dict[str, str] | None = read_hdf5(files, [clip.clip_id for clip in clips])
        else:
            found = read_captions(Path(given), clips) if given else self.study.captions()
        if found is None:
            return None
        source = given or f"The captions of {self.study.facts.title}"
        return match_captions(found, [clip.clip_id for clip in self.clips], source)

    @cached_property
    def diffusion(self) -> DiffusionBackbone:
        return load_diffusion(self.config.diffusion, self.device, self.dtype, self.run.offline)

    @cached_property
    def weights(self) -> dict[str, Weights]:
        """The models' files by kind, those that this run needs."""
        weights = {
            "diffusion": self.diffusion.weights,
            "clip": locate(self.config.clip, "clip", self.run.offline),
        }
        if self.given_captions is None:
            weights["captioner"] = locate(self.config.captioner, "captioner", self.run.offline)
        return weights

    @cached_property
    def device(self) -> torch.device:
        return runtime.pick_device(self.run.device)

    @cached_property
    def dtype(self) -> torch.dtype:
        return runtime.pick_dtype(self.run.precision, self.device)

    @cached_property
    def sampling(self) -> Sampling:
        from mindanim.stimuli.frames import Sampling

        config = self.config
        return Sampling(config.frames, self.diffusion.frame_size, config.spacing, config.fit, config.centre)

    @cached_property
    def _synonyms(self) -> dict[str, tuple[str, ...]]:
        from mindanim.stimuli.augment import read_synonyms

        return read_synonyms(Path(self.config.synonyms) if self.config.synonyms else None)

    @property
    def expected_bytes(self) -> int:
        """About what the artifact takes on disk."""
        channels, height, width = self.diffusion.latent_shape
        test = sum(clip.split == "test" for clip in self.clips)
        latents = len(self.clips) * self.config.frames * channels * height * width * 2
        pictures = test * self.config.frames * self.sampling.size**2 * 3
        texts = len(self.clips) * self.config.tokens * self.diffusion.text_width * 2
        embeddings = len(self.clips) * self.config.views * 2 * clip_width(self.weights["clip"]) * 4
        return latents + pictures + texts + embeddings

    def check(self) -> None:
        """Raise for everything that can be known before the work; films are opened for --dry-run only."""
        if not self.clips:
            study = self.study.facts.title
            raise InputError(f"No film of {study} is there.", why=f"Looked in {self.study.root}.")
        if self.given_captions is None and not self.config.captioner:
            table = command("init captions", self.run)
            raise InputError(
                f"{self.study.facts.title} has no captions, and no captioner is named.",
                hint=f"Give a table with --captions FILE, or a BLIP-2 model with --captioner NAME\n"
                f"To write a table of all clips to fill in: {table}",
            )
        self._locate()
        if self.config.tokens > self.diffusion.max_tokens:
            raise ConfigError(
                f"{self.config.tokens} tokens are more than {self.config.diffusion} takes.",
                hint=f"Use --tokens {self.diffusion.max_tokens} or fewer.",
            )
        if self.run.dry_run:
            from mindanim.stimuli.film_stream import check_films

            check_films(self.films, self.clips, self.sampling)

    def _locate(self) -> None:
        """Raise for all models that are not here, before any of them is loaded."""
        problems: list[MindanimError] = []
        names: dict[Kind, str] = {"diffusion": self.config.diffusion, "clip": self.config.clip}
        if self.given_captions is None:
            names["captioner"] = self.config.captioner
        for kind, name in names.items():
            try:
                locate(name, kind, self.run.offline)
            except MissingError as error:
                problems.append(error)
        if problems and self.run.recipe != "demo":
            demo = command("encode-stimuli", self.run.model_copy(update={"recipe": "demo"}))
            last = problems[-1]
            last.hint += f"\nTo try everything first, with small networks and without downloads: {demo}"
        raise_together(problems)

    def inputs(self) -> dict[str, Source]:
        """The films, the clips in them, the captions, and the models: all that decides the result."""
        clips = [[clip.clip_id, clip.split, clip.film, clip.onset_s, clip.duration_s] for clip in self.clips]
        inputs = {
            "films": Source.of_files("films", [film.path for film in self.films], self.study.root),
            "clips": Source("clips", _digest(clips), {"clips": len(clips)}),
            **{kind: weights.source for kind, weights in self.weights.items()},
        }
        if self.given_captions is not None:
            table = self.config.captions or "the study's own"
            inputs["captions"] = Source("captions", _digest(self.given_captions), {"table": table})
        if {"synonyms", "insertion"} & set(self.config.edits):
            table = self.config.synonyms or "built in"
            inputs["synonyms"] = Source("synonyms", _digest(self._synonyms), {"table": table})
        return inputs

    def build(self, draft: Draft) -> None:
        """Films first, batch by batch; then the captions, which need no film; then the record."""
        from mindanim.stimuli.encoding import Encoding, Models, encode_films
        from mindanim.stimuli.film_stream import check_films

        console.say(
            f"Encoding {len(self.clips)} clips of {len(self.films)} films; "
            f"about {self.expected_bytes / 1e9:.2f} GB in {draft.path.parent}."
        )
        draft.fact(fps=check_films(self.films, self.clips, self.sampling))
        draft.computes_in(runtime.precision_name(self.dtype))
        machine = self.device, self.dtype, self.run.offline
        captioner = load_captioner(self.config.captioner, *machine) if "captioner" in self.weights else None
        models = Models(self.diffusion, load_clip(self.config.clip, *machine), captioner)
        models.clip.embed_texts([""])  # a tokenizer that is not there shows before the films are read
        train, test = (
            [clip.clip_id for clip in self.clips if clip.split == split] for split in ("train", "test")
        )
        encoding = Encoding(draft, models, self.config, train, test, perceptual_hash)
        films = self.films[runtime.rank() :: runtime.world_size()]
        encode_films(encoding, films, self.clips, self.sampling, self.run.batch)
        runtime.wait_for_all()
        if draft.main:
            made = encoding.generated_captions()
            captions = self.given_captions or [made[clip.clip_id] for clip in self.clips]
            encoding.write_texts(captions, self._synonyms)
            encoding.write_mean()
            encoding.write_hashes()
            hashes = encoding.hashes(train), encoding.hashes(test)
            vectors = dict(zip([*train, *test], encoding.first_views()[0], strict=True))
            looks = near_duplicates(*hashes, embeddings=vectors)
            for finding in (*looks, *audit_clips(self.clips, (), self.study.facts)):
                draft.finding(finding.code, finding.text, **finding.data)
            self._check_order(draft, encoding)
            self._write(draft, encoding, captions)
            self._account(draft, models)

    def _check_order(self, draft: Draft, encoding: Encoding) -> None:
        """Say so where given captions seem to be those of other clips."""
        from mindanim.stimuli.captions import misplaced

        if self.given_captions is None:
            return
        if wrong := misplaced(*encoding.first_views()):
            draft.finding("misplaced-captions", wrong[0], **wrong[1])

    def _write(self, draft: Draft, encoding: Encoding, captions: Sequence[str]) -> None:
        """The table of clips and the contact sheet."""
        import pandas as pd

        from mindanim.stimuli.contact_sheet import draw_sheet

        table = pd.DataFrame([{name: getattr(clip, name) for name in _COLUMNS} for clip in self.clips])
        draft.save_table("clips.tsv", table.assign(caption=captions), units=STIMULI_CLIPS)
        test = [
            (clip.clip_id, text)
            for clip, text in zip(self.clips, captions, strict=True)
            if clip.split == "test"
        ]
        shown = test[:: max(1, len(test) // SHEET_CLIPS)][:SHEET_CLIPS]
        if shown:
            with draft.write("figures/clips.png") as path:
                rows = [(clip_id, caption, encoding.frames_of(clip_id)) for clip_id, caption in shown]
                draw_sheet(path, rows, f"{self.study.facts.title}: test clips and their captions")

    def _account(self, draft: Draft, models: Models) -> None:
        """Facts, methods and what was left out."""
        from mindanim.stimuli.encoding_text import findings, methods

        config, declared = self.config, len(self.study.clips())
        for code, text, data in findings(len(self.clips), declared):
            draft.finding(code, text, **data)
        draft.fact(
            frames_per_clip=config.frames,
            frame_size=self.sampling.size,
            latent_shape=list(self.diffusion.latent_shape),
            tokens=config.tokens,
            views=config.views,
            clips={split: sum(clip.split == split for clip in self.clips) for split in ("train", "test")},
            partial=len(self.clips) < declared,
            backbones={
                kind: {"name": weights.name, "sha256": weights.identity, "licence": weights.licence}
                for kind, weights in self.weights.items()
            },
        )
        names = {kind: weights.name for kind, weights in self.weights.items()}
        for sentence in methods(config, names, self.sampling.size, models.clip.dim):
            draft.methods(sentence)


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
