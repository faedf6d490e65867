"""The options of the three training stages. The defaults are the paper's values."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import model_validator

from mindanim.config.option import Variants, opt
from mindanim.config.train_shared import DESCENT, NETWORK, Schedule, TrainConfig
from mindanim.config.variants import PLUGIN

__all__ = ["TrainConfig", "TrainMotionConfig", "TrainSemanticConfig", "TrainStructureConfig"]

_MLP = {"decoder": ("mlp",)}
_CMG = {"decoder": ("cmg",)}
_PATCHES = {"decoder": ("cmg-patches",)}
_GENERATOR = {"decoder": ("cmg", "cmg-patches")}
_ENCODER = {"decoder": ("cmg", "mlp")}


class TrainSemanticConfig(TrainConfig):
    """Stage 1a: responses to the CLIP vector and the text condition (what is seen)."""

    stage_version = 1  # as first released
    arguments_of = {"mlp": ("width", "blocks", "dropout", "block_dropout", "head_widths")}

    decoder: Annotated[str, Variants("decoder", ("mlp", "ridge"), "semantic", paths=True)] = opt(
        "mlp", "The paper's network, the linear baseline, or your own.", flag=True
    )
    width: int | None = opt(None, "Width of the trunk; none is the width of CLIP.", ge=1, only=_MLP)
    blocks: int = opt(3, "Residual blocks of the trunk.", flag=True, ge=0, only=_MLP)
    dropout: float = opt(0.3, "Dropout after the first layer.", ge=0, lt=1, only=_MLP)
    block_dropout: float = opt(0.15, "Dropout in the residual blocks.", ge=0, lt=1, only=_MLP)
    head_widths: tuple[int, ...] = opt(
        (2048, 4096), "Hidden widths of the head that predicts the text condition.", only=_MLP
    )
    contrastive_weight: float = opt(0.01, "Weight k1 of the tri-modal contrastive loss.", ge=0, only=NETWORK)
    text_share: float = opt(
        0.5,
        "Weight alpha of the text in the contrastive loss; the image has 1 - alpha.",
        ge=0,
        le=1,
        only=NETWORK,
    )
    token_weight: float = opt(0.5, "Weight k2 of the text condition's squared error.", ge=0)
    equal_captions: Literal["positives", "negatives"] = opt(
        "positives",
        "Clips with the same caption are positives or (as in the released code) negatives of each other.",
        only=NETWORK,
    )
    augment: bool = opt(
        True,
        "Draw one of the augmented views of image and caption per clip and epoch.",
        flag=True,
        only=NETWORK,
    )
    temperature: float = opt(0.07, "Initial temperature of the contrastive loss.", gt=0, only=NETWORK)


class TrainStructureConfig(TrainConfig):
    """Stage 1b: responses to the first frame's latent (where things are and how they look)."""

    stage_version = 2  # 400 epochs by default, as in the released script
    arguments_of = {"mlp": ("width", "blocks", "dropout")}

    decoder: Annotated[str, Variants("decoder", ("mlp", "ridge"), "structure", paths=True)] = opt(
        "mlp", "The paper's network, the linear baseline, or your own.", flag=True
    )
    epochs: int = opt(400, "Passes over the training clips.", flag=True, ge=1, only=NETWORK)
    learning_rate: float = opt(
        1e-6,
        "Learning rate.",
        flag=True,
        gt=0,
        only=DESCENT,
    )
    zero_fraction: float = opt(
        0.2, "Fraction of response entries set to zero, drawn for every batch.", ge=0, lt=1, only=NETWORK
    )
    l1_penalty: float = opt(4e-6, "Weight of the L1 penalty on all parameters.", ge=0, only=NETWORK)
    l1_decay: float = opt(
        5e-5, "The L1 penalty at epoch e is multiplied by exp(-l1_decay * e).", ge=0, only=NETWORK
    )
    width: int = opt(1024, "Width of the hidden layers.", flag=True, ge=1, only=_MLP)
    blocks: int = opt(2, "Residual blocks.", ge=0, only=_MLP)
    dropout: float = opt(0.2, "Dropout after each hidden layer.", ge=0, lt=1, only=_MLP)


