"""Frozen pretrained models, by name or local folder: diffusion, CLIP, classifiers, captioner.

A name is ``demo`` (the small set that ships with the package), an existing local folder, or a hub id. All
sets have the same public formats and run through the same code. Loaders never fall back to random weights,
and use the network only if called with ``offline=False`` while a file is missing on this machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindanim.backbones.protocols import (
    Captioner,
    ClipBackbone,
    DiffusionBackbone,
    FlowNetwork,
    ImageClassifier,
    VideoClassifier,
    VideoEmbedder,
)
from mindanim.backbones.weights.catalogue import Kind
from mindanim.backbones.weights.find import Weights, locate

if TYPE_CHECKING:
    from pathlib import Path

    import torch

__all__ = [
    "Captioner",
    "ClipBackbone",
    "DiffusionBackbone",
    "FlowNetwork",
    "ImageClassifier",
    "Kind",
    "VideoClassifier",
    "VideoEmbedder",
    "Weights",
    "clip_width",
    "load_captioner",
    "load_clip",
    "load_diffusion",
    "load_image_classifier",
    "load_raft",
    "load_video_classifier",
    "load_vifi",
    "locate",
]


def load_diffusion(
    name: str, device: torch.device | str = "cpu", dtype: torch.dtype | None = None, offline: bool = True
) -> DiffusionBackbone:
    """The diffusion model `name`, a Stable Diffusion 1.x or 2.x folder in the diffusers layout.

    Args:
        dtype: Type that its networks compute in (default float32); results are always float32.

    Raises:
        MissingError: Some of its files are not on this machine; lists them and the command that downloads
            them.
        InputError: The files do not contain such a model.
    """
    from mindanim.backbones.diffusion import StableDiffusion

    return StableDiffusion(locate(name, "diffusion", offline), device, dtype)


def load_clip(
    name: str, device: torch.device | str = "cpu", dtype: torch.dtype | None = None, offline: bool = True
) -> ClipBackbone:
    """The CLIP model `name`: a folder or hub id in the layout of open_clip or transformers (also SigLIP),
    ``ARCHITECTURE/TAG``, OpenAI's ``ViT-B/32``, or ``ARCHITECTURE@FILE``.

    Raises:
        MissingError, InputError: As `load_diffusion`.
    """
    from mindanim.backbones.clip import OpenClip
    from mindanim.backbones.clip_transformers import TransformersClip

    weights = locate(name, "clip", offline)
    kind = OpenClip if weights.of_open_clip else TransformersClip
    return kind(weights, device, dtype)


def clip_width(weights: Weights) -> int:
    """Features of a located CLIP model's shared space, without loading the model.

    Raises:
        InputError: Its configuration does not state it.
    """
    from mindanim.backbones import clip, clip_transformers

    width_of = clip.width_of if weights.of_open_clip else clip_transformers.width_of
    return width_of(weights)


def load_image_classifier(
    name: str, device: torch.device | str = "cpu", dtype: torch.dtype | None = None, offline: bool = True
) -> ImageClassifier:
    """The image classifier `name`, any transformers image-classification folder.

    Raises:
        MissingError, InputError: As `load_diffusion`.
    """
    from mindanim.backbones.classifiers import TransformersImageClassifier

    return TransformersImageClassifier(locate(name, "image_classifier", offline), device, dtype)


def load_video_classifier(
    name: str,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    offline: bool = True,
    frames: int | None = None,
) -> VideoClassifier:
    """The video classifier `name`, any transformers video-classification folder.

    Args:
        frames: Frames of the clips to read. A VideoMAE reads any even number, whatever it was trained on;
            other networks, and calls without `frames`, keep the network's number.

    Raises:
        MissingError, InputError: As `load_diffusion`.
    """
    from mindanim.backbones.classifiers import TransformersVideoClassifier

    return TransformersVideoClassifier(locate(name, "video_classifier", offline), device, dtype, frames)


def load_captioner(
    name: str, device: torch.device | str = "cpu", dtype: torch.dtype | None = None, offline: bool = True
) -> Captioner:
    """The captioner `name`, a transformers BLIP-2 folder.

    Raises:
        MissingError, InputError: As `load_diffusion`.
    """
    from mindanim.backbones.captioner import Blip2Captioner

    return Blip2Captioner(locate(name, "captioner", offline), device, dtype)


def load_vifi(file: Path, device: torch.device | str = "cpu") -> VideoEmbedder:
    """The image tower of the ViFi-CLIP checkpoint `file`, in float32.

    Raises:
        InputError: It is not such a checkpoint.
    """
    from mindanim.backbones.vifi import ViFiClip

    return ViFiClip(file, device)


def load_raft(file: Path, device: torch.device | str = "cpu") -> FlowNetwork:
    """torchvision's RAFT, small or large, from the checkpoint `file`, in float32.

    Raises:
        InputError: It is not such a checkpoint.
    """
    from mindanim.backbones.raft import Raft

    return Raft(file, device)
