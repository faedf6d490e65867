"""A finished artifact: a folder with a manifest, read-only from here on."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mindanim.artifacts.checksums import checksums
from mindanim.artifacts.manifest_schema import read_manifest
from mindanim.config.run_options import DEFAULT_WORK
from mindanim.errors import InputError
from mindanim.vocabulary.file_names import check_clip_id
from mindanim.vocabulary.reading import map_npy, reading
from mindanim.vocabulary.words import unknown_sentence

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MANIFEST, CONFIG, CLIPS = "manifest.json", "config.toml", "clips.tsv"


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
        try:
            manifest = read_manifest(path / MANIFEST)
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(
                f"There is no artifact in {path}.",
                why="It contains no manifest.json, so mindanim did not make or not finish it.",
                hint="Give the folder of an artifact. To list them: mindanim show",
            ) from None
        return cls(path, manifest["kind"], manifest["identity"], manifest)

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
        """The path of one output, whose content is the recorded one; see `damage`.

        Raises:
            InputError: The manifest does not list it, it is missing, or its size or content is another one.
        """
        if name not in self.outputs:
            raise InputError(
                f"{self.path}: {unknown_sentence('output', name, self.outputs)}", hint=self._hint()
            )
        if problem := self.problem(name):
            raise InputError(problem, why="It has changed since the stage finished.", hint=self._hint())
        if problem := next(iter(self.damage([name])), ""):
            raise InputError(problem, why="It has changed since the stage finished.", hint=self._hint())
        return self.path / name

    def problems(self) -> list[str]:
        """What is wrong with the files: one sentence for each that is missing or has another size."""
        return [problem for name in self.outputs if (problem := self.problem(name))]

    def damage(self, names: Iterable[str] | None = None, *, again: bool = False) -> list[str]:
        """Which outputs are missing or differ from the recorded content, one sentence for each.

        A content is read once and remembered until the file changes; see `artifacts.checksums`.

        Args:
            names: The outputs to check; None checks all.
            again: Read all contents, also those that have not changed since they were read.
        """
        sizes = {name: self.problem(name) for name in (self.outputs if names is None else names)}
        right = [name for name, problem in sizes.items() if not problem]
        found = checksums(self.path, right, again=again)
        different = "{} has another content than when the stage finished (sha256 {}... instead of {}...)."
        for name in right:
            expected = self.outputs[name]["sha256"]
            if found[name] != expected:
                sizes[name] = different.format(self.path / name, found[name][:8], expected[:8])
        return [problem for problem in sizes.values() if problem]

    def array(self, name: str) -> np.ndarray:
        """A .npy output, memory-mapped and read-only; the manifest has its axes and unit."""
        path = self.file(name)
        return map_npy(path, ".npy file", self._hint())

    def table(self, name: str) -> pd.DataFrame:
        """A TSV output; clip_id is text, "n/a" is a missing value, every other text is itself."""
        import pandas as pd

        path = self.file(name)
        with reading(path, "table", self._hint()):
            table = pd.read_csv(
                path, sep="\t", dtype={"clip_id": str}, keep_default_na=False, na_values=["n/a"]
            )
        if name == CLIPS:  # those that later stages write files for; other clips may be called anything
            for clip_id in table.get("clip_id", ()):
                check_clip_id(str(clip_id), str(path))
        return table

    def json(self, name: str) -> Any:
        """The content of a JSON output."""
        path = self.file(name)
        with reading(path, "JSON file", self._hint()):
            return json.loads(path.read_text(encoding="utf-8"))

    def problem(self, name: str) -> str:
        """A sentence if an output is missing or has another size, which its metadata show; else empty."""
        path, expected = f"{self.path}{os.sep}{name}", self.outputs[name]["bytes"]
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            return f"{path} is missing."
        if not stat.S_ISREG(found.st_mode):
            return f"{path} is not a file."
        size = found.st_size
        return "" if size == expected else f"{path} has {size} bytes instead of {expected}."

    @property
    def command(self) -> str:
        """The command that makes this artifact again, with the same options."""
        return self.command_with("--force")

    def command_with(self, *flags: str) -> str:
        """The command that runs the artifact's stage with the same options and these flags."""
        parents = self.path.parents if len(self.path.parts) > 2 else self.path.absolute().parents
        work = parents[1 if self.manifest["subject"] is None else 2]
        words = ["mindanim", self.manifest["stage"], "--config", str(self.path / CONFIG), *flags]
        return shlex.join(words + (["--work", str(work)] if work != DEFAULT_WORK else []))

    def _hint(self) -> str:
        return f"Make it again: {self.command}"
