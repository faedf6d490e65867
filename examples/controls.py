"""Two controls on studies with known ground truth: nothing is found where nothing was planted.

    python examples/controls.py --out controls          # five null studies, two without motion

In a null study other films drove the BOLD; in one without motion every clip was seen frozen. Each study is
written, run through all stages with the recipe `quick`, and scored against the shuffled floor. The table
pools the seeds: how many scores are above their floor by a 95 % interval, and how many are expected by
chance. Finished stages are skipped, so a killed run continues. About two CPU minutes per study.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import mindanim
from mindanim.report.conclusions import by_chance

FLOOR = "shuffled"
TRAININGS = (mindanim.train_semantic, mindanim.train_structure, mindanim.train_motion)


def scores(work: Path, seed: int, **control: bool) -> list[dict[str, Any]]:
    """Simulate a study, reconstruct subject 1's test clips, and return its scores."""
    study = work / "study"
    mindanim.simulate(data=study, work=work, recipe="quick", seed=seed, **control)
    shared = {"dataset": "simulated", "work": work, "recipe": "quick"}
    mindanim.preprocess(**shared, subject=1, data=study)
    mindanim.encode_stimuli(**shared, data=study)
    for train in TRAININGS:
        train(**shared, subject=1)
    mindanim.generate(**shared, subject=1)
    evaluation = mindanim.evaluate(**shared, subject=1)
    found: list[dict[str, Any]] = json.loads(evaluation.file("metrics.json").read_text())["scores"]
    return [score for score in found if FLOOR in score["floors"]]


def table(studies: list[list[dict[str, Any]]]) -> None:
    """Print each score's difference from its floor per seed, and the share of scores above it."""
    print(f"| score | {' | '.join(f'seed {seed + 1}' for seed in range(len(studies)))} |")
    print("|---" * (len(studies) + 1) + "|")
    for same in zip(*studies, strict=True):
        cells = []
        for score in same:
            floor = score["floors"][FLOOR]
            low, high = floor["ci"]
            text = f"{floor['difference']:+.3f} [{low:+.3f}, {high:+.3f}]"
            cells.append(f"**{text}**" if floor["above"] else text)
        print(f"| `{same[0]['id']}` | {' | '.join(cells)} |")
    for group in ("motion", ""):
        chosen = [s for scores in studies for s in scores if not group or s["group"] == group]
        above = sum(score["floors"][FLOOR]["above"] for score in chosen)
        share = f"{above} of {len(chosen)} ({above / len(chosen):.1%})"
        print(f"\n{group or 'all'} scores above the floor: {share}; by chance {by_chance(len(chosen))}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the studies and artifacts")
    parser.add_argument("--null", type=int, default=5, help="null studies")
    parser.add_argument("--no-motion", type=int, default=2, help="studies without motion")
    args = parser.parse_args()
    for name, count, control in (
        ("null", args.null, {"null": True}),
        ("no-motion", args.no_motion, {"no_motion": True}),
    ):
        if count:
            found = [scores(args.out / f"{name}-{seed}", seed, **control) for seed in range(1, count + 1)]
            print(f"\n## {name}\n\nDifference from the {FLOOR} floor [95 %]; bold: above it\n")
            table(found)


if __name__ == "__main__":
    main()
