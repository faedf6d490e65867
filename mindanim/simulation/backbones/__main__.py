"""Train the whole set again: ``python -m mindanim.simulation.backbones --out DIR``.

About four hours of one CPU core, minutes on a GPU. It may be killed at any time; the same command goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mindanim import console
from mindanim.simulation.backbones import classifiers, clip, diffusion, vae
from mindanim.simulation.backbones.card import write_card
from mindanim.simulation.backbones.data import TRAINING_SEED, Pool, make_pool
from mindanim.simulation.backbones.loop import Record
from mindanim.simulation.backbones.quality import measure


class Trainer:
    """The trainings in their order; each result is kept in ``scratch`` and made only once."""

    def __init__(self, pool: Pool, out: Path, scratch: Path, **shared: Any) -> None:
        self.pool, self.out, self.scratch, self.shared = pool, out, scratch, shared
        self.records: dict[str, Record] = {}

    def image_classifier(self) -> Any:
        """The image classifier, written to the set."""
        network = self._train("image_classifier", classifiers.train_image_classifier, self.pool)
        classifiers.export_classifier(network, self.out / "image_classifier")
        return network

    def clip(self, start: Any) -> None:
        """CLIP, whose image tower starts from the image classifier."""
        clip.export_clip(self._train("clip", clip.train_clip, self.pool, start), start, self.out / "clip")

    def video_classifier(self, start: Any) -> None:
        """The video classifier, which starts from the image classifier."""
        network = self._train("video_classifier", classifiers.train_video_classifier, self.pool, start)
        classifiers.export_classifier(network, self.out / "video_classifier")

    def diffusion(self) -> None:
        """Autoencoder, then text encoder and UNet on its latents."""
        autoencoder = self._train("vae", vae.train_vae, self.pool)
        latents = diffusion.pool_latents(autoencoder, self.pool, self.scratch / "latents.npy")
        network = self._train("diffusion", diffusion.train_diffusion, self.pool, latents)
        diffusion.export_diffusion(autoencoder, network, self.out / "diffusion")

    def _train(self, name: str, train: Callable[..., tuple[Any, Record]], *inputs: Any) -> Any:
        console.step(f"Training: {name.replace('_', ' ')}")
        network, self.records[name] = train(*inputs, checkpoint=self.scratch / f"{name}.pt", **self.shared)
        return network


def main() -> None:
    """Train, export, measure and write the card."""
    parser = argparse.ArgumentParser(prog="python -m mindanim.simulation.backbones", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the finished set")
    parser.add_argument("--scratch", type=Path, help="frames and checkpoints; default OUT-training")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clips", type=int, default=12_000, help="clips in the pool")
    parser.add_argument("--share", type=float, default=1.0, help="share of the steps; below 1 to rehearse")
    parser.add_argument("--held-out", type=int, default=300, help="scenes that the set is measured on")
    asked = parser.parse_args()
    scratch = asked.scratch or asked.out.with_name(f"{asked.out.name}-training")
    for folder in (asked.out, scratch):
        folder.mkdir(parents=True, exist_ok=True)

    console.step("Rendering frames")
    pool = make_pool(asked.clips, TRAINING_SEED, scratch)
    trainer = Trainer(pool, asked.out, scratch, seed=asked.seed, device=asked.device, share=asked.share)
    still = trainer.image_classifier()
    trainer.clip(still)
    trainer.video_classifier(still)
    trainer.diffusion()
    console.step("Measuring")
    measured = measure(asked.out, clips=asked.held_out, samples=asked.held_out, device=asked.device)
    context = {"seed": asked.seed, "clips in the pool": asked.clips, "share of the steps": asked.share}
    context |= {"clips measured": asked.held_out, "samples measured": asked.held_out, "device": asked.device}
    write_card(asked.out, trainer.records, measured, context)


if __name__ == "__main__":
    main()
