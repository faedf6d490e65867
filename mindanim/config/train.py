"""The options of the three training stages. The defaults are the paper's values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from mindanim.config.option import ImportPath, StageConfig, opt

Schedule = Literal["constant", "exponential", "cosine", "noam"]


class TrainConfig(StageConfig):
    """What the three training stages share: optimisation, regularisation, validation, ridge."""

    # For each decoder, the options that are arguments of its constructor.
    arguments_of: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    decoder: str = opt("", "Which decoder is fitted.", flag=True)
    decoder_arguments: dict[str, Any] = opt(
        {}, "Constructor arguments of a decoder of your own (module:Class); set them in a recipe."
    )

    seed: int = opt(0, "Seed of the weights, the batch order, the masks and dropout.", flag=True, ge=0)
    epochs: int = opt(100, "Passes over the training clips.", flag=True, ge=1)
    batch_size: int = opt(64, "Clips per step.", unit="clips", flag=True, ge=1)
    learning_rate: float = opt(2e-4, "Learning rate; the noam schedule sets its own.", flag=True, gt=0)
    schedule: Schedule = opt("exponential", "How the learning rate changes.")
    decay: float = opt(0.999, "Factor per epoch of the exponential schedule.", gt=0, le=1)
    warmup_steps: int = opt(0, "Steps over which the learning rate rises.", unit="steps", ge=0)
    betas: tuple[float, float] = opt((0.9, 0.999), "Decay rates of Adam's two moments.")
    epsilon: float = opt(1e-8, "Adam's term against division by zero.", gt=0)
    weight_decay: float = opt(0.0, "Decoupled weight decay (AdamW); 0 is plain Adam.", ge=0)
    clip_norm: float = opt(0.0, "Largest norm of the gradient; 0 leaves it as it is.", ge=0)
    ema: float = opt(
        0.0, "Decay per step of the averaged weights that are kept; 0 keeps the last ones.", ge=0, lt=1
    )

    zero_fraction: float = opt(
        0.1, "Share of the response entries set to zero, drawn afresh per batch.", ge=0, lt=1
    )
    l1_penalty: float = opt(0.0, "Weight of the summed absolute values of all parameters.", ge=0)
    l1_decay: float = opt(0.0, "The penalty at epoch e is multiplied by exp(-l1_decay * e).", ge=0)
    l1_compounds: bool = opt(
        False, "Multiply the decays of all epochs so far together, as the released code does."
    )
    standardise: bool = opt(
        False, "Fit targets scaled per element to mean 0, variance 1 of the training clips."
    )

    validation_fraction: float = opt(
        0.1, "Share of the training segments held out for choosing the epoch.", flag=True, gt=0, le=0.5
    )
    purge_s: float = opt(
        20.0,
        "Gap left out between clips of one film that train and that validate, in ridge's folds too.",
        unit="s",
        ge=0,
    )
    select: Literal["loss", "score", "last"] = opt(
        "loss", "Which epoch is kept: best validation loss or score, or the last."
    )
    patience: int = opt(
        0, "Stop after this many validations without a better one; 0 never stops early.", ge=0
    )
    validate_every: int = opt(1, "Epochs between validations.", unit="epochs", ge=1)

    ridge_alphas: tuple[float, ...] = opt(
        (1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0),
        "Candidate penalties, in units of the mean squared norm of a response.",
        min_length=1,
    )
    ridge_folds: int = opt(6, "Folds of whole segments that choose the penalty.", ge=2)
    ridge_components: int = opt(512, "Principal components that larger targets are reduced to.", ge=1)
    ridge_relevance: float = opt(
        1.0,
        "Scale voxels by their univariate explained variance to this power before ridge; 0 treats all alike.",
        ge=0,
        le=2,
    )
    ridge_refit: bool = opt(True, "Fit once more with the validation segments, the penalty kept.")

    stream_data: Literal["auto", "always", "never"] = opt(
        "auto",
        "Bring the clips to the device batch by batch (always) or all of them before the training (never); "
        "auto does the latter where they fit into half of a GPU's free memory.",
        identity=False,
    )
    tensorboard: bool = opt(
        False, "Write the course for TensorBoard too, into <work>/tensorboard.", identity=False
    )
    checkpoint_s: float = opt(
        60.0,
        "Seconds between checkpoints, more where writing one takes over a twentieth of that; 0 writes one "
        "after every step.",
        unit="s",
        identity=False,
        ge=0,
    )

    @model_validator(mode="after")
    def _in_range(self) -> Self:
        if min(self.ridge_alphas) <= 0:
            raise ValueError(f"ridge_alphas holds {min(self.ridge_alphas)}: penalties must be positive")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas is {self.betas}: both must lie in [0, 1)")
        return self

    def spec(self) -> dict[str, Any]:
        """The decoder's name and the arguments of its constructor."""
        if ":" in self.decoder:
            return {"decoder": self.decoder, **self.decoder_arguments}
        named = self.arguments_of.get(self.decoder, ())
        return {"decoder": self.decoder, **{name: getattr(self, name) for name in named}}


