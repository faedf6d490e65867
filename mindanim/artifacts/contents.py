"""The files of each kind of artifact: the contract between the stages."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch

from mindanim.artifacts.artifact import Artifact


@dataclass(frozen=True)
class Content:
    """One output.

    Attributes:
        name: File name; may be a pattern.
        axes: One word per dimension of an array.
        dtype: Type of an array, or of the file.
        meaning: What it is.
        always: Whether every artifact of the kind has it.
    """

    name: str
    axes: str
    dtype: str
    meaning: str
    always: bool = True


_CLIP_TABLE = "one row per clip, in the order of the arrays"

CONTENTS: dict[str, tuple[Content, ...]] = {
    "fmri": (
        Content(
            "train_responses.npy",
            "clip lag voxel",
            "float32",
            "mean over repeats, z-scored by training statistics",
        ),
        Content(
            "train_repeats.npy",
            "repeat clip lag voxel",
            "float32",
            "single repeats; NaN where one is missing",
        ),
        Content("test_responses.npy", "clip lag voxel", "float32", "the same for the test clips"),
        Content("test_repeats.npy", "repeat clip lag voxel", "float32", "the same for the test clips"),
        Content("clips.tsv", "", "table", f"{_CLIP_TABLE}, training clips first"),
        Content(
            "voxels.tsv",
            "",
            "table",
            "one row per voxel: place, region, reliability, noise ceiling",
        ),
        Content(
            "reliability.*",
            "",
            "map",
            "reliability, statistic of its test, and noise ceiling: .dscalar.nii, .pscalar.nii for parcels, "
            ".nii.gz for volumes",
            always=False,
        ),
        Content("mask.*", "", "map", "selected voxels; same file types", always=False),
        Content(
            "figures/qc.png",
            "",
            "image",
            "quality control: signal, reliability, timing, exclusions, map, head motion",
        ),
    ),
    "stimuli": (
        Content("clips.tsv", "", "table", f"{_CLIP_TABLE}, with its caption"),
        Content(
            "latents.npy",
            "clip frame channel height width",
            "float16",
            "latents times the VAE's scaling factor",
        ),
        Content(
            "clip_image.npy",
            "clip view feature",
            "float32",
            "CLIP of the middle frame; view 0 is not augmented",
        ),
        Content("frame_hash.npy", "clip bit", "bool", "perceptual hash of the middle frame"),
        Content(
            "clip_text.npy",
            "clip view feature",
            "float32",
            "CLIP of the caption; view 0 is the original caption",
        ),
        Content(
            "text_tokens.npy",
            "clip token feature",
            "float16",
            "text condition of the diffusion model; token 0 is BOS",
        ),
        Content("empty_tokens.npy", "token feature", "float16", "text condition of the empty prompt"),
        Content("test_frames.npy", "clip frame height width rgb", "uint8", "frames of the test clips"),
        Content("mean_frames.npy", "frame height width rgb", "uint8", "mean of the training clips"),
        Content("figures/clips.png", "", "image", "some clips with their captions"),
    ),
    "semantic": (),
    "structure": (),
    "motion": (),
    "videos": (
        Content(
            "clips/*.npy", "frame height width rgb", "uint8", "one reconstruction per clip, named by clip_id"
        ),
        Content("view/*.mp4", "", "film", "the same as a film, at the true frame rate"),
        Content("decoded_clip.npy", "clip feature", "float32", "decoded CLIP vector"),
        Content("decoded_tokens.npy", "clip token feature", "float16", "decoded text condition"),
        Content(
            "decoded_latents.npy",
            "clip frame channel height width",
            "float16",
            "decoded latents, which the sampler starts from",
        ),
        Content("clips.tsv", "", "table", _CLIP_TABLE),
        Content(
            "figures/contact_sheet.png",
            "",
            "image",
            "some clips: truth on the left, reconstruction on the right",
        ),
    ),
    "evaluation": (
        Content("metrics.json", "", "JSON", "every score with its floors, interval, chance and n; versioned"),
        Content("per_clip.tsv", "", "table", "one row per clip, one column per metric"),
        Content("pairing_null.npy", "metric permutation", "float64", "mean score, true pairing first"),
        Content("table.md", "", "text", "table of the scores"),
        Content("table.tex", "", "LaTeX", "the same table for a paper; needs booktabs, graphicx and xcolor"),
        Content(
            "floors/*",
            "",
            "image",
            "strips of the training clips nearest to those in the report",
            always=False,
        ),
        Content("report.html", "", "HTML", "one self-contained page"),
        Content("figures/*", "", "image", "figures of the report", always=False),
    ),
}
_DECODER = (
    Content("weights.safetensors", "", "safetensors", "the decoder's arrays"),
    Content("decoder.json", "", "JSON", "class, constructor arguments and shapes"),
    Content(
        "history.tsv", "", "table", "losses and scores per epoch; not for imported decoders", always=False
    ),
    Content("figures/curves.png", "", "image", "plot of the history", always=False),
    Content("penalties.tsv", "", "table", "error per ridge penalty; linear decoders only", always=False),
)
CONTENTS |= {kind: _DECODER for kind in ("semantic", "structure", "motion")}


def departures(artifact: Artifact) -> list[str]:
    """How an artifact departs from the declared contents of its kind, one sentence per file."""
    declared = CONTENTS[artifact.kind]
    found = []
    for content in declared:
        names = [name for name in artifact.outputs if fnmatch(name, content.name)]
        if content.always and not names:
            found.append(f"{content.name} is missing")
        for name in names:
            entry = artifact.outputs[name]
            if content.axes and entry.get("axes", content.axes) != content.axes:
                found.append(f"{name} has axes '{entry['axes']}' instead of '{content.axes}'")
            if content.axes and entry.get("dtype") != content.dtype:
                found.append(f"{name} is {entry.get('dtype')} instead of {content.dtype}")
    strangers = [name for name in artifact.outputs if not any(fnmatch(name, c.name) for c in declared)]
    return [*found, *(f"{name} is not declared" for name in strangers)]
