"""A small work folder with one artifact per kind, as this version writes it: the fixture of test_upgrade.

`python -m tests.ground.work_folder` writes tests/ground/fixtures/work. Do that only together with raising the
`stage_version` of a stage: until then, artifacts of users must stay valid, and so must these.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mindanim.artifacts import Artifact, Draft, Plan, Source, Workspace, produce
from mindanim.artifacts.plan import make_plan
from mindanim.config.encode_stimuli import EncodeStimuliConfig
from mindanim.config.evaluate import EvaluateConfig
from mindanim.config.generate import GenerateConfig
from mindanim.config.invocation import Invocation, invoked
from mindanim.config.names import MAKER
from mindanim.config.option import StageConfig
from mindanim.config.preprocess import PreprocessConfig
from mindanim.config.run_options import RunOptions
from mindanim.config.train import TrainMotionConfig, TrainSemanticConfig, TrainStructureConfig

FIXTURE = Path(__file__).parent / "fixtures/work"
_RUNS, _FILMS, _DIFFUSION = (Source(name, name[0] * 64) for name in ("runs", "films", "diffusion"))


@dataclass(frozen=True)
class Made:
    """One artifact of the folder: its options, those that differ from the defaults, and its inputs.

    inputs: name -> folder below sub-01 or, for a source, the source itself.
    """

    kind: str
    config: type[StageConfig]
    inputs: Mapping[str, str | Source]
    options: Mapping[str, Any]
    label: str = ""

    @property
    def name(self) -> str:
        """The folder's name."""
        return f"{self.kind}-{self.label}" if self.label else self.kind

    def plan(self, work: Path, config: StageConfig) -> Plan:
        """What a stage with these options would do with the folder below `work`."""
        run, seed = self.run(work), getattr(config, "seed", None)
        return make_plan(self.kind, self.path(work), config, self.given(work), run, seed)

    def run(self, work: Path) -> RunOptions:
        """The options of the run that makes it."""
        return RunOptions(dataset="toy", subject=1, work=work, label=self.label)

    def path(self, work: Path) -> Path:
        """Its folder."""
        return Workspace.of(self.run(work)).place(self.run(work), self.kind)

    def given(self, work: Path) -> dict[str, Artifact | Source]:
        """Its inputs."""
        return {
            name: given if isinstance(given, Source) else Artifact.load(BY_NAME[given].path(work))
            for name, given in self.inputs.items()
        }


_TRAINING = {"fmri": "fmri", "stimuli": "stimuli"}
_VIDEOS = _TRAINING | {name: name for name in ("semantic", "structure", "motion")}
FOLDERS = (
    Made("fmri", PreprocessConfig, {"runs": _RUNS}, {"lags_s": (4.0, 6.0)}),
    Made("stimuli", EncodeStimuliConfig, {"films": _FILMS, "diffusion": _DIFFUSION}, {}),
    Made("semantic", TrainSemanticConfig, _TRAINING, {"epochs": 5}),
    Made("structure", TrainStructureConfig, _TRAINING, {}),
    Made("motion", TrainMotionConfig, _TRAINING, {}),
    Made("motion", TrainMotionConfig, _TRAINING, {"decoder": "ridge", "ridge_folds": 5}, label="ridge"),
    Made("videos", GenerateConfig, {**_VIDEOS, "diffusion": _DIFFUSION}, {}),
    Made("evaluation", EvaluateConfig, {"fmri": "fmri", "stimuli": "stimuli", "videos": "videos"}, {}),
)
BY_NAME = {made.name: made for made in FOLDERS}


def build(work: Path) -> None:
    """Make all of them below `work`, in the order of the stages."""
    for made in FOLDERS:
        config = made.config.model_validate(made.options)
        command = ("mindanim", MAKER[made.kind], "--dataset", "toy", "--subject", "1")

        def write(draft: Draft) -> None:
            draft.save_array("values.npy", np.arange(3, dtype=np.float32), axes="clip")

        with invoked(Invocation(command, config, dict.fromkeys(made.options, "--set"))):
            produce(
                made.kind,
                made.path(work),
                config=config,
                inputs=made.given(work),
                run=made.run(work),
                seed=getattr(config, "seed", None),
                build=write,
            )


def main() -> None:
    """Write the fixture, without what differs between machines."""
    shutil.rmtree(FIXTURE, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        build(Path("work"))
        shutil.copytree("work", FIXTURE, ignore=shutil.ignore_patterns("log.txt", ".*"))
    for file in FIXTURE.rglob("manifest.json"):
        manifest = json.loads(file.read_text(encoding="utf-8"))
        manifest |= {"environment": {}, "commit": None}
        file.write_text(json.dumps(manifest, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
