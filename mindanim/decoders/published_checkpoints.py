"""Convert checkpoints of Mind-Animator's published code to decoders of this package.

Names and shapes in such a file follow from the method and are listed here; widths and numbers of layers are
inferred from the file. Every key must be known: a file with an extra or missing key, or one of another shape,
is refused with the list of them. The query and key projections of the motion generator's attention to a
single memory token are dropped: they have no effect, since its softmax is always 1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from mindanim.decoders.base import Decoder, Shapes
from mindanim.decoders.build import build
from mindanim.decoders.models.cmg import sinusoids
from mindanim.errors import InputError

State = dict[str, Tensor]
Pairs = Iterator[tuple[str, str]]

_SHOWN = 6
_SEMANTIC_HEAD = (0, 2, 3, 5, 6, 8)
_WRAPPED = ("state_dict", "model_state_dict", "model")


@dataclass(frozen=True)
class Layout:
    """Layout of one kind of checkpoint.

    Attributes:
        spec: Infers our decoder's arguments from the file's shapes; KeyError if a tensor is missing.
        pairs: Names of our layers and theirs.
        idle: Pattern of keys that have no effect.
    """

    spec: Callable[[State], dict[str, Any]]
    pairs: Callable[[State], Pairs]
    idle: str


def read_checkpoint(path: Path) -> State:
    """The tensors of a ``.pth`` file by name, on the CPU; no code in the file is executed.

    The state dict may be inside a training checkpoint under one of the usual names, and its keys may have the
    prefix of a parallel wrapper.

    Raises:
        InputError: The file contains no state dict.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"No file {path}.", hint="Check the path.") from None
    except (OSError, RuntimeError, UnpicklingError, EOFError, ValueError, KeyError) as error:
        # torch's own message recommends to lift the restriction.
        why = "It contains more than tensors, or was not written by torch."
        raise InputError(
            f"{path} cannot be read as a checkpoint.",
            why if isinstance(error, UnpicklingError) else " ".join(str(error).split())[:300],
            "A pickled model is not opened since it could run code: on a machine where you trust it, save "
            "only its state_dict().",
        ) from error
    wrapped = next((name for name in _WRAPPED if isinstance(content, Mapping) and name in content), None)
    state = content[wrapped] if wrapped else content
    if not isinstance(state, Mapping) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError(f"{path} contains no state dict.", "Expected tensors by name.")
    return {str(name).removeprefix("module."): value for name, value in state.items()}


def import_decoder(
    kind: str, state: State, shapes: Shapes, path: Path, *, heads: int = 4, rollout_mask: str = "first"
) -> Decoder:
    """Make a decoder from a published state dict, ready to predict; its scalers are the identity.

    Args:
        kind: semantic, structure or motion.
        state: The tensors.
        shapes: Sizes of the study's responses and targets.
        path: The file, for errors.
        heads: Of the motion generator; not recorded in the file.
        rollout_mask: Of the motion generator; not recorded in the file.

    Raises:
        InputError: Keys or shapes differ from what they must be; names them.
    """
    layout = LAYOUTS[kind]
    try:
        spec = layout.spec(state)
    except KeyError as error:
        raise _refused(kind, state, path, [f"{error.args[0]} is missing"]) from None
    if kind == "motion":
        spec |= {"heads": heads, "rollout_mask": rollout_mask}
    decoder = build(kind, spec, shapes).eval()
    own = decoder.state_dict()
    names = dict(layout.pairs(state))
    wanted = {
        f"{theirs}.{their_end}": f"{ours}.{our_end}"
        for ours, theirs in names.items()
        for our_end, their_end in _ends(theirs)
    }
    problems = [f"{name} is missing" for name in wanted if name not in state]
    problems += [
        f"{name} is {_size(state[name])} instead of {_size(own[ours])}"
        for name, ours in wanted.items()
        if name in state and state[name].shape != own[ours].shape
    ]
    problems += [
        f"{name} is unknown" for name in state if name not in wanted and not re.fullmatch(layout.idle, name)
    ]
    problems += _position_problems(state, shapes)
    if problems:
        raise _refused(kind, state, path, problems)
    decoder.load_state_dict({ours: state[name].float() for name, ours in wanted.items()}, strict=False)
    return decoder


def _ends(theirs: str) -> tuple[tuple[str, str], ...]:
    """Our and their names for a layer's two arrays."""
    norm = theirs.endswith("norm")
    return (("weight", "a_2" if norm else "weight"), ("bias", "b_2" if norm else "bias"))


def _count(state: State, pattern: str) -> int:
    """Number of distinct layers; the group in ``pattern`` is a layer's number."""
    return len({match[1] for name in state if (match := re.match(pattern, name))})


def _width(state: State, name: str) -> int:
    return int(state[name].shape[0])


def _semantic_spec(state: State) -> dict[str, Any]:
    # The trunk's width is that of CLIP's space.
    head = [_width(state, f"lin1.{place}.weight") for place in (2, 5)]
    return {"decoder": "mlp", "blocks": _count(state, r"mlp\.(\d+)\."), "head_widths": head}


