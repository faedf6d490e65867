"""A finished artifact: a folder with a manifest, read-only from here on."""

from __future__ import annotations

import hashlib
import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mindanim.artifacts.files import sha256_of
from mindanim.config.run_options import DEFAULT_WORK
from mindanim.errors import InputError
from mindanim.vocabulary.words import unknown

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MANIFEST, CONFIG = "manifest.json", "config.toml"
SCHEMA_VERSION = 2


@dataclass(frozen=True)
class Artifact:
    """A finished folder. `manifest` is its manifest.json; see docs/reference/artifacts.md."""

    path: Path
    kind: str
    identity: str
    manifest: dict[str, Any]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the artifact in the folder `path`.

        Raises:
            InputError: There is none, it is not readable, or another version of mindanim made it.
        """
        file = path / MANIFEST
        try:
            manifest = json.loads(file.read_text(encoding="utf-8"))
            version, kind, identity = manifest["schema_version"], manifest["kind"], manifest["identity"]
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(
                f"There is no artifact in {path}.",
                why="It contains no manifest.json, so mindanim did not make or not finish it.",
                hint="Give the folder of an artifact. To list them: mindanim show",
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{file} is not a manifest.", why=f"{type(error).__name__}: {error}") from error
        if version != SCHEMA_VERSION:
            age = "a newer" if version > SCHEMA_VERSION else "an older"
            raise InputError(
                f"{path} was made by {age} mindanim ({manifest.get('version', 'unknown version')}).",
                why=f"Its manifest has schema version {version}; this mindanim reads {SCHEMA_VERSION}.",
                hint="Use that version of mindanim, or make the artifact again with --force",
            )
        return cls(path, kind, identity, manifest)

    @property
    def digest(self) -> str:
        """A hash of the content of all outputs: tells whether a rebuilt artifact has the same result."""
        text = json.dumps(sorted((name, entry["sha256"]) for name, entry in self.outputs.items()))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def outputs(self) -> dict[str, dict[str, Any]]:
        """Name -> bytes, sha256 and, where they apply, shape, dtype, axes, unit and columns."""
        outputs: dict[str, dict[str, Any]] = self.manifest["outputs"]
        return outputs

    @property
    def options(self) -> dict[str, Any]:
        """The options that decided the result, with their values; only those of the variant in use."""
        config = self.manifest["config"]
        return {name: entry["value"] for name, entry in config.items() if entry["identity"]}

    @property
    def changed_options(self) -> list[str]:
        """Those of `options` that differ from the defaults of the version that made the artifact."""
        return [name for name in self.options if self.manifest["config"][name]["changed"]]

    @property
    def facts(self) -> dict[str, Any]:
        """Small facts about the result that the stage recorded."""
        facts: dict[str, Any] = self.manifest["facts"]
        return facts

    @property
    def findings(self) -> list[dict[str, Any]]:
        """Audit findings and warnings that stay with the artifact: code, text and data."""
        findings: list[dict[str, Any]] = self.manifest["findings"]
        return findings

    @property
    def recipe(self) -> str:
        """The recipe it was made with; empty if it is not recorded."""
        if recorded := self.manifest["run"].get("recipe"):
            return str(recorded)
        # Artifacts made before the recipe was recorded name it as the origin of some options.
        origins = (entry["origin"] for entry in self.manifest["config"].values())
        return next((text.removeprefix("recipe ") for text in origins if text.startswith("recipe ")), "")

    def file(self, name: str) -> Path:
        """The path of one output.

        Raises:
            InputError: The manifest does not list it, it is missing, or it has another size.
        """
        if name not in self.outputs:
            raise InputError(f"{self.path}: {unknown('output', name, self.outputs)}.", hint=self._hint())
        if problem := self._problem(name):
            raise InputError(problem, why="It has changed since the stage finished.", hint=self._hint())
        return self.path / name

    def verified(self, name: str) -> Path:
        """The path of one output after its content was compared with the manifest's checksum.

        Raises:
            InputError: As for `file`; also when the content differs.
        """
        path = self.file(name)
        if sha256_of(path) != self.outputs[name]["sha256"]:
            raise InputError(f"{path} has changed since the stage finished.", hint=self._hint())
        return path

    def problems(self) -> list[str]:
        """What is wrong with the files: one sentence for each that is missing or has another size."""
        return [problem for name in self.outputs if (problem := self._problem(name))]

    def array(self, name: str) -> np.ndarray:
        """A .npy output, memory-mapped and read-only; the manifest has its axes and unit."""
        import numpy as np

        array: np.ndarray = np.load(self.file(name), mmap_mode="r", allow_pickle=False)
        return array

    def table(self, name: str) -> pd.DataFrame:
        """A TSV output; clip_id is text, "n/a" is a missing value, every other text is itself."""
        import pandas as pd

        return pd.read_csv(
            self.file(name),
            sep="\t",
            dtype={"clip_id": str},
            keep_default_na=False,
            na_values=["n/a"],
        )

    def json(self, name: str) -> Any:
        """The content of a JSON output."""
        return json.loads(self.file(name).read_text(encoding="utf-8"))

    def _problem(self, name: str) -> str:
        path, expected = self.path / name, self.outputs[name]["bytes"]
        if not path.is_file():
            return f"{path} is missing."
        size = path.stat().st_size
        return "" if size == expected else f"{path} has {size} bytes instead of {expected}."

    @property
    def command(self) -> str:
        """The command that makes this artifact again, with the same options."""
        return self.command_with("--force")

    def command_with(self, *flags: str) -> str:
        """The command that runs the artifact's stage with the same options and these flags."""
        work = self.path.parents[1 if self.manifest["subject"] is None else 2]
        words = ["mindanim", self.manifest["stage"], "--config", str(self.path / CONFIG), *flags]
        return shlex.join(words + (["--work", str(work)] if work != DEFAULT_WORK else []))

    def _hint(self) -> str:
        return f"Make it again: {self.command}"
