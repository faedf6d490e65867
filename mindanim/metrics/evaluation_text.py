"""What an evaluation did, and what to know about its clips, in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mindanim.artifacts import Artifact
from mindanim.config.evaluate import EvaluateConfig
from mindanim.metrics.inference.films import FLIPPED_FILMS
from mindanim.metrics.inference.significance import FLIPPED_BLOCKS
from mindanim.metrics.inputs.folders import Folders
from mindanim.metrics.inputs.short_films import LOSSY


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
        f"captions after up to {data['shuffles']} circular shifts within its film.",
        *_intervals(data, config),
        f"p values against the shuffled floor come from independent circular shifts within each film, after "
        f"quadratic trends in film time were removed from the pair scores, all others from {_test(data)}. "
        f"Permutations are up to {config.permutations}.",
    ]
    if data["motion_test"] is not None:
        sentences.append(
            f"Motion shuffle test: each clip's frames were permuted {data['motion_test']['permutations']} "
            "times, independently of other clips, and p = (1 + permutations at least as good) / "
            "(1 + permutations); the reversed order was compared like the other floors."
        )
    return sentences


def _intervals(data: dict[str, Any], config: EvaluateConfig) -> list[str]:
    """What intervals are over: films if there are enough, and blocks inside them."""
    inside = (
        f"studentised bootstraps over {data['blocks']} blocks ({data['block_rule']}; Student's t below "
        f"twelve blocks; {config.bootstraps} resamples), corrected for what touching blocks share and for "
        "skewness (Johnson 1978)"
    )
    if data["unit"] == "blocks":
        return [f"Intervals (95 %) hold for these films only: {inside}."]
    return [
        f"Intervals (95 %) are Student's t over {data['films']} films, corrected for unequal lengths (Bell "
        "and McCaffrey 2002) and for skewness (Johnson 1978), of means over clips.",
        f"Intervals for these films only are {inside}.",
    ]


def _test(data: dict[str, Any]) -> str:
    """The tests over films or blocks; those that were done are named with each p value."""
    if data["unit"] == "films":
        few = data["films"] < FLIPPED_FILMS
        return "Student's t over films" if few else "sign flips of whole films"
    if data["blocks"] < FLIPPED_BLOCKS:
        return "Student's t over blocks (Ibragimov and Müller 2010)"
    return "sign flips of whole blocks"


def audit(
    lineage: Sequence[Artifact], of_clips: Sequence[str], of_tests: Sequence[str]
) -> list[dict[str, Any]]:
    """`audit` of metrics.json: what was found on the way to the scores, each with its artifact.

    Args:
        lineage: The artifacts behind the videos.
        of_clips: Notes on the clips that are scored.
        of_tests: Notes on the p values.
    """
    found = [
        finding | {"artifact": artifact.path.name} for artifact in lineage for finding in artifact.findings
    ]
    own = {"clips": "videos", "coarse-p": "evaluation"}
    return found + [
        {"code": code, "text": text, "data": {}, "artifact": own[code]}
        for code, text in findings(None, of_clips, of_tests)
    ]


def findings(subset: str | None, of_clips: Sequence[str], of_tests: Sequence[str]) -> list[tuple[str, str]]:
    """Codes and texts of what must travel with the scores; see `audit`."""
    return [
        *([("subset", f"Scored on a subset: {subset}.")] if subset else []),
        *(("clips", text) for text in of_clips),
        *(("coarse-p", text) for text in of_tests),
    ]


def notes_on_folders(found: Folders, config: EvaluateConfig) -> list[str]:
    """What readers of the scores must know about clips made elsewhere."""
    said = [
        f"{count} files are {suffix[1:]}: {LOSSY[suffix]}. Score lossless frames if you have them."
        for suffix, count in found.formats.items()
        if suffix in LOSSY
    ]
    if config.size is not None:
        said.append(f"All clips were resized to {config.size} px; the scores apply to that size only.")
    if config.clip_table is None:
        said.append(
            "The films and captions of these clips are not known: they count as one stretch of film in "
            "the order of their names, and as all different. Give them with --set clip_table=FILE"
        )
    left_out = [
        f"{len(names)} {what} ({', '.join(names[:10])}{', ...' if len(names) > 10 else ''})"
        for what, names in (
            ("clips without a reconstruction", found.missing),
            ("reconstructions without a ground truth", found.extra),
        )
        if names
    ]
    return [*said, f"Left out: {'; '.join(left_out)}."] if left_out else said
