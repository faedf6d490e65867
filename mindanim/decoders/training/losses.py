"""Losses and penalties of the decoders."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional

from mindanim.decoders.batch_sharing import batch_mean

_PIECE = 1 << 18


def info_nce(
    predicted: Tensor, target: Tensor, logit_scale: Tensor, positives: Tensor, own: slice = slice(None)
) -> Tensor:
    """Bidirectional contrastive loss with any number of positives per row.

    Mean of the row-wise and column-wise cross-entropy of the scaled cosine similarities; the target
    distribution is uniform over the positives. With one positive each this is CLIP's InfoNCE.

    Args:
        predicted: ``(clip, feature)``, normalised here.
        target: ``(clip, feature)``, normalised here.
        logit_scale: Logarithm of the scale, a scalar.
        positives: ``(clip, clip) bool``, which predictions and targets match; the diagonal is true.
        own: Rows and columns to average over: those of one of several processes.
    """
    # Autocast would round the cosines, and the scale multiplies the error. The device "meta", on which
    # operations are only counted, has no autocast.
    kind = predicted.device.type
    with torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext():
        one, other = (functional.normalize(vectors.float(), dim=1) for vectors in (predicted, target))
        logits = (one @ other.T) * logit_scale.exp()
    weight = positives.to(logits.dtype)
    rows, columns = (
        functional.cross_entropy(scores[own], (wanted / wanted.sum(1, keepdim=True))[own])
        for scores, wanted in ((logits, weight), (logits.T, weight.T))
    )
    return (rows + columns) / 2


def initial_logit_scale(temperature: float) -> nn.Parameter:
    """The learned logarithm of the scale, initially ln(1 / temperature)."""
    return nn.Parameter(torch.tensor(math.log(1 / temperature)))


@torch.no_grad()
def add_l1_gradient(parameters: Iterable[nn.Parameter], penalty: float) -> None:
    """Add the subgradient of ``penalty * sum |w|`` to existing gradients, outside the graph.

    Equals adding the penalty to the loss (with subgradient 0 at 0), at the cost of two passes over the
    weights.

    Args:
        parameters: Those without a gradient are skipped.
        penalty: Factor.
    """
    if penalty == 0:
        return
    signs: dict[torch.device, Tensor] = {}
    for parameter in parameters:
        if parameter.grad is None:
            continue
        # In pieces that fit a CPU's cache; a whole tensor of signs would be allocated each time.
        size = _PIECE if parameter.device.type == "cpu" else 64 * _PIECE
        buffer = signs.setdefault(parameter.device, parameter.new_empty(size))
        pieces = (torch.split(values.view(-1), size) for values in (parameter, parameter.grad))
        for weights, gradient in zip(*pieces, strict=True):
            gradient.add_(torch.sign(weights, out=buffer[: len(weights)]), alpha=penalty)


def moving_mse(predicted: Tensor, target: Tensor, latents: Tensor, motion_weight: float) -> Tensor:
    """Squared error weighted towards elements that change.

    The weight is ``1 + motion_weight * change^2 / mean(change^2)``, normalised to a mean of 1; change is the
    difference from the first frame.

    Args:
        predicted: ``(clip, frame - 1, latent)``.
        target: ``(clip, frame - 1, latent)``.
        latents: True latents ``(clip, frame, latent)``.
        motion_weight: 0 gives the mean squared error.
    """
    error = (predicted - target).square()
    if motion_weight == 0:
        return error.mean()
    energy = (latents[:, 1:] - latents[:, :1]).square()
    weight = 1 + motion_weight * energy / batch_mean(energy).clamp_min(1e-12)
    return (error * weight).mean() / batch_mean(weight)
