"""From decoded latents to clean ones: one module per sampler, found by the sampler's name.

A sampler is a function of one signature, `sampler.Sample`, registered together with what else depends on it:
its cost, its methods sentence, its prompts. Other packages add theirs by the entry-point group
``mindanim.samplers``.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from mindanim.generation.samplers.sampler import SAMPLERS, Batch, Denoiser, Sampler, clip_noise

__all__ = ["SAMPLERS", "Batch", "Denoiser", "Sampler", "clip_noise"]

for module in iter_modules(__path__):
    import_module(f"{__name__}.{module.name}")