def _semantic_pairs(state: State) -> Pairs:
    yield from _trunk_pairs(state, "", "")
    yield from ((f"head.{place}", f"lin1.{place}") for place in _SEMANTIC_HEAD)


def _trunk_pairs(state: State, prefix: str, pattern: str) -> Pairs:
    yield from ((f"trunk.{place}", f"{prefix}lin0.{place}") for place in (0, 1))
    for block in range(_count(state, rf"{pattern}mlp\.(\d+)\.")):
        yield from ((f"trunk.{4 + block}.layers.{k}", f"{prefix}mlp.{block}.{k}") for k in (0, 1))


def _structure_spec(state: State) -> dict[str, Any]:
    blocks = _count(state, r"mlp\.(\d+)\.")
    return {"decoder": "mlp", "width": _width(state, "lin0.0.weight"), "blocks": blocks}


def _structure_pairs(state: State) -> Pairs:
    yield "trunk.0", "lin0.0"
    for block in range(_count(state, r"mlp\.(\d+)\.")):
        yield f"trunk.{2 + block}.layers.0", f"mlp.{block}.0"
    yield from ((f"head.{place}", f"lin1.{place}") for place in (0, 2))


def _motion_spec(state: State) -> dict[str, Any]:
    first = "decoder.layers.0"
    return {
        "decoder": "cmg",
        "norm": "deviation",
        "width": _width(state, f"{first}.self_attn.linears.0.weight"),
        "layers": _count(state, r"decoder\.layers\.(\d+)\."),
        "feedforward": _width(state, f"{first}.feed_forward.w_1.weight"),
        "fmri_width": _width(state, "encoder.lin0.0.weight"),
        "fmri_blocks": _count(state, r"encoder\.mlp\.(\d+)\."),
    }


def _motion_pairs(state: State) -> Pairs:
    yield from _trunk_pairs(state, "encoder.", r"encoder\.")
    yield "to_memory.0", "encoder.lin1.0" if "encoder.lin1.0.weight" in state else "encoder.lin1"
    for layer in range(_count(state, r"decoder\.layers\.(\d+)\.")):
        ours, theirs = f"layers.{layer}", f"decoder.layers.{layer}"
        for place, name in enumerate(("query", "key", "value")):
            yield f"{ours}.attention.{name}", f"{theirs}.self_attn.linears.{place}"
        yield f"{ours}.attention.out", f"{theirs}.self_attn.linears1"
        yield f"{ours}.memory.value", f"{theirs}.src_attn.linears.2"
        yield f"{ours}.memory.out", f"{theirs}.src_attn.linears1"
        yield f"{ours}.feedforward.0", f"{theirs}.feed_forward.w_1"
        yield f"{ours}.feedforward.2", f"{theirs}.feed_forward.w_2"
        yield from ((f"{ours}.norms.{k}", f"{theirs}.sublayer.{k}.norm") for k in range(3))
    yield "norm", "decoder.norm"


LAYOUTS = {
    "semantic": Layout(_semantic_spec, _semantic_pairs, r"logit_scale"),
    "structure": Layout(_structure_spec, _structure_pairs, r"logit_scale"),
    "motion": Layout(
        _motion_spec,
        _motion_pairs,
        r"logit_scale|encoder\.logit_scale|tgt_embed\.(\d+\.)?pe"
        r"|decoder\.layers\.\d+\.src_attn\.linears\.[01]\.(weight|bias)",
    ),
}


def _position_problems(state: State, shapes: Shapes) -> list[str]:
    """Positions are a fixed code, not learned; a file with another code was trained with another network."""
    found = []
    for name in (name for name in state if re.fullmatch(r"tgt_embed\.(\d+\.)?pe", name)):
        codes = state[name].reshape(-1, state[name].shape[-1])[: shapes.frames - 1].float()
        expected = sinusoids(shapes.frames - 1, shapes.latent_size)
        if codes.shape != expected.shape:
            found.append(f"{name} is {_size(state[name])}, of another width than {shapes.latent_size}")
        elif not torch.allclose(codes, expected, atol=1e-4):
            found.append(f"{name} is not the sine-cosine code of positions")
    return found


def _size(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a number"


def _refused(kind: str, state: State, path: Path, problems: list[str]) -> InputError:
    rest = len(problems) - _SHOWN
    more = f"; and {rest} more" if rest > 0 else ""
    seems = "motion" if any(name.startswith("decoder.layers.") for name in state) else ""
    seems = seems or (
        "semantic" if "lin0.1.weight" in state else "structure" if "lin0.0.weight" in state else ""
    )
    hint = "Was it trained on another subject, study or selection of voxels?"
    if seems not in ("", kind):
        hint = f"It looks like a {seems} decoder: mindanim import-checkpoint {seems} {path}"
    return InputError(
        f"{path} is not a published {kind} decoder for these responses and stimuli.",
        f"{'; '.join(problems[:_SHOWN])}{more}.",
        hint,
    )
