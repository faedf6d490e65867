"""Checkpoints of Mind-Animator's published code as decoders of this package.

Names and shapes in such a file follow from the method and are listed here; widths and numbers of layers are
read off the file. Every key is accounted for: a file with a key too many, too few or of another shape is
refused, and the error says which. Two parts of the motion generator are left behind because they have no
effect: the query and key projections of the attention to a single memory token, whose softmax is always 1.
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
    """How one kind of checkpoint is laid out.

    spec: the arguments of our decoder, from the file's shapes; KeyError where the file lacks what they are
    read from. pairs: our layers' names and theirs. idle: keys that have no effect.
    """

    spec: Callable[[State], dict[str, Any]]
    pairs: Callable[[State], Pairs]
    idle: str


def read_checkpoint(path: Path) -> State:
    """The tensors of a ``.pth`` file by name, on the CPU; nothing in the file is executed.

    A state dict may lie under one of the usual names of a training checkpoint, and its keys may have the
    prefix of a parallel wrapper. Raises InputError when the file holds no state dict.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"There is no file {path}.", hint="Check the path.") from None
    except (OSError, RuntimeError, UnpicklingError, EOFError, ValueError, KeyError) as error:
        # torch's own words advise to open the file without the restriction.
        why = "It holds more than tensors, or is none of torch's files."
        raise InputError(
            f"{path} cannot be read as a checkpoint.",
            why if isinstance(error, UnpicklingError) else " ".join(str(error).split())[:300],
            "A whole pickled model is not opened, for it could run code: save its state_dict() alone, on a "
            "machine where you trust it.",
        ) from error
    wrapped = next((name for name in _WRAPPED if isinstance(content, Mapping) and name in content), None)
    state = content[wrapped] if wrapped else content
    if not isinstance(state, Mapping) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError(f"{path} holds no state dict.", "Expected names with tensors.")
    return {str(name).removeprefix("module."): value for name, value in state.items()}


def import_decoder(
    kind: str, state: State, shapes: Shapes, path: Path, *, heads: int = 4, rollout_mask: str = "first"
) -> Decoder:
    """The decoder of a published state dict, ready to predict; its scalers are the identity.

    shapes: what the study's responses and targets are. heads, rollout_mask: of the motion generator; the
    file does not tell. Raises InputError naming every key and shape that differs from what they must be.
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
        f"{name} is not known" for name in state if name not in wanted and not re.fullmatch(layout.idle, name)
    ]
    problems += _position_problems(state, shapes)
    if problems:
        raise _refused(kind, state, path, problems)
    decoder.load_state_dict({ours: state[name].float() for name, ours in wanted.items()}, strict=False)
    return decoder


def _ends(theirs: str) -> tuple[tuple[str, str], ...]:
    """Our and their names of a layer's two arrays."""
    norm = theirs.endswith("norm")
    return (("weight", "a_2" if norm else "weight"), ("bias", "b_2" if norm else "bias"))


def _count(state: State, pattern: str) -> int:
    """Number of different layers whose number stands in the group of ``pattern``."""
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
    """Positions are a fixed code, not learned; a file with another code means another computation."""
    found = []
    for name in (name for name in state if re.fullmatch(r"tgt_embed\.(\d+\.)?pe", name)):
        codes = state[name].reshape(-1, state[name].shape[-1])[: shapes.frames - 1].float()
        expected = sinusoids(shapes.frames - 1, shapes.latent_size)
        if codes.shape != expected.shape:
            found.append(f"{name} is {_size(state[name])}, of another width than {shapes.latent_size}")
        elif not torch.allclose(codes, expected, atol=1e-4):
            found.append(f"{name} holds other codes than sines and cosines of the place")
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
    hint = "Is it of another subject, study or selection of voxels?"
    if seems not in ("", kind):
        hint = f"It looks like a {seems} decoder: mindanim import-checkpoint {seems} {path}"
    return InputError(
        f"{path} is no published {kind} decoder for these responses and stimuli.",
        f"{'; '.join(problems[:_SHOWN])}{more}.",
        hint,
    )
