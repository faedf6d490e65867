"""A small stage for tests: it doubles a table of numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from mindanim.artifacts import Artifact, Draft, Source, Workspace, produce
from mindanim.config.option import StageConfig, opt
from mindanim.config.run_options import RunOptions

SOURCE = Source("numbers", "a" * 64, {"where": "nowhere"})


class ToyConfig(StageConfig):
    """Options of every type there is."""

    factor: float = opt(2.0, "What to multiply by.", unit="x", flag=True, gt=0)
    rows: int = opt(3, "Rows of the table.", unit="rows", flag=True, ge=1)
    mode: Literal["plain", "fancy"] = opt("plain", "How to do it.", flag=True)
    lags: tuple[float, ...] = opt((4.0,), "Some times.", unit="s", flag=True)
    pair: tuple[int, int] = opt((1, 2), "Two numbers.")
    limit: int | None = opt(None, "At most so many.", flag=True)
    names: tuple[str, ...] = opt((), "Some names.")
    note: str = opt("", "A remark.")
    careful: bool = opt(True, "Look twice.", flag=True)
    seed: int = opt(0, "Seed.", ge=0)
    clip: str = opt("demo", "A backbone.", identity=False)
    chunk: int = opt(16, "Rows at a time.", identity=False)


def options(work: Path, **more: object) -> RunOptions:
    """Run options for subject 1 of a toy dataset below `work`."""
    return RunOptions.model_validate({"dataset": "toy", "subject": 1, "work": work, **more})


def build_toy(config: ToyConfig) -> Callable[[Draft], None]:
    """A build that writes one output of each sort."""

    def build(draft: Draft) -> None:
        values = config.factor * np.arange(config.rows, dtype=np.float32)
        draft.save_array("values.npy", values, axes="clip", unit="x")
        filled = draft.open_array("filled.npy", (config.rows, 2), "float32", axes="clip feature")
        for row in range(config.rows):
            if not draft.is_done(f"row {row}"):
                filled[row] = values[row]
                filled.flush()
                draft.mark_done(f"row {row}")
        names = [f"{row:04d}" for row in range(config.rows)]
        table = pd.DataFrame({"clip_id": names, "value": values.astype(float)})
        draft.save_table("clips.tsv", table, units={"value": "x"})
        draft.save_json("about.json", {"rows": config.rows})
        draft.scratch("checkpoint.bin").write_bytes(b"half-way")
        draft.methods("Numbers were multiplied.")
        draft.fact(rows=config.rows)

    return build


def make(
    work: Path,
    kind: str = "fmri",
    inputs: dict[str, Artifact | Source] | None = None,
    build: Callable[[Draft], None] | None = None,
    run: dict[str, object] | None = None,
    **config: object,
) -> Artifact:
    """Produce a toy artifact of `kind` below `work`."""
    chosen, given = ToyConfig.model_validate(config), options(work, **(run or {}))
    return produce(
        kind,
        Workspace.of(given).place(given, kind),
        config=chosen,
        inputs={"numbers": SOURCE} if inputs is None else inputs,
        run=given,
        seed=chosen.seed,
        build=build or build_toy(chosen),
    )


def toy(config: ToyConfig, run: RunOptions) -> Artifact:
    """The stage function, in the place of preprocess."""
    path = Workspace.of(run).place(run, "fmri")
    return produce(
        "fmri",
        path,
        config=config,
        inputs={"numbers": SOURCE},
        run=run,
        seed=config.seed,
        build=build_toy(config),
    )
