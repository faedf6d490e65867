"""One caption per clip: checked when given, made by the paper's rule otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mindanim import runtime
from mindanim.errors import InputError
from mindanim.stimuli.sampling import middle

if TYPE_CHECKING:
    import torch

    from mindanim.backbones import Captioner, ClipBackbone


def match_captions(captions: Mapping[str, str], clip_ids: Sequence[str], source: str) -> list[str]:
    """The captions of the clips, in their order. Captions of other clips are left out.

    Raises InputError with both numbers and the clips concerned when clips have no caption or an empty one.
    """
    lacking = [clip_id for clip_id in clip_ids if not captions.get(clip_id, "").strip()]
    if lacking:
        named = ", ".join(lacking[:5]) + (f" and {len(lacking) - 5} more" if len(lacking) > 5 else "")
        raise InputError(
            f"{source}: {len(captions)} captions for {len(clip_ids)} clips.",
            why=f"Without a caption: {named}.",
            mend="Give one row per clip with the columns clip_id and caption, separated by a tab.",
        )
    return [captions[clip_id].strip() for clip_id in clip_ids]


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
