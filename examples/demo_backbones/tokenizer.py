"""The vocabulary of the simulated world: one token for each of its words, bytes for all others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindanim.simulation import world

if TYPE_CHECKING:
    import torch
    from transformers import CLIPTokenizer

TOKENS = 20
"""Length of an encoded caption with BOS and EOS; the decoders predict these tokens."""
BOS, EOS = "<|startoftext|>", "<|endoftext|>"


def words() -> list[str]:
    """Every word of the captions and motion names, once, in a fixed order."""
    names = (*world.SIZES, *world.COLOURS, *world.OBJECTS, *world.BACKGROUNDS, *world.MOTIONS)
    texts = ("a the over and then in on at of with is moving", *names)
    return list(dict.fromkeys(" ".join(texts).replace("-", " ").split()))


def build_tokenizer(length: int = TOKENS) -> CLIPTokenizer:
    """A byte-level CLIP tokenizer with one token for every word of the world.

    Each word adds the merges that join what earlier merges leave of it; merges apply in the order of the
    list, so a later one cannot break an earlier word. Unknown words are split into pieces and bytes. EOS is
    also the padding and has the largest index, where CLIP's text towers look for it.
    """
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    vocabulary = letters + [letter + "</w>" for letter in letters]
    merges: list[tuple[str, str]] = []
    for word in words():
        pieces = [*word[:-1], word[-1] + "</w>"]
        for merge in merges:
            pieces = _join(pieces, merge)
        while len(pieces) > 1:
            merges.append((pieces[0], pieces[1]))
            pieces = _join(pieces, merges[-1])
            vocabulary.append("".join(merges[-1]))
    vocabulary = [*dict.fromkeys(vocabulary), BOS, EOS]
    return CLIPTokenizer(
        vocab={token: index for index, token in enumerate(vocabulary)},
        merges=merges,  # type: ignore[arg-type]
        model_max_length=length,
    )


def tokens(captions: list[str]) -> torch.Tensor:
    """Captions as token ids padded with EOS, (caption, token) int64."""
    import torch

    coded = build_tokenizer()(captions, padding="max_length", max_length=TOKENS, truncation=True)
    return torch.tensor(coded.input_ids)


def _join(pieces: list[str], merge: tuple[str, str]) -> list[str]:
    joined: list[str] = []
    for piece in pieces:
        if joined and (joined[-1], piece) == merge:
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined
