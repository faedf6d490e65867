"""What an evaluation did, in sentences for the methods text."""

from __future__ import annotations

from typing import Any

from mindanim.config.evaluate import EvaluateConfig
from mindanim.metrics.inference.significance import FLIPPED_BLOCKS


def methods(data: dict[str, Any], config: EvaluateConfig) -> list[str]:
    """Sentences from the content of metrics.json and the options."""
    height, width = data["resolution"]
    scored = f"{data['clips']} clips" if data["subset"] is None else data["subset"]
    versions = ", ".join(f"{score['id']} (v{score['version']})" for score in data["scores"])
    floors = sorted({floor for score in data["scores"] for floor in score["floors"]})
    sentences = [
        f"Evaluation: {scored} of {data['frames']} frames at {height} x {width} px were scored with "
        f"{versions}.",
        f"Every score is reported with these floors, computed by the same code on the same clips: "
        f"{', '.join(floors)}. The shuffled floor pairs each ground truth with reconstructions of other "
        f"captions after up to {data['shuffles']} circular shifts within its film segment.",
        f"Intervals (95 %) are studentised bootstraps over {data['blocks']} blocks ({data['block_rule']}; "
        f"Student's t below twelve blocks; {config.bootstraps} resamples), corrected for what touching "
        f"blocks share and for skewness (Johnson 1978); p values against the shuffled floor come from "
        f"independent circular shifts of each segment, all others from {_over_blocks(data)}. Permutations "
        f"are up to {config.permutations}.",
    ]
    if data["motion_test"] is not None:
        sentences.append(
            f"Motion shuffle test: each clip's frames were permuted {data['motion_test']['permutations']} "
            "times, independently of other clips, and p = (1 + permutations at least as good) / "
            "(1 + permutations); the reversed order was compared over blocks, like the other floors."
        )
    return sentences


def _over_blocks(data: dict[str, Any]) -> str:
    """The tests over blocks; those that were done are named with each p value."""
    if data["blocks"] < FLIPPED_BLOCKS:
        return "Student's t over blocks (Ibragimov and Müller 2010)"
    return "sign flips of whole blocks"
