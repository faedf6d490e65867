"""Convert checkpoints of Mind-Animator's published code to decoders of this package.

Names and shapes in such a file follow from the method and are listed here; widths and numbers of layers are
inferred from the file. Every key must be known: a file with an extra or missing key, or one of another shape,
is refused with the list of them. The query and key projections of the motion generators' attention to a
single memory token are dropped: they have no effect, since its softmax is always 1.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mindanim.decoders.base import Decoder, Shapes
from mindanim.decoders.build import build
from mindanim.decoders.checkpoint_file import State, read_checkpoint, unusable
from mindanim.decoders.models.cmg import sinusoids
from mindanim.decoders.models.cmg_patches import codes, grid_codes
from mindanim.errors import InputError

__all__ = ["LAYOUTS", "import_decoder", "layout_of", "read_checkpoint"]

Pairs = Iterator[tuple[str, str]]

_SHOWN = 6
_SEMANTIC_HEAD = (0, 2, 3, 5, 6, 8)
_QKV = ("query", "key", "value")


@dataclass(frozen=True)
class Layout:
    """Layout of one kind of checkpoint.

    Attributes:
        spec: Infers our decoder's arguments from the file's shapes; KeyError if a tensor is missing.
        pairs: Names of our layers and theirs.
        idle: Pattern of keys that have no effect.
        codes: Pattern of fixed codes of positions -> the codes, from the sizes of a clip and the state. They
            are not learned; a file with others was trained with another network.
        assumed: Arguments of our decoder that a file does not record.
        arranged: Splits and reorders arrays whose layout differs from ours.
    """

    spec: Callable[[State], dict[str, Any]]
    pairs: Callable[[State], Pairs]
    idle: str
    codes: Mapping[str, Callable[[Shapes, State], Tensor]] = field(default_factory=dict)
    assumed: Mapping[str, Any] = field(default_factory=dict)
    arranged: Callable[[State], State] = dict


def import_decoder(
    kind: str,
    state: State,
    shapes: Shapes,
    path: Path,
    *,
    heads: int | None = None,
    rollout_mask: str | None = None,
) -> Decoder:
    """Make a decoder from a published state dict, ready to predict; its scalers are the identity.

    Args:
        kind: semantic, structure or motion.
        state: The tensors, as of `checkpoint_file.read_checkpoint`.
        shapes: Sizes of the study's responses and targets.
        path: The file, for errors.
        heads: Of the motion generator, where not those of the released scripts; not recorded in the file.
        rollout_mask: Likewise.

    Raises:
        InputError: Keys, shapes or types differ from what they must be, or values are not finite; names them.
    """
    layout = layout_of(kind, state)
    fixed = [name for name in state if any(re.fullmatch(pattern, name) for pattern in layout.codes)]
    learned = ((name, values) for name, values in state.items() if name not in fixed)
    broken = [why for name, values in learned if (why := unusable(name, values))]
    if broken:
        raise InputError(
            f"{path} contains weights that cannot be used.",
            f"{_some(broken)}.",
            "Save the network's own floating-point weights. A quantised model must be converted back first.",
        )
    try:
        spec = layout.spec(state)
    except (KeyError, IndexError, ZeroDivisionError) as error:
        raise _refused(kind, state, path, [f"{error.args[0]} is missing"]) from None
    given = {"heads": heads, "patch_heads": heads, "rollout_mask": rollout_mask}
    spec |= {name: given.get(name) or value for name, value in layout.assumed.items()}
    decoder = build(kind, spec, shapes).eval()
    own = decoder.state_dict()
    arranged = layout.arranged(state)
    names = dict(layout.pairs(state))
    wanted = {
        f"{theirs}.{their_end}": f"{ours}.{our_end}"
        for ours, theirs in names.items()
        for our_end, their_end in _ends(theirs)
    }
    problems = [f"{name} is missing" for name in wanted if name not in arranged]
    problems += [
        f"{name} is {_size(arranged[name])} instead of {_size(own[ours])}"
        for name, ours in wanted.items()
        if name in arranged and arranged[name].shape != own[ours].shape
    ]
    problems += [
        f"{name} is unknown"
        for name in arranged
        if name not in (*wanted, *fixed) and not re.fullmatch(layout.idle, name)
    ]
    problems += _position_problems(layout, state, shapes)
    if problems:
        raise _refused(kind, state, path, problems)
    decoder.load_state_dict({ours: arranged[name].float() for name, ours in wanted.items()}, strict=False)
    return decoder


def layout_of(kind: str, state: State) -> Layout:
    """The layout of a file of this kind; motion generators come with frames or with patches as tokens."""
    return _PATCHES if kind == "motion" and _is_patches(state) else LAYOUTS[kind]


def _is_patches(state: State) -> bool:
    return any(name.startswith(("frame_embedder.", "final_layer.")) for name in state)


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
        for place, name in enumerate(_QKV):
            yield f"{ours}.attention.{name}", f"{theirs}.self_attn.linears.{place}"
        yield f"{ours}.attention.out", f"{theirs}.self_attn.linears1"
        yield f"{ours}.memory.value", f"{theirs}.src_attn.linears.2"
        yield f"{ours}.memory.out", f"{theirs}.src_attn.linears1"
        yield f"{ours}.feedforward.0", f"{theirs}.feed_forward.w_1"
        yield f"{ours}.feedforward.2", f"{theirs}.feed_forward.w_2"
        yield from ((f"{ours}.norms.{k}", f"{theirs}.sublayer.{k}.norm") for k in range(3))
    yield "norm", "decoder.norm"


def _patches_spec(state: State) -> dict[str, Any]:
    embed = state["frame_embedder.proj.weight"]
    width = int(embed.shape[0])
    return {
        "decoder": "cmg-patches",
        "patch_size": int(embed.shape[-1]),
        "patch_width": width,
        "patch_layers": _count(state, r"blocks\.(\d+)\."),
        "mlp_ratio": _width(state, "blocks.0.mlp.fc1.weight") / width,
    }


def _patches_pairs(state: State) -> Pairs:
    yield "to_memory.1", "fMRI_to_spatial.1"
    yield "embed", "frame_embedder.proj"
    for block in range(_count(state, r"blocks\.(\d+)\.")):
        ours, theirs = f"layers.{block}", f"blocks.{block}"
        for name in _QKV:
            yield f"{ours}.temporal.{name}", f"{theirs}.temporal_attention.qkv.{name}"
        yield f"{ours}.temporal.out", f"{theirs}.temporal_attention.proj"
        yield f"{ours}.spatial.value", f"{theirs}.spatial_attention.linears.2"
        yield f"{ours}.spatial.out", f"{theirs}.spatial_attention.linears1"
        yield f"{ours}.feedforward.0", f"{theirs}.mlp.fc1"
        yield f"{ours}.feedforward.2", f"{theirs}.mlp.fc2"
    yield "head", "final_layer.linear"


def _patches_arranged(state: State) -> State:
    """Patches are embedded by a convolution and put out with channels last; queries, keys and values come
    from one layer."""
    embed, found = state["frame_embedder.proj.weight"], {}
    channels, side = embed.shape[1], embed.shape[-1]
    for name, values in state.items():
        if name == "frame_embedder.proj.weight":
            found[name] = values.flatten(1)
        elif name.startswith("final_layer.linear.") and len(values) == channels * side**2:
            by_place = values.reshape(side, side, channels, *values.shape[1:])
            found[name] = by_place.movedim(2, 0).flatten(0, 2)
        elif match := re.fullmatch(r"(blocks\.\d+\.temporal_attention\.qkv)\.(weight|bias)", name):
            parts = values.tensor_split(len(_QKV))
            found |= {f"{match[1]}.{part}.{match[2]}": one for part, one in zip(_QKV, parts, strict=True)}
        else:
            found[name] = values
    return found


def _patch_places(shapes: Shapes, state: State) -> Tensor:
    width, _, *_, side = state["frame_embedder.proj.weight"].shape
    return grid_codes(shapes.latent[1] // side, shapes.latent[2] // side, width)


LAYOUTS = {
    "semantic": Layout(_semantic_spec, _semantic_pairs, r"logit_scale"),
    "structure": Layout(_structure_spec, _structure_pairs, r"logit_scale"),
    "motion": Layout(
        _motion_spec,
        _motion_pairs,
        r"logit_scale|encoder\.logit_scale|decoder\.layers\.\d+\.src_attn\.linears\.[01]\.(weight|bias)",
        codes={r"tgt_embed\.(\d+\.)?pe": lambda shapes, _: sinusoids(shapes.frames - 1, shapes.latent_size)},
        assumed={"heads": 4, "rollout_mask": "first"},
    ),
}
_PATCHES = Layout(
    _patches_spec,
    _patches_pairs,
    r"(fMRI_to_temporal\.1|blocks\.\d+\.(spatial_attention\.linears\.[01]|adaLN_modulation\.1|temporal_norm1"
    r"|temporal_fc))\.(weight|bias)",
    codes={
        "pos_embed": _patch_places,
        "time_embed": lambda shapes, state: codes(
            shapes.frames - 1, len(state["frame_embedder.proj.weight"])
        ),
    },
    assumed={"patch_heads": 8, "rollout_mask": "causal"},
    arranged=_patches_arranged,
)


def _position_problems(layout: Layout, state: State, shapes: Shapes) -> list[str]:
    found = []
    for name, values in state.items():
        for pattern, made in layout.codes.items():
            if re.fullmatch(pattern, name):
                expected = made(shapes, state)
                given = values.reshape(-1, values.shape[-1] if values.dim() else 1)
                # A table of codes may be longer than a clip; what is not used is not read.
                given = (given[: len(expected)] if pattern.startswith("tgt_embed") else given).float()
                if given.shape != expected.shape:
                    found.append(f"{name} is {_size(values)}: expected codes of {_size(expected)}")
                elif not torch.allclose(given, expected, atol=1e-4):
                    found.append(f"{name} is not the sine-cosine code of positions")
    return found


def _some(problems: list[str]) -> str:
    """The first problems, and how many more there are."""
    rest = len(problems) - _SHOWN
    return "; ".join(problems[:_SHOWN]) + (f"; and {rest} more" if rest > 0 else "")


def _size(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a number"


def _refused(kind: str, state: State, path: Path, problems: list[str]) -> InputError:
    generator = _is_patches(state) or any(name.startswith("decoder.layers.") for name in state)
    seems = "motion" if generator else ""
    seems = seems or (
        "semantic" if "lin0.1.weight" in state else "structure" if "lin0.0.weight" in state else ""
    )
    hint = "Was it trained on another subject, study or selection of voxels?"
    if seems not in ("", kind):
        hint = f"It looks like a {seems} decoder: mindanim import-checkpoint {seems} {shlex.quote(str(path))}"
    return InputError(
        f"{path} is not a published {kind} decoder for these responses and stimuli.",
        f"{_some(problems)}.",
        hint,
    )
