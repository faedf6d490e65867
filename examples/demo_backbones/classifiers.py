"""The image and the video classifier: small transformers with dense supervision from the ground truth.

One label per frame is too weak a signal to learn shapes from: the loss stays at chance for a long time.
Auxiliary heads therefore predict for every patch token which object it shows, and for every tube token how
that object moves and where the tube is (VideoMAE's fixed positions number all tubes in one sequence, without
rows and columns). These heads are dropped at export. The video network and CLIP's image tower are
initialised from the image network, which for CLIP also learns colour and size.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import (
    VideoMAEConfig,
    VideoMAEForVideoClassification,
    VideoMAEImageProcessor,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
)

from examples.demo_backbones.data import FRAMES, PATCH, SIZE, Pool
from examples.demo_backbones.loop import Record, Schedule, fit
from mindanim.simulation import world

OBJECTS, MOTIONS, GROUNDS = len(world.OBJECTS), len(world.MOTIONS), len(world.BACKGROUNDS)
COLOURS, SIZES = len(world.COLOURS), len(world.SIZES)
ROWS = SIZE // PATCH
COVERED = 0.3
"""A patch belongs to the object if the object covers at least this fraction of it."""
FLOW_SCALE = 5.0
"""Unit of flow in the loss, px/s: half the speed of a moving object."""

IMAGE_LABELS = [f"{thing} over {ground}" for thing in world.OBJECTS for ground in world.BACKGROUNDS]
VIDEO_LABELS = [f"{thing} {motion}" for thing in world.OBJECTS for motion in world.MOTIONS]

_SHAPE: dict[str, Any] = {
    "hidden_size": 128,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "intermediate_size": 256,
    "image_size": SIZE,
    "patch_size": PATCH,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "layer_norm_eps": 1e-6,
}
PIXEL_MEAN, PIXEL_STD = [0.5] * 3, [0.25] * 3


def pixels(frames: Any) -> torch.Tensor:
    """(..., height, width, rgb) uint8 -> (..., rgb, height, width) float32, scaled as exported."""
    scaled = torch.from_numpy(np.ascontiguousarray(frames)).float().movedim(-1, -3) / 255
    return (scaled - PIXEL_MEAN[0]) / PIXEL_STD[0]


def train_image_classifier(
    pool: Pool,
    steps: int = 1150,
    *,
    seed: int = 0,
    device: str = "cpu",
    checkpoint: Path | None = None,
    **options: Any,
) -> tuple[ViTForImageClassification, Record]:
    """Classify single frames, taken anywhere in a clip, by object and background together (60 classes)."""
    torch.manual_seed(seed)
    config = ViTConfig(**_SHAPE, **_names(IMAGE_LABELS))
    student = _Taught(ViTForImageClassification(config), OBJECTS + 1, COLOURS + SIZES).to(device)
    things, grounds = pool.attribute("object"), pool.attribute("background")
    colours, sizes = pool.attribute("colour"), pool.attribute("size")

    def loss(rng: np.random.Generator) -> torch.Tensor:
        clip, frame = rng.integers(len(pool.frames), size=96), rng.integers(FRAMES, size=96)
        with torch.autocast(device, torch.bfloat16):
            output = student.network.vit(pixels(pool.frames[clip, frame]).to(device))
        tokens = output.last_hidden_state.float()
        logits = student.network.classifier(tokens[:, 0])
        thing, ground = _index(things[clip], device), _index(grounds[clip], device)
        coverage = torch.from_numpy(pool.coverage[clip, frame].reshape(len(clip), -1)).to(device)
        colour, size = student.whole(tokens[:, 0]).split((COLOURS, SIZES), 1)
        return (
            _factored(logits, (thing, ground), (OBJECTS, GROUNDS))
            + _which_object(student.tokens(tokens[:, 1:]), coverage, thing)
            + 0.5 * functional.cross_entropy(colour, _index(colours[clip], device))
            + 0.5 * functional.cross_entropy(size, _index(sizes[clip], device))
        )

    averaged, record = fit(
        student, loss, Schedule(steps, 1.2e-3), seed=seed, checkpoint=checkpoint, **options
    )
    return averaged.network, record


def train_video_classifier(
    pool: Pool,
    start: ViTForImageClassification,
    steps: int = 700,
    *,
    seed: int = 0,
    device: str = "cpu",
    checkpoint: Path | None = None,
    **options: Any,
) -> tuple[VideoMAEForVideoClassification, Record]:
    """Classify clips by object and motion together (120 classes), starting from the image classifier."""
    torch.manual_seed(seed)
    config = VideoMAEConfig(**_SHAPE, num_frames=FRAMES, tubelet_size=2, **_names(VIDEO_LABELS))
    network = VideoMAEForVideoClassification(config)
    start_from_image(network, start)
    student = _Taught(network, sum(_TUBE_ANSWERS), GROUNDS).to(device)
    things, motions, grounds = (pool.attribute(name) for name in ("object", "motion", "background"))
    places = _places().to(device)

    def loss(rng: np.random.Generator) -> torch.Tensor:
        clip = rng.integers(len(pool.frames), size=32)
        with torch.autocast(device, torch.bfloat16):
            output = student.network.videomae(pixels(pool.frames[clip]).to(device))
        tokens = output.last_hidden_state.float()
        whole = student.network.fc_norm(tokens.mean(1))
        thing, motion = _index(things[clip], device), _index(motions[clip], device)
        coverage = _tubes(pool.coverage[clip]).to(device)
        flow = _tubes(pool.flow[clip]).to(device) / FLOW_SCALE
        which, how, speed, place = student.tokens(tokens).split(_TUBE_ANSWERS, -1)
        on = coverage >= COVERED
        total: torch.Tensor = (
            _factored(student.network.classifier(whole), (thing, motion), (OBJECTS, MOTIONS))
            + _which_object(which, coverage, thing)
            + functional.cross_entropy(how[on], motion[:, None].expand_as(on)[on])
            + functional.smooth_l1_loss(speed[on], flow[on])
            + (place - places).square().mean()
            + 0.2 * functional.cross_entropy(student.whole(whole), _index(grounds[clip], device))
        )
        return total

    averaged, record = fit(student, loss, Schedule(steps, 1e-3), seed=seed, checkpoint=checkpoint, **options)
    return averaged.network, record


def export_classifier(network: nn.Module, folder: Path) -> None:
    """Write a classifier as a transformers folder: config, fp16 safetensors, processor."""
    video = isinstance(network, VideoMAEForVideoClassification)
    kind: Any = VideoMAEImageProcessor if video else ViTImageProcessor
    size = {"shortest_edge": SIZE} if video else {"height": SIZE, "width": SIZE}
    crop = {"crop_size": {"height": SIZE, "width": SIZE}} if video else {}
    network.half().save_pretrained(folder)  # type: ignore[operator]
    network.float()
    kind(size=size, image_mean=PIXEL_MEAN, image_std=PIXEL_STD, **crop).save_pretrained(folder)


def start_from_image(video: VideoMAEForVideoClassification, image: ViTForImageClassification) -> None:
    """Initialise a video transformer from an image transformer.

    A tube filter is the patch filter divided by its number of frames. The classifier and the key biases,
    which a softmax over keys ignores, are not changed.
    """
    source = {name.removeprefix("vit."): value for name, value in image.state_dict().items()}
    target = video.videomae.state_dict()
    for name, value in target.items():
        origin = _image_name(name)
        if name.endswith("projection.weight"):
            copied = source[origin][:, :, None].repeat(1, 1, value.shape[2], 1, 1) / value.shape[2]
        else:
            copied = source[origin]
        target[name] = copied
    video.videomae.load_state_dict(target)
    norm = {"weight": source["layernorm.weight"], "bias": source["layernorm.bias"]}
    norms: Any = video.fc_norm
    norms.load_state_dict(norm)


def _image_name(name: str) -> str:
    """Name in a ViT of the parameter that corresponds to one of a VideoMAE encoder."""
    changes = {
        "encoder.layer.": "layers.",
        "attention.attention.query": "attention.q_proj",
        "attention.attention.key": "attention.k_proj",
        "attention.attention.value": "attention.v_proj",
        "attention.output.dense": "attention.o_proj",
        "intermediate.dense": "mlp.fc1",
        "output.dense": "mlp.fc2",
    }
    for old, new in changes.items():
        name = name.replace(old, new)
    return name


class _Taught(nn.Module):
    """A network with auxiliary heads for each token and for the whole input, used only in training."""

    def __init__(self, network: Any, token_answers: int, whole_answers: int) -> None:
        super().__init__()
        self.network = network
        self.tokens = nn.Linear(network.config.hidden_size, token_answers)
        self.whole = nn.Linear(network.config.hidden_size, whole_answers)


def _names(labels: list[str]) -> dict[str, Any]:
    return {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {label: i for i, label in enumerate(labels)},
    }


def _index(values: Any, device: str) -> torch.Tensor:
    return torch.as_tensor(values, device=device)


def _factored(
    logits: torch.Tensor, truth: tuple[torch.Tensor, torch.Tensor], counts: tuple[int, int]
) -> torch.Tensor:
    """Cross-entropy of a product label and its two factors, whose logits are sums over the other factor."""
    table = logits.reshape(len(logits), *counts)
    joint = functional.cross_entropy(logits, truth[0] * counts[1] + truth[1])
    first = functional.cross_entropy(table.logsumexp(2), truth[0])
    second = functional.cross_entropy(table.logsumexp(1), truth[1])
    return joint + 0.5 * (first + second)


def _which_object(logits: torch.Tensor, coverage: torch.Tensor, thing: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the object at each token, if any; tokens on and off the object have equal weight."""
    on = coverage >= COVERED
    truth = torch.where(on, thing[:, None] + 1, 0)
    each = functional.cross_entropy(logits.transpose(1, 2), truth, reduction="none")
    return (each * on).sum() / on.sum().clamp(min=1) + (each * ~on).sum() / (~on).sum().clamp(min=1)


_TUBE_ANSWERS = (OBJECTS + 1, MOTIONS, 2, 3)
"""Predicted for a tube token: object, motion class, flow, and the tube's time, row and column."""


def _places() -> torch.Tensor:
    """Time, row and column of each tube token, (token, 3), in [-1, 1]."""
    axes = [torch.linspace(-1, 1, count) for count in (FRAMES // 2, ROWS, ROWS)]
    return torch.cartesian_prod(*axes)


def _tubes(values: Any) -> torch.Tensor:
    """Patches (clip, frame, row, column, ...) -> tubes of two frames (clip, token, ...)."""
    tensor = torch.from_numpy(np.asarray(values, np.float32))
    clips, frames = tensor.shape[:2]
    return tensor.reshape(clips, frames // 2, 2, *tensor.shape[2:]).mean(2).flatten(1, 3)
