"""The networks that metrics look through: found on this machine, loaded, and shown every clip once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mindanim.artifacts import Source
from mindanim.artifacts.files import sha256_of
from mindanim.backbones import locate
from mindanim.config.evaluate import EvaluateConfig
from mindanim.errors import InputError, MindanimError, MissingError, raise_together
from mindanim.metrics.families.metric import NETWORKS, Loading, Metric
from mindanim.metrics.families.semantic import Answers
from mindanim.vocabulary.arrays import to_tensor
from mindanim.vocabulary.clips import Clips
from mindanim.vocabulary.scratch import IN_TEMPORARY, Scratch

if TYPE_CHECKING:
    import torch

    from mindanim.backbones import Kind


@dataclass(frozen=True)
class FoundNetwork:
    """A network on this machine.

    Attributes:
        where: Its name on the hub, or the file or folder of its weights.
        name: What the user called it.
        source: Its files, as an input of the evaluation.
        sha256: Of their content.
    """

    where: str | Path
    name: str
    source: Source
    sha256: str

    @property
    def backbone(self) -> dict[str, str]:
        """`backbone` of the scores in metrics.json."""
        return {"name": self.name, "sha256": self.sha256}


def find_networks(
    metrics: Iterable[Metric], config: EvaluateConfig, offline: bool
) -> dict[str, FoundNetwork]:
    """The networks that some metrics need and the options name, by need.

    Raises:
        ConfigError: The option `weights` names an unknown network.
        MissingError: Weights are missing; its hint says how to get them and how to go on without.
        InputError: A file or folder of weights does not exist.
    """
    found: dict[str, FoundNetwork] = {}
    problems: list[MindanimError] = []
    for name in config.weights:
        NETWORKS[name]  # an error for a name that does not exist
    needed = {name: NETWORKS[name] for metric in metrics for name in metric.networks}
    for name, network in sorted(needed.items(), key=lambda item: not item[1].hub):
        given = getattr(config, name, None) or config.weights.get(name)
        if not given:
            continue
        try:
            found[name] = _on_hub(str(given), name, offline) if network.hub else _of_user(Path(given), name)
        except MissingError as error:
            without = f"Or go without it: --set {name}=none. Every table then names what is left out."
            problems.append(MissingError(error.what, why=error.why, hint=f"{error.hint}\n{without}"))
        except MindanimError as error:
            problems.append(error)
    raise_together(problems)
    return found


def _on_hub(name: str, kind: Any, offline: bool) -> FoundNetwork:
    located: Kind = kind
    weights = locate(name, located, offline)
    return FoundNetwork(name, name, weights.source, weights.identity)


def _of_user(path: Path, need: str) -> FoundNetwork:
    if path.is_dir():
        source = Source.of_files(need, [file for file in sorted(path.rglob("*")) if file.is_file()], path)
        return FoundNetwork(path, path.name, source, source.identity)
    if not path.is_file():
        raise InputError(f"{path} does not exist.", hint=f"Name the weights of {need}.")
    return FoundNetwork(path, path.name, Source.of_files(need, [path], path.parent), sha256_of(path))


def load_networks(found: Mapping[str, FoundNetwork], on: Loading) -> dict[str, Any]:
    """The networks themselves, by need."""
    return {name: NETWORKS[name].load(network.where, on) for name, network in found.items()}


def ask(
    clips: Clips, networks: Mapping[str, Any], batch: int, scratch: Scratch = IN_TEMPORARY
) -> dict[str, NDArray[np.float32]]:
    """The answers of networks to all clips.

    Args:
        clips: What they are shown.
        networks: By name.
        batch: Clips shown at a time.
        scratch: Where to put the answers.

    Returns:
        Name of the answer -> (clip, ...); see `Network.answers`.
    """
    asked = {name: NETWORKS[name] for name in networks if NETWORKS[name].ask is not None}
    found: dict[str, NDArray[np.float32]] = {}
    for start in range(0, len(clips), batch) if asked else ():
        frames = np.stack([clips[index] for index in range(start, min(start + batch, len(clips)))])
        shown = to_tensor(frames)
        for name, network in asked.items():
            if network.ask is None:
                continue
            for answer, tensor in zip(network.answers, network.ask(networks[name], shown), strict=True):
                values = _array(tensor)
                if answer not in found:
                    found[answer] = scratch.array((len(clips), *values.shape[1:]), np.float32)
                found[answer][start : start + len(values)] = values
    return found


def ask_frozen(
    answers: Answers,
    frozen: Clips,
    networks: Mapping[str, Any],
    batch: int,
    scratch: Scratch = IN_TEMPORARY,
) -> dict[str, NDArray[np.float32]]:
    """The answers to clips whose first frame is held: those by frame are known from `answers`, the others are
    asked for."""
    whole = {name: network for name, network in networks.items() if not NETWORKS[name].by_frame}
    known = (name for network in networks if NETWORKS[network].by_frame for name in NETWORKS[network].answers)
    held = {name: np.broadcast_to(answers[name][:, :1], answers[name].shape) for name in known}
    return held | ask(frozen, whole, batch, scratch)


def _array(tensor: torch.Tensor) -> NDArray[np.float32]:
    result: NDArray[np.float32] = tensor.detach().float().cpu().numpy()
    return result