class TrainSemanticConfig(TrainConfig):
    """Stage 1a: responses to the CLIP vector and the text condition (what is seen)."""

    arguments_of = {"mlp": ("width", "blocks", "dropout", "block_dropout", "head_widths")}

    decoder: Literal["mlp", "ridge"] | ImportPath = opt(
        "mlp", "The paper's network, the linear baseline, or a class of your own.", flag=True
    )
    width: int | None = opt(None, "Width of the trunk; none is the width of CLIP.", ge=1)
    blocks: int = opt(3, "Residual blocks of the trunk.", flag=True, ge=0)
    dropout: float = opt(0.3, "Dropout after the first layer.", ge=0, lt=1)
    block_dropout: float = opt(0.15, "Dropout in the residual blocks.", ge=0, lt=1)
    head_widths: tuple[int, ...] = opt(
        (2048, 4096), "Hidden widths of the head that gives the text condition."
    )
    contrastive_weight: float = opt(0.01, "Weight k1 of the tri-modal contrastive loss.", ge=0)
    text_share: float = opt(
        0.5, "Share alpha of the text in the contrastive loss; the image has the rest.", ge=0, le=1
    )
    token_weight: float = opt(0.5, "Weight k2 of the text condition's squared error.", ge=0)
    equal_captions: Literal["positives", "negatives"] = opt(
        "positives", "What clips with the same caption are to each other; 'negatives' is the released code's."
    )
    augment: bool = opt(
        True, "Draw one of the augmented views of image and caption per clip and epoch.", flag=True
    )
    temperature: float = opt(0.07, "Initial temperature of the contrastive loss.", gt=0)


class TrainStructureConfig(TrainConfig):
    """Stage 1b: responses to the first frame's latent (where things are and how they look)."""

    arguments_of = {"mlp": ("width", "blocks", "dropout")}

    decoder: Literal["mlp", "ridge"] | ImportPath = opt(
        "mlp", "The paper's network, the linear baseline, or a class of your own.", flag=True
    )
    learning_rate: float = opt(1e-6, "Learning rate; the noam schedule sets its own.", flag=True, gt=0)
    zero_fraction: float = opt(
        0.2, "Share of the response entries set to zero, drawn afresh per batch.", ge=0, lt=1
    )
    l1_penalty: float = opt(4e-6, "Weight of the summed absolute values of all parameters.", ge=0)
    l1_decay: float = opt(5e-5, "The penalty at epoch e is multiplied by exp(-l1_decay * e).", ge=0)
    width: int = opt(1024, "Width of the hidden layers.", flag=True, ge=1)
    blocks: int = opt(2, "Residual blocks.", ge=0)
    dropout: float = opt(0.2, "Dropout after each hidden layer.", ge=0, lt=1)


