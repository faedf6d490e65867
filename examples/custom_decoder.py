"""Your own decoder, added without editing the package: `python examples/custom_decoder.py`.

A structure decoder that works at two resolutions: one linear layer predicts the latent at a quarter of its
size, a second one adds the detail. The same command, loop and checks as for the shipped decoders train it on
the simulated study; `custom_decoder.toml`, next to this file, names it.
"""

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

import mindanim
from mindanim.decoders import Shapes
from mindanim.decoders.models.structure import StructureNetwork


class TwoScales(StructureNetwork):
    def __init__(self, shapes: Shapes, *, width: int = 256, dropout: float = 0.3) -> None:
        super().__init__(shapes)
        channels, rows, columns = shapes.latent
        self.small = (channels, rows // 4, columns // 4)
        self.trunk = nn.Sequential(nn.Linear(shapes.features, width), nn.GELU(), nn.Dropout(dropout))
        self.coarse = nn.Linear(width, channels * (rows // 4) * (columns // 4))
        self.fine = nn.Linear(width, shapes.latent_size)

    def forward(self, responses: torch.Tensor) -> torch.Tensor:
        hidden = self.trunk(responses)
        picture = functional.interpolate(self.coarse(hidden).unflatten(1, self.small), scale_factor=4.0)
        return picture.flatten(1) + self.fine(hidden)


def main() -> None:
    given = {"dataset": "simulated", "recipe": str(Path(__file__).with_suffix(".toml"))}
    mindanim.simulate(**given, data="simulated-study")
    mindanim.preprocess(**given, subject=1)
    mindanim.encode_stimuli(**given)
    mindanim.train_structure(**given, subject=1, decoder="ridge", label="ridge")
    mindanim.train_structure(**given, subject=1, label="two.scales")


if __name__ == "__main__":
    main()
