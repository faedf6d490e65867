"""The options that all stages share: folders, subject, machine. None of them decides a result."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from mindanim.config.names import KINDS
from mindanim.config.option import Options, opt, spelled
from mindanim.errors import InputError, UsageError
from mindanim.vocabulary.file_names import NAME, NAME_RULE
from mindanim.vocabulary.subjects import Subject, subject_of
from mindanim.vocabulary.words import unknown

DEFAULT_WORK = Path("mindanim-work")

Precision = Literal["auto", "fp32", "bf16", "fp16"]


class RunOptions(Options):
    """Where inputs and outputs are and how the work is done; never part of an artifact's identity."""

    dataset: Annotated[str | None, spelled(NAME, NAME_RULE)] = opt(
        None,
        "Study to work on, e.g. cc2017; bids-NAME keeps a second one apart.",
        flag=True,
        identity=False,
    )
    data: Path | None = opt(None, "Folder of the raw study, as downloaded.", flag=True, identity=False)
    subject: Subject | None = opt(
        None,
        "Subject: 1 for sub-01, pilot01 for sub-pilot01.",
        flag=True,
        identity=False,
        metavar="label",
    )
    work: Path = opt(DEFAULT_WORK, "Folder for all artifacts.", flag=True, identity=False)
    label: Annotated[str, spelled(f"({NAME})?", NAME_RULE)] = opt(
        "",
        "Name of a variant, stored next to the others; inputs with the same label are read if there are any.",
        flag=True,
        identity=False,
    )
    use: dict[str, str] = Field(
        default_factory=dict,
        description="Read this variant of an input, e.g. semantic=seed2; semantic= reads the unlabelled one.",
        json_schema_extra={"unit": "", "flag": True, "identity": False},
    )
    study: dict[str, str] = Field(
        default_factory=dict,
        description="Version of the study to read, where there are several, e.g. variant=1.6mm or clip_s=2.",
        json_schema_extra={"unit": "", "flag": True, "identity": False, "metavar": "key=value"},
    )
    recipe: str | None = opt(
        None,
        "Set of options, by name or file. If none is given, a stage takes the recipe that the study's "
        "stimuli were encoded with, otherwise the usual one of the kind of study.",
        flag=True,
        identity=False,
    )
    config: Path | None = opt(
        None, "TOML file of options: a study.toml, or an artifact's config.toml.", flag=True, identity=False
    )
    device: str = opt("auto", "auto, cpu, cuda, cuda:N or mps.", flag=True, identity=False)
    precision: Precision = opt("auto", "Numeric precision of the networks.", flag=True, identity=False)
    batch: int | None = opt(None, "Clips per batch; auto chooses by memory.", flag=True, identity=False, ge=1)
    low_memory: bool = opt(
        False, "Use as little memory as possible: slower, for small GPUs.", flag=True, identity=False
    )
    shard: str | None = opt(
        None,
        "Do one share of the work, e.g. 2/8; the processes with the other shares fill the same folder.",
        flag=True,
        identity=False,
    )
    force: bool = opt(
        False, "Rebuild; the existing result is moved aside, not deleted.", flag=True, identity=False
    )
    dry_run: bool = opt(
        False, "Check everything and print what would run; write nothing.", flag=True, identity=False
    )
    offline: bool = opt(False, "Never use the network.", flag=True, identity=False)
    allow_partial: bool = opt(False, "Allow an incomplete study.", flag=True, identity=False)

    @field_validator("dataset")
    @classmethod
    def _lower_case(cls, value: str | None) -> str | None:
        return value.lower() if value is not None else None

    @field_validator("subject", mode="before")
    @classmethod
    def _number_or_label(cls, value: Any) -> Any:
        return value if value is None else subject_of(value)

    @field_validator("batch", mode="before")
    @classmethod
    def _by_memory(cls, value: Any) -> Any:
        return None if value == "auto" else value

    @field_validator("shard")
    @classmethod
    def _share(cls, value: str | None) -> str | None:
        if value is not None:
            match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", value)
            if match is None or not 1 <= int(match[1]) <= int(match[2]):
                raise ValueError("write it as i/n, with i from 1 to n")
        return value

    @property
    def share(self) -> tuple[int, int] | None:
        """Which share of how many, from 1; None for all of the work."""
        if self.shard is None:
            return None
        which, count = self.shard.split("/")
        return int(which), int(count)

    @field_validator("study", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        """TOML has numbers, the command line has only texts: clip_s = 2 and clip_s=2 are the same."""
        if not isinstance(value, Mapping):
            return value
        return {
            key: f"{one:g}" if isinstance(one, int | float) and not isinstance(one, bool) else one
            for key, one in value.items()
        }

    @field_validator("recipe")
    @classmethod
    def _anywhere(cls, value: str | None) -> str | None:
        """A recipe's file is recorded with its full path: later stages may run in another folder."""
        return str(Path(value).expanduser().absolute()) if value and value.endswith(".toml") else value

    @field_validator("data", "work", "config")
    @classmethod
    def _home(cls, value: Path | None) -> Path | None:
        return value.expanduser() if value is not None else None

    @field_validator("use")
    @classmethod
    def _known_kinds(cls, value: dict[str, str]) -> dict[str, str]:
        problems = [unknown("input", name, KINDS) for name in value if name not in KINDS]
        wrong = [label for label in value.values() if label and re.fullmatch(NAME, label) is None]
        problems += [f"the label '{label}': {NAME_RULE}" for label in wrong]
        if problems:
            raise ValueError("; ".join(problems))
        return value

    def need_dataset(self) -> str:
        """The dataset's name; UsageError when none was given or found."""
        if self.dataset is None:
            raise UsageError("No dataset was given.", hint="Add --dataset NAME, or set MINDANIM_DATASET.")
        return self.dataset

    def need_data(self) -> Path:
        """The raw data folder; InputError when none was given or found."""
        if self.data is None:
            raise InputError("The raw data folder is unknown.", hint="Add --data FOLDER.")
        return self.data

    def need_subject(self) -> Subject:
        """The subject; UsageError when none was given."""
        if self.subject is None:
            raise UsageError("No subject was given.", hint="Add --subject with a number or a label")
        return self.subject
