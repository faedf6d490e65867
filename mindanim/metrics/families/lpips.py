"""LPIPS, a perceptual distance from the features of AlexNet (package lpips, weights given by the user)."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from mindanim.errors import InputError, MissingError
from mindanim.metrics.families.metric import FrameMetric, Loading, metric, network
from mindanim.vocabulary.arrays import Float, Frames, to_tensor

SMALLEST = 31
"""Side of a frame, px, of which AlexNet's two poolings leave one feature."""


@network(name="lpips", missing="no weights of AlexNet were given; --set weights=lpips=FILE")
def _lpips(file: str | Path, on: Loading) -> Any:
    """The package's network with the user's trunk, a state dictionary of torchvision's AlexNet."""
    import torch

    try:
        import lpips
    except ImportError as error:
        raise MissingError(
            "LPIPS needs the package lpips.", hint="Install it: pip install 'mindanim[lpips]'"
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package calls torchvision the old way
        # The linear layers come with the package; a random trunk keeps it from downloading one.
        model = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        names = {name: f"features.{name.partition('.')[2]}" for name in model.net.state_dict()}
        model.net.load_state_dict({name: state[given] for name, given in names.items()})
    except Exception as error:
        raise InputError(
            f"{file} has no weights of AlexNet.",
            why=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
            hint="Give the state dictionary of alexnet that torchvision publishes.",
        ) from error
    return model.to(on.device)


def _describe(frames: Frames, model: Any) -> list[Float]:
    """Features of each layer, of length 1 per pixel, times the root of the layer's weights (all positive):
    the squared distance of two descriptions is then the weighted one; (frame, channel, height, width)."""
    import torch
    from lpips import normalize_tensor

    device = model.scaling_layer.shift.device
    with torch.inference_mode():
        layers = model.net(model.scaling_layer(2 * to_tensor(frames.copy()).to(device) - 1))
        weights = [linear.model[-1].weight.sqrt() for linear in model.lins]
        return [
            (normalize_tensor(one) * root).cpu().numpy() for one, root in zip(layers, weights, strict=True)
        ]


@metric(
    FrameMetric,
    id="lpips.alex",
    name="LPIPS",
    group="pixel",
    bounds=(0.0, None),
    direction="lower",
    needs=("lpips",),
    min_side=SMALLEST,
    describe=_describe,
    reference="Zhang et al. 2018, arXiv:1801.03924, version 0.1 with AlexNet",
    note="Distance of the features of AlexNet, weighted to agree with human judgement; mean over frames.",
)
def lpips_distance(truth: list[Float], recon: list[Float]) -> float:
    layers = zip(truth, recon, strict=True)
    return float(sum(np.square(one - other).sum(axis=1).mean(dtype=np.float64) for one, other in layers))
