"""The package that docs/how-to/extend.md shows works as shown."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mindanim.config.generate import GenerateConfig
from mindanim.decoders.base import Shapes
from mindanim.decoders.build import decoder_class
from mindanim.generation.samplers import SAMPLERS, Batch
from mindanim.metrics.families.catalogue import catalogue
from mindanim.metrics.families.metric import METRICS, FrameMetric, Setting
from mindanim.studies import open_study
from tests import plugins
from tests.documentation import ROOT

PAGE = (ROOT / "docs" / "how-to" / "extend.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def my_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "\n\n".join(re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S))
    declared = re.search(r"^```toml\n(.*?)^```", PAGE, re.M | re.S)
    assert declared
    for group, points in tomllib.loads(declared[1])["project"]["entry-points"].items():
        for name, value in points.items():
            found = value.replace("my_lab", "plugged")
            plugins.install(tmp_path / "site", group, name, found, source, monkeypatch)


def test_the_metric() -> None:
    found, _ = catalogue(Setting(clips=2, shape=(4, 16, 16, 3)), groups=("pixel",))
    assert "brightness.error" in [metric.id for metric in found]
    metric = METRICS["brightness.error"]
    assert isinstance(metric, FrameMetric)
    white, gray = (np.full((4, 16, 16, 3), level, np.uint8) for level in (255, 51))
    assert metric.score(metric.describe(white), metric.describe(gray)) == pytest.approx(0.8)


def test_the_sampler() -> None:
    options = GenerateConfig(sampler="my-ddim", steps=10, strength=0.5, guidance=2.0)
    sampler = SAMPLERS["my-ddim"]
    asked: list[int] = []

    def network(latents: torch.Tensor, timestep: torch.Tensor | int, text: torch.Tensor) -> torch.Tensor:
        asked.append(len(latents))
        return torch.zeros_like(latents)

    latents, text = torch.randn(2, 3, 4, 2, 2), torch.zeros(2, 5, 6)
    batch = Batch(latents, text, torch.randn_like(latents), {"empty": text[0]})
    clean = sampler.sample(network, {"num_train_timesteps": 1000}, batch, options)
    assert clean.shape == latents.shape and torch.isfinite(clean).all()
    assert sum(asked) == 2 * sampler.evaluations(options) == 2 * 10
    apart = sampler.sample(network, {"num_train_timesteps": 1000}, replace(batch, together=False), options)
    torch.testing.assert_close(apart, clean)
    assert "5 DDIM steps" in sampler.methods(options, {}, "one draw for all frames")


def test_the_decoder() -> None:
    made = decoder_class("structure", "one-layer")
    shapes = Shapes(response=(1, 7), latents=(2, 2, 4, 4))
    network = made(shapes)
    assert network.predict(np.zeros((3, 1, 7), np.float32)).shape == (3, 2, 4, 4)


def test_the_reader(tmp_path: Path) -> None:
    study = open_study("my-study", tmp_path)
    clips = study.clips()
    assert [clip.split for clip in clips] == ["train"] * 240 + ["test"] * 240
    assert clips[-1].clip_id == "film2-0240" and clips[-1].onset_s == 478
