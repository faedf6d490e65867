"""The arrays of a ``stimuli`` artifact, filled one batch of clips at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mindanim import console, runtime
from mindanim.artifacts import Draft
from mindanim.artifacts.files import atomic_path, write_text
from mindanim.backbones import Captioner, ClipBackbone, DiffusionBackbone
from mindanim.config.encode_stimuli import EncodeStimuliConfig
from mindanim.errors import InputError
from mindanim.stimuli.augment import Synonyms, caption_views
from mindanim.stimuli.backbone_features import frame_latents, image_views, text_conditions, text_views
from mindanim.stimuli.captions import caption_clips
from mindanim.stimuli.film_stream import Batch, ahead, plan_batches, read_batches
from mindanim.stimuli.frames import Sampling, middle
from mindanim.stimuli.video import FilmFile
from mindanim.vocabulary.arrays import to_tensor
from mindanim.vocabulary.clips import Clip
from mindanim.vocabulary.runs import Film

_SUMS = "[0-9]*.npz"

Hash = Callable[[NDArray[np.uint8]], NDArray[np.bool_]]


@dataclass(frozen=True)
class Models:
    """The frozen models. captioner: None where captions are given."""

    diffusion: DiffusionBackbone
    clip: ClipBackbone
    captioner: Captioner | None


class Encoding:
    """Writes latents, embeddings and test frames into a draft that an earlier, killed run may have begun.

    Args:
        train, test: clip_ids in the order of the arrays' rows.
        look: Perceptual hash of frames, (frame, bit) bool. Every process of a launch makes one; each adds its
            own batches.
    """

    def __init__(
        self,
        draft: Draft,
        models: Models,
        config: EncodeStimuliConfig,
        train: Sequence[str],
        test: Sequence[str],
        look: Hash,
    ) -> None:
        self.draft, self.models, self.config = draft, models, config
        self._rows = {clip_id: row for row, clip_id in enumerate([*train, *test])}
        self._test = {clip_id: row for row, clip_id in enumerate(test)}
        self._look = look
        clips, frames, size = len(self._rows), config.frames, models.diffusion.frame_size
        self._latents = draft.open_array(
            "latents.npy",
            (clips, frames, *models.diffusion.latent_shape),
            "float16",
            axes="clip frame channel height width",
            unit="autoencoder latents times the model's scaling factor",
        )
        self._images = draft.open_array(
            "clip_image.npy",
            (clips, config.views, models.clip.dim),
            "float32",
            axes="clip view feature",
            unit="CLIP space, length 1; view 0 is the whole middle frame",
        )
        self._frames = draft.open_array(
            "test_frames.npy",
            (len(test), frames, size, size, 3),
            "uint8",
            axes="clip frame height width rgb",
            unit="0 to 255",
        )
        bits = look(np.zeros((1, size, size, 3), np.uint8)).shape[1]
        self._hashes = self._scratch("hashes.npy", (clips, frames, bits))

    def add(self, batch: Batch, frames: NDArray[np.uint8]) -> None:
        """Encode a batch and note that it is done.

        Args:
            frames: (clip, frame, height, width, rgb) at the model's frame size.

        Raises:
            InputError: A latent is not a finite number.
        """
        config, models = self.config, self.models
        rows = [self._rows[clip_id] for clip_id in batch.clip_ids]
        pixels = to_tensor(frames)
        latents = frame_latents(models.diffusion, pixels)
        if not np.isfinite(latents).all():
            worst = batch.clip_ids[int(np.argmin(np.isfinite(latents).all(axis=(1, 2, 3, 4))))]
            raise InputError(
                f"The latents of clip {worst} are not finite.",
                why="The autoencoder overflowed in the precision it ran in.",
                hint="Use --precision fp32",
            )
        self._latents[rows] = latents
        self._images[rows] = image_views(
            models.clip, pixels, batch.clip_ids, config.views, config.crop, config.seed
        )
        for clip_id, row, pictures in zip(batch.clip_ids, rows, frames, strict=True):
            self._hashes[row] = self._look(pictures)
            if clip_id in self._test:
                self._frames[self._test[clip_id]] = pictures
        if models.captioner is not None:
            self._note_captions(models.captioner, batch, pixels)
        self._add_to_sum(batch, frames)
        for array in (self._latents, self._images, self._frames, self._hashes):
            array.flush()
        self.draft.mark_done(batch.name)

    def write_texts(self, captions: Sequence[str], synonyms: Synonyms) -> None:
        """Embed the captions, one per clip in the order of the rows, and their edited views."""
        config, diffusion = self.config, self.models.diffusion
        views = [
            [caption, *caption_views(caption, clip_id, config.views - 1, config.edits, synonyms, config.seed)]
            for clip_id, caption in zip(self._rows, captions, strict=True)
        ]
        self.draft.save_array(
            "clip_text.npy",
            text_views(self.models.clip, views),
            axes="clip view feature",
            unit="CLIP space, length 1; view 0 is the caption as given",
        )
        conditions = text_conditions(diffusion, captions, config.tokens)
        unit = "hidden states of the diffusion model's text encoder"
        self.draft.save_array("text_tokens.npy", conditions, axes="clip token feature", unit=unit)
        empty = text_conditions(diffusion, [""], config.tokens)[0]
        self.draft.save_array("empty_tokens.npy", empty, axes="token feature", unit=unit)

    def write_mean(self) -> None:
        """Write the mean over the training clips, frame by frame: what one who knows only them expects."""
        parts = [np.load(path) for path in sorted(self.draft.scratch("sums").glob(_SUMS))]
        if clips := sum(len(part["clips"]) for part in parts):
            mean = sum(part["total"].astype(np.float64) for part in parts) / clips
            self.draft.save_array(
                "mean_frames.npy",
                np.rint(mean).astype(np.uint8),
                axes="frame height width rgb",
                unit="0 to 255, mean over the training clips",
            )

    def write_hashes(self) -> None:
        """Write the hash of each clip's middle frame, by which the same clip is known in another study."""
        self.draft.save_array(
            "frame_hash.npy",
            np.array(self._hashes[:, middle(self.config.frames)]),
            axes="clip bit",
            unit="bits of the middle frame's perceptual hash",
        )

    def generated_captions(self) -> dict[str, str]:
        """Captions that the captioner of any process has made, by clip_id."""
        captions: dict[str, str] = {}
        for file in self.draft.scratch("captions").glob("*.json"):
            captions |= json.loads(file.read_text(encoding="utf-8"))
        return captions

    def hashes(self, clip_ids: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
        """Perceptual hashes (frame, bit) of some clips."""
        return {clip_id: self._hashes[self._rows[clip_id]] for clip_id in clip_ids}

    def first_views(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """CLIP embeddings (clip, feature) of the clips' middle frames and captions, not augmented."""
        texts = np.load(self.draft.path / "clip_text.npy", mmap_mode="r")
        return np.array(self._images[:, 0]), np.array(texts[:, 0])

    def frames_of(self, clip_id: str) -> NDArray[np.uint8]:
        """Frames (frame, height, width, rgb) of a test clip."""
        frames: NDArray[np.uint8] = self._frames[self._test[clip_id]]
        return frames

    def _note_captions(self, captioner: Captioner, batch: Batch, pixels: torch.Tensor) -> None:
        config = self.config
        captions = caption_clips(
            captioner, self.models.clip, pixels, batch.clip_ids, config.caption_threshold, config.seed
        )
        file = self.draft.scratch(f"captions/{batch.clip_ids[0]}.json")
        write_text(file, json.dumps(dict(zip(batch.clip_ids, captions, strict=True))))

    def _add_to_sum(self, batch: Batch, frames: NDArray[np.uint8]) -> None:
        """Add training frames to this process's sum; it names its clips: none counts twice."""
        path = self.draft.scratch(f"sums/{runtime.rank()}.npz")
        counted = {clip_id for file in path.parent.glob(_SUMS) for clip_id in np.load(file)["clips"]}
        fresh = np.array([name not in self._test and name not in counted for name in batch.clip_ids])
        if not fresh.any():
            return
        total, clips = frames[fresh].sum(axis=0, dtype=np.uint32), np.array(batch.clip_ids)[fresh]
        if path.exists():
            kept = np.load(path)
            total, clips = total + kept["total"], np.concatenate([kept["clips"], clips])
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, total=total, clips=clips)

    def _scratch(self, name: str, shape: tuple[int, ...]) -> np.memmap:
        """A bool array that survives a kill and is no output."""
        path = self.draft.scratch(name)
        if self.draft.main and not path.exists():
            with atomic_path(path) as temporary:
                np.lib.format.open_memmap(temporary, mode="w+", dtype=np.dtype(bool), shape=shape).flush()
        runtime.wait_for_all()
        return np.lib.format.open_memmap(path, mode="r+")


def encode_films(
    encoding: Encoding, films: Sequence[Film], clips: Sequence[Clip], sampling: Sampling, batch: int | None
) -> None:
    """Add the clips of some films to an encoding, except for batches that an earlier run has finished.

    Args:
        encoding: Where the features go.
        films: This process's share of the films.
        clips: Clips of all films.
        sampling: Which frames represent a clip.
        batch: Clips at a time; None chooses by memory.
    """
    by_film = {film.name: [clip for clip in clips if clip.film == film.name] for film in films}
    bar: console.Progress[None] = console.progress(sum(map(len, by_film.values())), "Encoding clips")
    with bar:
        for film in films:
            file = FilmFile(film.path)
            batches = plan_batches(file, film.name, by_film[film.name], sampling, batch)
            left = [one for one in batches if not encoding.draft.is_done(one.name)]
            bar.advance(len(by_film[film.name]) - sum(len(one.clips) for one in left))
            for one, frames in ahead(read_batches(file, left, sampling)):
                encoding.add(one, frames)
                bar.advance(len(one.clips))