class TrainMotionConfig(TrainConfig):
    """Stage 1c: first frame and responses to the following frames' latents (how things move)."""

    stage_version = (
        2  # the released generators: dropout in all their places, their norms, their patch variant
    )
    # Every motion decoder is validated with first frames decoded by ridge.
    regardless = ("ridge_alphas", "ridge_folds", "ridge_components", "ridge_relevance")
    _rolled: ClassVar = ("target", "rollout_mask", "difference_gain")
    _trunk: ClassVar = ("fmri_width", "fmri_blocks", "fmri_dropout", "block_dropout")
    _encoder: ClassVar = ("memory_tokens", *_trunk)
    arguments_of = {
        "cmg": ("width", "layers", "heads", "feedforward", "dropout", "attention_dropout", "inner_dropout")
        + ("norm", *_rolled, *_encoder),
        "cmg-patches": ("patch_size", "patch_width", "patch_layers", "patch_heads", "mlp_ratio")
        + ("attention_dropout", *_rolled),
        "mlp": ("target", "difference_gain", *_trunk),
        "ridge": ("target", "difference_gain"),
    }

    decoder: Annotated[
        str, Variants("decoder", ("cmg", "cmg-patches", "mlp", "ridge", "transport"), "motion", paths=True)
    ] = opt(
        "cmg",
        "cmg: the paper's consistency motion generator, cmg-patches: with patches as tokens, mlp: each frame "
        "from the response alone, ridge: linear regression of the latents, transport: of their optical flow, "
        "which then moves the first frame; or your own.",
        flag=True,
    )
    epochs: int = opt(300, "Passes over the training clips.", flag=True, ge=1, only=NETWORK)
    schedule: Schedule = opt("noam", "Learning rate schedule.", only=NETWORK)
    warmup_steps: int = opt(50, "Steps over which the learning rate rises.", unit="steps", ge=0, only=NETWORK)
    noam_factor: float = opt(
        1.0,
        "Factor of the noam schedule, whose model size is that of the frame token.",
        gt=0,
        only={"schedule": ("noam",)},
    )
    betas: tuple[float, float] = opt((0.9, 0.98), "Decay rates of Adam's two moments.", only=NETWORK)
    epsilon: float = opt(1e-9, "Adam's term against division by zero.", gt=0, only=NETWORK)
    zero_fraction: float = opt(
        0.0, "Fraction of response entries set to zero, drawn for every batch.", ge=0, lt=1, only=NETWORK
    )
    l1_penalty: float = opt(6e-7, "Weight of the L1 penalty on all parameters.", ge=0, only=NETWORK)
    l1_decay: float = opt(
        1e-3, "The L1 penalty at epoch e is multiplied by exp(-l1_decay * e).", ge=0, only=NETWORK
    )

    target: Literal["frame", "difference"] = opt(
        "frame",
        "Predict frames (the paper), or standardised differences from the first frame.",
        flag=True,
        only={"decoder": ("cmg", "cmg-patches", "mlp", "ridge", PLUGIN)},
    )
    difference_gain: float = opt(
        1.0,
        "Factor on decoded differences: 1 minimises the squared error, more restores the size of motion.",
        gt=0,
        only={"decoder": ("cmg", "cmg-patches", "mlp", "ridge"), "target": ("difference",)},
    )
    width: int = opt(1024, "Width of the attention.", ge=1, only=_CMG)
    layers: int = opt(2, "Layers of the generator.", ge=1, only=_CMG)
    heads: int = opt(4, "Attention heads.", ge=1, only=_CMG)
    feedforward: int = opt(768, "Width of the feed-forward sublayers.", ge=1, only=_CMG)
    dropout: float = opt(0.2, "Dropout after each sublayer.", ge=0, lt=1, only=_CMG)
    attention_dropout: float = opt(
        0.15,
        "Dropout on attention weights: of all attention (cmg), of that to the responses (cmg-patches).",
        ge=0,
        lt=1,
        only=_GENERATOR,
    )
    inner_dropout: float = opt(
        0.2,
        "Dropout inside the feed-forward sublayers and after the position codes.",
        ge=0,
        lt=1,
        only=_CMG,
    )
    norm: Literal["layer", "deviation"] = opt(
        "deviation",
        "Layer norm: torch's, or the released code's, which divides by (deviation + 1e-6).",
        only=_CMG,
    )
    patch_size: int = opt(4, "Side of a patch.", unit="latent px", ge=1, only=_PATCHES)
    patch_width: int = opt(512, "Features per patch.", ge=4, only=_PATCHES)
    patch_layers: int = opt(4, "Layers of the generator with patches.", ge=1, only=_PATCHES)
    patch_heads: int = opt(8, "Attention heads of the generator with patches.", ge=1, only=_PATCHES)
    mlp_ratio: float = opt(
        4.0, "Hidden width of the patches' feed-forward sublayers, in patch widths.", gt=0, only=_PATCHES
    )
    memory_tokens: int = opt(1, "Tokens that encode the responses; 1 adds their projection.", ge=1, only=_CMG)
    fmri_width: int = opt(768, "Width of the response encoder.", ge=1, only=_ENCODER)
    fmri_blocks: int = opt(1, "Residual blocks of the response encoder.", ge=0, only=_ENCODER)
    fmri_dropout: float = opt(
        0.3, "Dropout after the response encoder's first layer.", ge=0, lt=1, only=_ENCODER
    )
    block_dropout: float = opt(
        0.15, "Dropout in the response encoder's residual blocks.", ge=0, lt=1, only=_ENCODER
    )
    keep_visible: float = opt(
        0.6,
        "Probability that a past frame stays visible in training.",
        flag=True,
        ge=0,
        le=1,
        only={"decoder": ("cmg", "cmg-patches", PLUGIN)},
    )
    mask_draws: Literal["step", "once"] = opt(
        "step",
        "Draw which past frames are hidden in every training step, or (released) once for all of them.",
        only={"decoder": ("cmg", "cmg-patches", PLUGIN)},
    )
    rollout_mask: Literal["causal", "first"] = opt(
        "causal",
        "What a frame attends to at inference: all past frames, or (released) only frame 0 from the third "
        "frame on.",
        only=_GENERATOR,
    )
    motion_weight: float = opt(0.0, "Extra weight of the loss where the latent changes.", ge=0, only=NETWORK)
    first_frames: Literal["true", "decoded", "both"] = opt(
        "true",
        "First frames in training: true (the paper), decoded by cross-validated ridge, or half of each.",
        only=NETWORK,
    )
    flow_grid: int = opt(
        16, "Most cells per side of the motion field.", unit="cells", ge=2, only={"decoder": ("transport",)}
    )
    flow_smoothing: float = opt(
        0.5,
        "Pull of the motion field towards zero, relative to the mean gradient energy.",
        gt=0,
        only={"decoder": ("transport",)},
    )
    flow_gain: float | None = opt(
        None,
        "Factor on the decoded motion field; none picks the one with the best cross-validated difference r.",
        gt=0,
        only={"decoder": ("transport",)},
    )

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        width, heads = ("patch_width", "patch_heads") if self.decoder == "cmg-patches" else ("width", "heads")
        if self.decoder in ("cmg", "cmg-patches"):
            wide, many = getattr(self, width), getattr(self, heads)
            if wide % many:
                raise ValueError(f"{heads} ({many}) must divide {width} ({wide})")
        return self
