"""One caption per clip: checked when given, made by the paper's rule otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mindanim import runtime
from mindanim.errors import InputError, MissingError
from mindanim.stimuli.frames import middle
from mindanim.vocabulary.words import names_and_more

if TYPE_CHECKING:
    import torch

    from mindanim.backbones import Captioner, ClipBackbone

HDF5 = (".h5", ".hdf5")
_ENOUGH_CLIPS = 50


def match_captions(captions: Mapping[str, str], clip_ids: Sequence[str], source: str) -> list[str]:
    """The captions of the clips, in their order. Captions of other clips are left out.

    Raises InputError with both numbers and the clips concerned when clips have no caption or an empty one.
    """
    lacking = [clip_id for clip_id in clip_ids if not captions.get(clip_id, "").strip()]
    if lacking:
        raise InputError(
            f"{source}: {len(captions)} captions for {len(clip_ids)} clips.",
            why=f"Without a caption: {names_and_more(lacking)}.",
            hint="Give one row per clip with the columns clip_id and caption, separated by a tab.",
        )
    return [captions[clip_id].strip() for clip_id in clip_ids]


def read_hdf5(paths: Sequence[Path], clip_ids: Sequence[str]) -> dict[str, str]:
    """Caption by clip_id from HDF5 files with one dataset of strings each, one after the other.

    The captions have no names in such files: their order is that of the study's clips, training first. Raises
    InputError where a file is missing, none, or holds no or several datasets of strings, and, with both
    numbers, where there are not as many captions as clips; MissingError without h5py.
    """
    captions = [caption for path in paths for caption in _strings(path)]
    if len(captions) != len(clip_ids):
        files = " and ".join(path.name for path in paths)
        raise InputError(
            f"{files}: {len(captions)} captions for {len(clip_ids)} clips.",
            "The captions of such a file have no names, so there must be one per clip, in the study's order, "
            "training clips first.",
            "Give all files, separated by commas (training first), or a table with clip_id and caption.",
        )
    return dict(zip(clip_ids, captions, strict=True))


def _strings(path: Path) -> list[str]:
    try:
        import h5py
    except ImportError as error:
        raise MissingError(
            f"{path} cannot be read without h5py.", hint="Install it: pip install 'mindanim[h5]'"
        ) from error
    if not path.is_file():
        raise InputError(f"The captions {path} are missing.", hint="Correct --captions.")
    datasets: dict[str, Any] = {}

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and (h5py.check_string_dtype(item.dtype) or item.dtype.kind == "S"):
            datasets[name] = item[()]

    try:
        with h5py.File(path, "r") as file:
            file.visititems(note)
        (values,) = datasets.values()
        texts = [one.decode("utf-8") if isinstance(one, bytes) else str(one) for one in np.ravel(values)]
    except OSError as error:
        raise InputError(f"{path} is not a readable HDF5 file.", str(error), "Download it again.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} holds text that is not UTF-8.", str(error), "Write it as UTF-8.") from error
    except ValueError as error:
        names = f"these: {', '.join(datasets)}" if datasets else "none"
        raise InputError(
            f"{path} does not hold one dataset of strings.",
            f"Of such datasets it has {names}.",
            "Keep the captions alone, or give a table with the columns clip_id and caption.",
        ) from error
    return texts


def misplaced(
    images: NDArray[np.float32], texts: NDArray[np.float32], most_shift: int = 10
) -> tuple[str, dict[str, float]] | None:
    """Whether captions seem to belong to other clips than theirs: what is wrong, and the numbers; else None.

    images, texts ``(clip, feature)``: CLIP embeddings of each clip's picture and caption, in the order of the
    clips. The mean cosine of a clip with its own caption is compared with that of any two, and with that of
    captions ``1 .. most_shift`` places earlier or later. Fewer than 50 clips say nothing.
    """
    count = len(images)
    if count < _ENOUGH_CLIPS:
        return None
    images, texts = images - images.mean(0), texts - texts.mean(0)
    own = np.einsum("cf,cf->c", images, texts, dtype=np.float64)
    best, score = 0, 3.0  # standard errors
    for shift in (*range(-most_shift, 0), *range(1, most_shift + 1)):
        rows = np.arange(max(0, -shift), count - max(0, shift))
        gain = np.einsum("cf,cf->c", images[rows], texts[rows + shift], dtype=np.float64) - own[rows]
        if gain.mean() > score * gain.std() / np.sqrt(len(rows)):
            best, score = shift, float(gain.mean() * np.sqrt(len(rows)) / gain.std())
    if best:
        text = f"The captions fit the pictures better when they are moved by {-best} clips."
        return text, {"shift": -best, "standard_errors": round(score, 2)}
    if own.mean() < 2 * own.std() / np.sqrt(count):
        text = "The captions fit the pictures of their clips no better than those of other clips."
        return text, {"excess_cosine": round(float(own.mean()), 5)}
    return None


def caption_clips(
    captioner: Captioner,
    clip: ClipBackbone,
    frames: torch.Tensor,
    clip_ids: Sequence[str],
    threshold: float,
    seed: int,
) -> list[str]:
    """Captions by the paper's rule, from the first and the last frame of each clip.

    frames: (clip, frame, channel, height, width) in [0, 1]. threshold: when the cosines of the two captions
    to the middle frame differ by more than this, the caption is "A, and then B"; otherwise one of the two, at
    random (by `seed` and clip_id).
    """
    first, last = captioner.caption(frames[:, 0]), captioner.caption(frames[:, -1])
    images = clip.embed_images(frames[:, middle(frames.shape[1])])
    cosines = [(clip.embed_texts(texts) * images).sum(1) for texts in (first, last)]
    apart = ((cosines[0] - cosines[1]).abs() > threshold).tolist()
    captions = []
    for one, other, differ, clip_id in zip(first, last, apart, clip_ids, strict=True):
        if differ:
            captions.append(f"{one}, and then {other}")
        else:
            captions.append((one, other)[runtime.named_rng(seed, clip_id, "caption").integers(2)])
    return captions
