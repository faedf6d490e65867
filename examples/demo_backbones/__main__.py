"""Train all demo backbones: ``python -m examples.demo_backbones --out DIR``, from the root of the repository.

Takes about four hours on one CPU core, minutes on a GPU. If it is stopped, the same command resumes it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from examples.demo_backbones import classifiers, clip, diffusion, vae
from examples.demo_backbones.card import write_card
from examples.demo_backbones.data import TRAINING_SEED, Pool, make_pool
from examples.demo_backbones.loop import Record
from examples.demo_backbones.quality import measure
from mindanim import console


class Trainer:
    """Trains the networks in order; each result is kept in ``scratch``, so nothing is trained twice."""

    def __init__(self, pool: Pool, out: Path, scratch: Path, **shared: Any) -> None:
        self.pool, self.out, self.scratch, self.shared = pool, out, scratch, shared
        self.records: dict[str, Record] = {}

    def image_classifier(self) -> Any:
        """The image classifier, written to the set."""
        network = self._train("image_classifier", classifiers.train_image_classifier, self.pool)
        classifiers.export_classifier(network, self.out / "image_classifier")
        return network

    def clip(self, start: Any) -> None:
        """CLIP; its image tower is initialised from the image classifier."""
        clip.export_clip(self._train("clip", clip.train_clip, self.pool, start), start, self.out / "clip")

    def video_classifier(self, start: Any) -> None:
        """The video classifier, initialised from the image classifier."""
        network = self._train("video_classifier", classifiers.train_video_classifier, self.pool, start)
        classifiers.export_classifier(network, self.out / "video_classifier")

    def diffusion(self) -> None:
        """The autoencoder, then the text encoder and UNet on its latents."""
        autoencoder = self._train("vae", vae.train_vae, self.pool)
        latents = diffusion.pool_latents(autoencoder, self.pool, self.scratch / "latents.npy")
        network = self._train("diffusion", diffusion.train_diffusion, self.pool, latents)
        diffusion.export_diffusion(autoencoder, network, self.out / "diffusion")

    def _train(self, name: str, train: Callable[..., tuple[Any, Record]], *inputs: Any) -> Any:
        console.step(f"Training: {name.replace('_', ' ')}")
        network, self.records[name] = train(*inputs, checkpoint=self.scratch / f"{name}.pt", **self.shared)
        return network


def main() -> None:
    """Train, export and measure the networks, and write the model card."""
    parser = argparse.ArgumentParser(prog="python -m examples.demo_backbones", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument(
        "--scratch", type=Path, help="folder for frames and checkpoints (default OUT-training)"
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clips", type=int, default=12_000, help="number of training clips")
    parser.add_argument(
        "--share", type=float, default=1.0, help="fraction of the training steps; below 1 for a trial run"
    )
    parser.add_argument("--held-out", type=int, default=300, help="number of held-out scenes to measure on")
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
