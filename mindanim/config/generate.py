"""Options of `mindanim generate`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import field_validator, model_validator

from mindanim.config.names import NAME
from mindanim.config.option import StageConfig, opt, spelled

Feature = Literal["semantic", "structure", "motion"]

_VIDEOS = "it names the folder of finished videos of the subject: videos, or videos-LABEL"
_NAMED_NOISE = {"shared": 1.0, "independent": 0.0}


class GenerateConfig(StageConfig):
    """From decoded features to frames."""

    sampler: Literal["sdedit", "released"] = opt(
        "sdedit",
        "sdedit noises the decoded latents and denoises from there; released is the published procedure.",
        flag=True,
    )
    steps: int = opt(
        20, "Steps of the full schedule of sdedit; the share `strength` of them is run.", flag=True, ge=1
    )
    strength: float = opt(
        0.75,
        "Share of the schedule that sdedit runs: 1 ignores the decoded latents, near 0 keeps them.",
        flag=True,
        gt=0,
        le=1,
    )
    guidance: float = opt(
        7.5,
        "Weight of the decoded text condition in sdedit; 1 does without the second evaluation.",
        flag=True,
        ge=0,
    )
    without: tuple[Feature, ...] = opt(
        (), "Features to leave out: empty prompt, mean training latent, first frame repeated.", flag=True
    )
    oracle: tuple[Feature | Literal["all"], ...] = opt(
        (), "True features in the place of decoded ones; all is the ceiling of any decoder.", flag=True
    )
    no_brain: bool = opt(
        False,
        "Decode noise with the test responses' mean and covariance in the place of the responses.",
        flag=True,
    )
    repeats: Literal["all", "odd", "even"] = opt(
        "all", "Decode the mean over all repeats of the test clips, or over every second one only."
    )
    clips: str = opt(
        "", "Test clips to make: numbers (1-20,35) in table order, or clip ids; empty is all.", flag=True
    )
    limit: int | None = opt(
        None, "Make at most this many of the chosen clips.", flag=True, unit="clips", ge=1
    )
    features: Annotated[str, spelled(f"(videos(-{NAME})?)?", _VIDEOS)] = opt(
        "",
        "Sample again from the decoded features of these finished videos, e.g. videos or videos-LABEL.",
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
    released_steps: int = opt(50, "DDIM steps of the released sampler, down and up again.", ge=1, le=999)
    released_noise_timestep: int = opt(
        200, "Level of the noise that the released sampler adds.", ge=0, le=999
    )
    released_guidance: float = opt(12.5, "Guidance of the released sampler.", ge=0)
    released_negative_prompt: str = opt(
        "Not like the real scene, Distorted and blurred body, blurry,bad proportions,out of frame,disfigured",
        "What the released sampler leads away from; cut to the condition's length.",
    )
    compile: bool = opt(
        False, "Compile the network with torch.compile: a slow start, then faster.", identity=False
    )
    frames_at_once: int | None = opt(
        None, "Frames the autoencoder decodes together; none chooses by memory.", identity=False, ge=1
    )
    tile: int | None = opt(
        None,
        "Side of the tiles the autoencoder decodes a frame in: less memory, other pixels. None: no tiles.",
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
            raise ValueError(f"{', '.join(both)}: a feature is either left out (without) or true (oracle)")
        if self.no_brain and not any(map(self.is_decoded, get_args(Feature))):
            raise ValueError("no_brain has nothing to decode: every feature is left out or true")
        return self

    def is_true(self, feature: Feature) -> bool:
        """Whether `feature` is taken from the clip itself."""
        return feature in self.oracle or "all" in self.oracle

    def is_decoded(self, feature: Feature) -> bool:
        """Whether `feature` comes from a decoder."""
        return feature not in self.without and not self.is_true(feature)