class TrainMotionConfig(TrainConfig):
    """Stage 1c: first frame and responses to the following frames' latents (how things move)."""

    _rolled: ClassVar = ("target", "rollout_mask", "difference_gain")
    _trunk: ClassVar = ("fmri_width", "fmri_blocks", "fmri_dropout", "block_dropout")
    _encoder: ClassVar = ("memory_tokens", *_trunk)
    arguments_of = {
        "cmg": ("width", "layers", "heads", "feedforward", "dropout", "norm", *_rolled, *_encoder),
        "cmg-patches": ("patch_size", "patch_width", "patch_layers", "patch_heads", "mlp_ratio", "dropout")
        + (*_rolled, *_encoder),
        "mlp": ("target", "difference_gain", *_trunk),
        "ridge": ("target", "difference_gain"),
    }

    decoder: Literal["cmg", "cmg-patches", "mlp", "ridge", "transport"] | ImportPath = opt(
        "cmg",
        "The paper's consistency motion generator with frames or patches for tokens, a network that reads "
        "each frame off the response alone, ridge on latents, ridge on the latents' optical flow, by which "
        "the first frame is carried along, or a class of your own.",
        flag=True,
    )
    epochs: int = opt(300, "Passes over the training clips.", flag=True, ge=1)
    schedule: Schedule = opt("noam", "How the learning rate changes.")
    warmup_steps: int = opt(50, "Steps over which the learning rate rises.", unit="steps", ge=0)
    noam_factor: float = opt(1.0, "Factor of the noam schedule, whose model size is the frame token's.", gt=0)
    betas: tuple[float, float] = opt((0.9, 0.98), "Decay rates of Adam's two moments.")
    epsilon: float = opt(1e-9, "Adam's term against division by zero.", gt=0)
    zero_fraction: float = opt(
        0.0, "Share of the response entries set to zero, drawn afresh per batch.", ge=0, lt=1
    )
    l1_penalty: float = opt(6e-7, "Weight of the summed absolute values of all parameters.", ge=0)
    l1_decay: float = opt(1e-3, "The penalty at epoch e is multiplied by exp(-l1_decay * e).", ge=0)

    target: Literal["frame", "difference"] = opt(
        "frame",
        "Predict frames (the paper), or differences to the first frame scaled per element.",
        flag=True,
    )
    difference_gain: float = opt(
        1.0,
        "Factor on decoded differences: 1 has the least squared error, more shows motion of natural size.",
        gt=0,
    )
    width: int = opt(1024, "Width of the attention.", ge=1)
    layers: int = opt(2, "Layers of the generator.", ge=1)
    heads: int = opt(4, "Attention heads.", ge=1)
    feedforward: int = opt(768, "Width of the feed-forward sublayers.", ge=1)
    dropout: float = opt(0.2, "Dropout after each sublayer.", ge=0, lt=1)
    norm: Literal["layer", "deviation"] = opt(
        "layer", "Layer norm: torch's, or that of published checkpoints, divided by (deviation + 1e-6)."
    )
    patch_size: int = opt(8, "Side of a patch.", unit="latent px", ge=1)
    patch_width: int = opt(512, "Features of a patch.", ge=4)
    patch_layers: int = opt(4, "Layers of the generator with patches.", ge=1)
    patch_heads: int = opt(8, "Attention heads of the generator with patches.", ge=1)
    mlp_ratio: float = opt(4.0, "Hidden width of the patches' feed-forward, in patch widths.", gt=0)
    memory_tokens: int = opt(1, "Tokens that the responses are encoded to; 1 adds their projection.", ge=1)
    fmri_width: int = opt(768, "Width of the response encoder.", ge=1)
    fmri_blocks: int = opt(1, "Residual blocks of the response encoder.", ge=0)
    fmri_dropout: float = opt(0.3, "Dropout after the response encoder's first layer.", ge=0, lt=1)
    block_dropout: float = opt(0.15, "Dropout in the response encoder's residual blocks.", ge=0, lt=1)
    keep_visible: float = opt(
        0.6, "Chance that a past frame stays visible in training.", flag=True, ge=0, le=1
    )
    rollout_mask: Literal["causal", "first"] = opt(
        "causal",
        "What a frame sees at inference: its past, or (released) from the third frame on only frame 0.",
    )
    motion_weight: float = opt(0.0, "Extra weight of the loss where the latent changes.", ge=0)
    first_frames: Literal["true", "decoded", "both"] = opt(
        "true",
        "First frames in training: true ones (the paper), decoded by cross-fitted ridge, or either.",
    )
    flow_grid: int = opt(
        16, "Cells per side, at most, of the motion field of the transport decoder.", unit="cells", ge=2
    )
    flow_smoothing: float = opt(
        0.5, "Pull of the motion field towards zero, relative to the mean gradient energy.", gt=0
    )
    flow_gain: float | None = opt(
        None,
        "Factor on the decoded motion field; none takes the one with the best cross-validated difference r.",
        gt=0,
    )

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        width, heads = ("patch_width", "patch_heads") if self.decoder == "cmg-patches" else ("width", "heads")
        if self.decoder in ("cmg", "cmg-patches"):
            wide, many = getattr(self, width), getattr(self, heads)
            if wide % many:
                raise ValueError(f"{heads} is {many}, which does not divide {width}, {wide}")
        return self
