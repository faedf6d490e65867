"""Options that the three training stages share. The defaults are the paper's values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from mindanim.config.option import StageConfig, opt
from mindanim.config.variants import PLUGIN, variants_of

Schedule = Literal["constant", "exponential", "cosine", "noam"]

# For `only`: decoders trained by gradient descent, of all three stages, and those fitted by regression. One
# from another package may be either: `fit_result.ClosedForm` is given the ridge options too.
NETWORK: dict[str, tuple[Any, ...]] = {"decoder": ("mlp", "cmg", "cmg-patches", PLUGIN)}
RIDGE: dict[str, tuple[Any, ...]] = {"decoder": ("ridge", "transport", PLUGIN)}
DESCENT = NETWORK | {"schedule": ("constant", "exponential", "cosine")}


class TrainConfig(StageConfig):
    """What the three training stages share: optimisation, regularisation, validation, ridge."""

    # For each decoder, the options that are arguments of its constructor.
    arguments_of: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    decoder: str = opt("", "Which decoder to fit.", flag=True)
    decoder_arguments: dict[str, Any] = opt(
        {}, "Constructor arguments of your own decoder; set them in a recipe.", only={"decoder": (PLUGIN,)}
    )

    seed: int = opt(0, "Seed of the weights, batch order, masks and dropout.", flag=True, ge=0)
    epochs: int = opt(100, "Passes over the training clips.", flag=True, ge=1, only=NETWORK)
    batch_size: int = opt(64, "Clips per step.", unit="clips", flag=True, ge=1, only=NETWORK)
    learning_rate: float = opt(
        2e-4,
        "Learning rate.",
        flag=True,
        gt=0,
        only=DESCENT,
    )
    schedule: Schedule = opt("exponential", "Learning rate schedule.", only=NETWORK)
    decay: float = opt(
        0.999,
        "Factor on the learning rate after each epoch.",
        gt=0,
        le=1,
        only={"schedule": ("exponential",)},
    )
    warmup_steps: int = opt(0, "Steps over which the learning rate rises.", unit="steps", ge=0, only=NETWORK)
    betas: tuple[float, float] = opt((0.9, 0.999), "Decay rates of Adam's two moments.", only=NETWORK)
    epsilon: float = opt(1e-8, "Adam's term against division by zero.", gt=0, only=NETWORK)
    weight_decay: float = opt(0.0, "Decoupled weight decay (AdamW); 0 is plain Adam.", ge=0, only=NETWORK)
    clip_norm: float = opt(0.0, "Largest gradient norm; 0 does not clip.", ge=0, only=NETWORK)
    ema: float = opt(
        0.0,
        "Decay per step of the weights' moving average, which is what is kept; 0 keeps the last weights.",
        ge=0,
        lt=1,
        only=NETWORK,
    )

    zero_fraction: float = opt(
        0.1, "Fraction of response entries set to zero, drawn for every batch.", ge=0, lt=1, only=NETWORK
    )
    zero_draws: Literal["batch", "accumulate"] = opt(
        "batch",
        "Draw the zeroed entries for every batch, or (released) zero further ones in every epoch, for good.",
        only=NETWORK,
    )
    l1_penalty: float = opt(0.0, "Weight of the L1 penalty on all parameters.", ge=0, only=NETWORK)
    l1_decay: float = opt(
        0.0, "The L1 penalty at epoch e is multiplied by exp(-l1_decay * e).", ge=0, only=NETWORK
    )
    l1_compounds: bool = opt(
        False, "Multiply the decays of all epochs so far, as the released code does.", only=NETWORK
    )
    standardise: bool = opt(
        False, "Scale each target element to mean 0 and variance 1 over the training clips.", only=NETWORK
    )

    validation_fraction: float = opt(
        0.1, "Fraction of training segments held out for validation.", flag=True, gt=0, le=0.5
    )
    purge_s: float = opt(
        20.0,
        "Clips of one film closer than this across a training/validation or cross-validation boundary are "
        "dropped.",
        unit="s",
        ge=0,
    )
    select: Literal["loss", "score", "last"] = opt(
        "loss", "Epoch to keep: lowest validation loss, highest validation score, or the last.", only=NETWORK
    )
    patience: int = opt(
        0, "Stop after this many validations without improvement; 0 never stops early.", ge=0, only=NETWORK
    )
    validate_every: int = opt(1, "Epochs between validations.", unit="epochs", ge=1, only=NETWORK)

    ridge_alphas: tuple[float, ...] = opt(
        (1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0),
        "Candidate penalties, in units of the mean squared norm of a response.",
        min_length=1,
        only=RIDGE,
    )
    ridge_folds: int = opt(
        6, "Cross-validation folds of whole segments that choose the penalty.", ge=2, only=RIDGE
    )
    ridge_components: int = opt(
        512, "Principal components that larger targets are reduced to.", ge=1, only=RIDGE
    )
    ridge_relevance: float = opt(
        1.0,
        "Scale each voxel by the variance it explains alone, to this power; 0 treats all voxels alike.",
        ge=0,
        le=2,
        only=RIDGE,
    )
    ridge_refit: bool = opt(
        True, "Refit with the validation segments included, keeping the penalty.", only=RIDGE
    )

    stream_data: Literal["auto", "always", "never"] = opt(
        "auto",
        "Move clips to the device batch by batch (always) or all at once (never); auto moves all at once if "
        "they fit into half of the GPU's free memory.",
        identity=False,
        only=NETWORK,
    )
    tensorboard: bool = opt(
        False, "Also log to TensorBoard, in <work>/tensorboard.", identity=False, only=NETWORK
    )
    checkpoint_s: float = opt(
        60.0,
        "Seconds between checkpoints, or 20 times what writing one takes if that is longer; 0 writes one "
        "after every step.",
        unit="s",
        identity=False,
        ge=0,
        only=NETWORK,
    )

    @model_validator(mode="after")
    def _in_range(self) -> Self:
        if min(self.ridge_alphas) <= 0:
            raise ValueError(f"ridge_alphas contains {min(self.ridge_alphas)}: penalties must be positive")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas is {self.betas}: both must be at least 0 and below 1")
        return self

    def spec(self) -> dict[str, Any]:
        """The decoder's name and the arguments of its constructor."""
        variants = variants_of(type(self).model_fields["decoder"])
        if variants is not None and self.decoder not in variants.own:
            return {"decoder": self.decoder, **self.decoder_arguments}
        named = self.arguments_of.get(self.decoder, ())
        return {"decoder": self.decoder, **{name: getattr(self, name) for name in named}}
