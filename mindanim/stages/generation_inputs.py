"""The inputs of `mindanim generate`: its clips, and the features of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mindanim.artifacts import Artifact, Coverage
from mindanim.backbones import DiffusionBackbone
from mindanim.config.generate import Feature, GenerateConfig
from mindanim.config.suggestion import suggested
from mindanim.errors import InputError, MindanimError, raise_together

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from mindanim.generation.features import Features, Known

TOGETHER = 32
"""Clips to decode at a time; the same on every machine, so that the features are the same to the bit."""
_DECODING = ("without", "oracle", "no_brain", "repeats")


@dataclass(frozen=True)
class GenerationInputs:
    """The artifacts behind one subject's videos.

    Attributes:
        config: The options of the stage.
        artifacts: fmri, stimuli and the decoders in `decoded`, by name.
        decoded: The features that are decoded.
        backbone: The diffusion model.
        earlier: Videos whose decoded features are reused, if any.
    """

    config: GenerateConfig
    artifacts: Mapping[str, Artifact]
    decoded: Sequence[Feature]
    backbone: DiffusionBackbone
    earlier: Artifact | None = None

    @property
    def stimuli(self) -> Artifact:
        return self.artifacts["stimuli"]

    @cached_property
    def clips(self) -> pd.DataFrame:
        """The subject's test clips: `row` is their row in the responses, `stimulus` that in the features."""
        table = self.stimuli.table("clips.tsv")
        there = {name: row for row, name in enumerate(table["clip_id"])}
        mine = self.artifacts["fmri"].table("clips.tsv")
        test = mine[mine["split"] == "test"].reset_index(drop=True)
        if missing := [name for name in test["clip_id"] if name not in there]:
            raise InputError(
                f"{len(missing)} test clips have responses but no encoded stimuli, {missing[0]} the first.",
                why=f"{self.stimuli.path} was made from other films, or from some of them only.",
                hint=f"Encode them again: {self.stimuli.command}",
            )
        stimulus = [there[name] for name in test["clip_id"]]
        return test.assign(
            row=range(len(test)), stimulus=stimulus, caption=table["caption"].iloc[stimulus].to_numpy()
        )

    @cached_property
    def chosen(self) -> pd.DataFrame:
        """The rows of `clips` that are asked for."""
        from mindanim.generation.clip_choice import chosen_rows

        rows = chosen_rows(list(self.clips["clip_id"]), self.config.clips, self.config.limit)
        return self.clips.iloc[rows].reset_index(drop=True)

    def covers(self, videos: Artifact) -> Coverage:
        """Whether videos of this identity have all chosen clips."""
        there, asked = set(videos.table("clips.tsv")["clip_id"]), list(self.chosen["clip_id"])
        if missing := [name for name in asked if name not in there]:
            return Coverage(
                f"it has {len(there)} clips, and lacks {len(missing)} of the {len(asked)} asked for"
            )
        more = len(there) - len(asked)
        return Coverage("", f"; it has the {len(asked)} clips asked for and {more} more" if more else "")

    @cached_property
    def shape(self) -> tuple[int, int, int, int]:
        """(frame, channel, height, width) of one clip's latents."""
        frames, channels, height, width = self.stimuli.array("latents.npy").shape[1:]
        return frames, channels, height, width

    @cached_property
    def fps(self) -> Fraction:
        """Frames per second at which the films were sampled, hence of the videos."""
        return Fraction(self.stimuli.facts["fps"]).limit_denominator(1001)

    @cached_property
    def empty(self) -> NDArray[np.floating[Any]]:
        """The empty prompt, (token, feature)."""
        return self.stimuli.array("empty_tokens.npy")

    def check(self) -> None:
        """Check that the inputs belong together.

        Raises:
            InputError: Names everything that does not.
        """
        from mindanim.generation.samplers import SAMPLERS

        problems: list[MindanimError] = []
        stimuli, backbone = self.stimuli, self.backbone
        for name in self.decoded:
            problems += [
                self._stranger(name, used) for used in ("fmri", "stimuli") if self._differ(name, used)
            ]
        encoder = stimuli.manifest["inputs"].get("diffusion", {"identity": backbone.weights.identity})
        if (
            encoder["identity"] != backbone.weights.identity
            or self.shape[1] != backbone.latent_shape[0]
            or self.empty.shape[-1] != backbone.text_width
        ):
            problems.append(
                InputError(
                    f"{stimuli.path} was encoded with a different diffusion model, not "
                    f"{backbone.weights.name}.",
                    why="Latents and text conditions are only valid for the model that encoded them.",
                    hint="Use the same model for both (--set diffusion=...), or encode the stimuli again.",
                )
            )
        if self.earlier is not None:
            problems += self._unlike(self.earlier)
        if self.config.tile is not None:
            backbone.check_tile(self.config.tile)
        raise_together(problems)
        SAMPLERS[self.config.sampler].check(self.config)
        self.chosen  # noqa: B018 - refuses clips that do not exist

    def features(self, groups: Iterable[pd.DataFrame]) -> Iterator[tuple[list[str], Features]]:
        """Names and features of groups of `clips`; the decoders are released after the last group."""
        import torch

        from mindanim import decoders
        from mindanim.generation.features import features

        if self.earlier is not None:
            for group in groups:
                yield list(group["clip_id"]), _taken_again(self.earlier, list(group["clip_id"]))
            return
        known, responses = self._known(), self._responses()
        loaded = {
            name: decoders.load(self.artifacts[name].path, self.backbone.device) for name in self.decoded
        }
        for group in groups:
            signal = torch.from_numpy(responses[group["row"].to_numpy()].astype("float32"))
            given = features(self.config, loaded, signal, known, group["stimulus"].to_numpy())
            yield list(group["clip_id"]), given

    def _responses(self) -> NDArray[np.float32]:
        """The test clips' responses (clip, lag, voxel), averaged over the chosen repeats."""
        from mindanim.generation.features import half_of_repeats, noise_responses

        fmri = self.artifacts["fmri"]
        responses: NDArray[np.float32] | None
        if self.config.repeats == "all":
            responses = fmri.array("test_responses.npy")
        else:
            responses = half_of_repeats(fmri.array("test_repeats.npy"), self.config.repeats)
        if responses is None:
            raise InputError(
                f"Some test clips in {fmri.path} have no {self.config.repeats} repeat.",
                why="Odd and even repeats need at least two repeats of each clip.",
            )
        if self.config.no_brain:
            return noise_responses(responses, list(self.clips["clip_id"]), self.config.seed)
        return responses

    def _known(self) -> Known:
        import numpy as np

        from mindanim.generation.features import Known

        stimuli, train = self.stimuli, self.stimuli.table("clips.tsv")["split"] == "train"
        latents, clip = stimuli.array("latents.npy"), stimuli.array("clip_text.npy")[:, 0]
        means: dict[Feature, NDArray[Any]] = {}
        if "semantic" in self.config.without:
            means["semantic"] = clip[train].mean(axis=0)
        if "structure" in self.config.without:
            means["structure"] = latents[:, 0][train].mean(axis=0, dtype=np.float64)
        return Known(clip, stimuli.array("text_tokens.npy"), latents, self.empty, means)

    def _differ(self, decoder: Feature, used: str) -> bool:
        trained_on = self.artifacts[decoder].manifest["inputs"].get(used)
        return trained_on is not None and trained_on["identity"] != self.artifacts[used].identity

    def _stranger(self, decoder: Feature, used: str) -> InputError:
        return InputError(
            f"The {decoder} decoder in {self.artifacts[decoder].path} was trained on a different {used}, not "
            f"on {self.artifacts[used].path}.",
            why="Its inputs or outputs do not match these.",
            hint=f"Choose matching inputs with --use {used}=LABEL, or train it again: "
            f"{suggested(f'train-{decoder}', '--force')}",
        )

    def _unlike(self, videos: Artifact) -> list[MindanimError]:
        """Why the features of earlier videos differ from those that would be decoded now."""
        recorded = videos.manifest["inputs"]
        reasons = [
            f"they were decoded from a different {name}"
            for name, artifact in self.artifacts.items()
            if recorded.get(name, {}).get("identity") != artifact.identity
        ]
        now = self.config.model_dump(mode="json")
        decoding = (*_DECODING, "seed") if self.config.no_brain else _DECODING
        reasons += [
            f"the option {name} was {videos.options.get(name)}, and is {now[name]} now"
            for name in decoding
            if videos.options.get(name) != now[name]
        ]
        there = set(videos.table("clips.tsv")["clip_id"])
        if missing := [name for name in self.chosen["clip_id"] if name not in there]:
            reasons.append(f"they lack {len(missing)} of the clips, {missing[0]} the first")
        if not reasons:
            return []
        return [
            InputError(
                f"The decoded features of {videos.path} do not match this run.",
                why=f"{'; '.join(reasons)[:1].upper()}{'; '.join(reasons)[1:]}.",
                hint="Use the same inputs and options, or leave `features` out to decode again, which takes "
                "seconds.",
            )
        ]


def _taken_again(videos: Artifact, names: Sequence[str]) -> Features:
    """The features that clips of finished videos were sampled from."""
    import numpy as np
    import torch

    from mindanim.generation.features import Features

    place = {name: row for row, name in enumerate(videos.table("clips.tsv")["clip_id"])}
    rows = [place[name] for name in names]
    arrays = (videos.array(f"decoded_{kind}.npy")[rows] for kind in ("clip", "tokens", "latents"))
    return Features(*(torch.from_numpy(np.asarray(array, np.float32)) for array in arrays))
