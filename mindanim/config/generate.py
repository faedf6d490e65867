"""Options of `mindanim generate`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import field_validator, model_validator

from mindanim.config.option import StageConfig, Variants, modules_of, opt, spelled
from mindanim.config.variants import PLUGIN
from mindanim.vocabulary.file_names import NAME

Feature = Literal["semantic", "structure", "motion"]

_VIDEOS = "name a folder of the subject's finished videos: videos, or videos-LABEL"
_NAMED_NOISE = {"shared": 1.0, "independent": 0.0}
_DEFAULT, _PUBLISHED = "sdedit", "released"
_SAMPLERS = tuple(sorted(modules_of("generation/samplers"), key=lambda name: name != _DEFAULT))
# What samplers share; the published procedure has options of its own.
_SHARED = {"sampler": (*(name for name in _SAMPLERS if name != _PUBLISHED), PLUGIN)}
_RELEASED = {"sampler": (_PUBLISHED,)}


class GenerateConfig(StageConfig):
    """From decoded features to frames."""

    stage_version = 2  # 2: a strength is a share of signal, whatever the model's noise schedule

    sampler: Annotated[str, Variants("sampler", _SAMPLERS)] = opt(
        _DEFAULT,
        "sdedit adds noise to the decoded latents and denoises them; ddim is the same in plain DDIM steps; "
        "released is the published procedure.",
        flag=True,
    )
    sampler_arguments: dict[str, Any] = opt({}, "Arguments that only this sampler has; set them in a recipe.")
    steps: int = opt(
        20,
        "Steps from pure noise; the fraction `strength` of them is run.",
        flag=True,
        ge=1,
        only=_SHARED,
    )
    strength: float = opt(
        0.75,
        "Amplitude that decoded latents lose to noise before sampling: 1 ignores them, near 0 keeps them.",
        flag=True,
        gt=0,
        le=1,
        only=_SHARED,
    )
    guidance: float = opt(
        7.5,
        "Classifier-free guidance towards the decoded text condition; 1 skips the second evaluation.",
        flag=True,
        ge=0,
        only=_SHARED,
    )
    without: tuple[Feature, ...] = opt(
        (),
        "Features to leave out, replaced by the empty prompt, the mean training latent, a still first frame.",
        flag=True,
    )
    oracle: tuple[Feature | Literal["all"], ...] = opt(
        (), "Use true features instead of decoded ones; all gives the ceiling of any decoder.", flag=True
    )
    no_brain: bool = opt(
        False,
        "Decode noise with the mean and covariance of the test responses instead of the responses.",
        flag=True,
    )
    repeats: Literal["all", "odd", "even"] = opt(
        "all", "Decode the mean over all repeats of the test clips, or over every second one only."
    )
    clips: str = opt(
        "",
        "Test clips to generate: numbers in table order (1-20,35) or clip ids; empty is all.",
        flag=True,
        identity=False,
    )
    limit: int | None = opt(
        None,
        "Generate at most this many of the chosen clips.",
        flag=True,
        unit="clips",
        ge=1,
        identity=False,
    )
    features: Annotated[str, spelled(f"(videos(-{NAME})?)?", _VIDEOS)] = opt(
        "",
        "Sample again from the decoded features of these finished videos: videos or videos-LABEL.",
        identity=False,
    )
    noise: float = opt(
        1.0,
        "Correlation of the sampler's noise between the frames of a clip; or shared (1), independent (0).",
        ge=0,
        le=1,
    )
    seed: int = opt(0, "Seed of all noise; each clip derives its own.", ge=0)
    diffusion: str = opt("demo", "Diffusion model: demo, a local folder, or a hub id.", identity=False)
    released_steps: int = opt(
        50, "DDIM steps of the released sampler, inversion and sampling each.", ge=1, le=999, only=_RELEASED
    )
    released_noise_timestep: int = opt(
        200, "Timestep of the noise that the released sampler adds.", ge=0, le=999, only=_RELEASED
    )
    released_guidance: float = opt(
        12.5, "Classifier-free guidance of the released sampler.", ge=0, only=_RELEASED
    )
    released_negative_prompt: str = opt(
        "Not like the real scene, Distorted and blurred body, blurry,bad proportions,out of frame,disfigured",
        "Negative prompt of the released sampler, cut to the length of the condition.",
        only=_RELEASED,
    )
    compile: bool = opt(
        False, "Compile the network with torch.compile: slow to start, then faster.", identity=False
    )
    frames_at_once: int | None = opt(
        None, "Frames that the autoencoder decodes together; none chooses by memory.", identity=False, ge=1
    )
    tile: int | None = opt(
        None,
        "Decode frames in tiles of this side: less memory, slightly different pixels. none: no tiles.",
        unit="px",
        ge=64,
    )

    @field_validator("noise", mode="before")
    @classmethod
    def _noise_by_name(cls, value: Any) -> Any:
        return _NAMED_NOISE.get(value, value) if isinstance(value, str) else value

    @field_validator("without", "oracle", mode="after")
    @classmethod
    def _in_order(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(set(value)))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        both = [feature for feature in self.without if self.is_true(feature)]
        if both:
            raise ValueError(
                f"{', '.join(both)}: a feature cannot be both left out (without) and true (oracle)"
            )
        if self.no_brain and not any(map(self.is_decoded, get_args(Feature))):
            raise ValueError("no_brain has nothing to decode: every feature is left out or true")
        return self

    def is_true(self, feature: Feature) -> bool:
        """Whether `feature` is taken from the clip itself."""
        return feature in self.oracle or "all" in self.oracle

    def is_decoded(self, feature: Feature) -> bool:
        """Whether `feature` comes from a decoder."""
        return feature not in self.without and not self.is_true(feature)
