"""Regions of a surface parcellation (CIFTI dlabel) for the vertices of a study."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mindanim.bold.read import Cortex
from mindanim.errors import ConfigError, InputError

NO_REGION = "n/a"


def read_regions(path: Path, cortex: Cortex) -> NDArray[np.str_]:
    """Region of every vertex ``(voxel,)`` from the first map of a dlabel file; ``n/a`` where it labels none.

    Vertices are matched by hemisphere and mesh index, not by position, so the atlas may hold another subset
    of the mesh. Hemisphere prefixes and ``_ROI`` are cut off: ``L_V1_ROI`` becomes ``V1``. Raises InputError
    where the file is missing, no dlabel, or on another mesh.
    """
    import nibabel as nib
    from nibabel.cifti2.cifti2_axes import BrainModelAxis, LabelAxis

    if not path.is_file():
        raise InputError(f"The atlas {path} is missing.", mend="Give a CIFTI dlabel file with --atlas.")
    try:
        image = nib.load(path)
        labels, models = image.header.get_axis(0), image.header.get_axis(1)  # type: ignore[attr-defined]
    except Exception as error:  # nibabel raises whatever its parser meets in a malformed file
        raise InputError(
            f"The atlas {path} cannot be read.", str(error), "Give a CIFTI-2 dlabel file."
        ) from error
    if not isinstance(labels, LabelAxis) or not isinstance(models, BrainModelAxis):
        raise InputError(
            f"The atlas {path} is not a dlabel file.", mend="Give a CIFTI-2 dlabel file with --atlas."
        )
    for structure, size in cortex.axis.nvertices.items():
        if models.nvertices.get(structure, size) != size:
            raise InputError(
                f"The atlas {path} is on another mesh.",
                f"{structure} has {models.nvertices[structure]} vertices there and {size} in the runs.",
                "Use the atlas for the mesh of the runs (32k_fs_LR has 32492 vertices per hemisphere).",
            )
    keys = np.asarray(image.dataobj)[0].astype(int)  # type: ignore[attr-defined]
    names = {key: _plain(name) for key, (name, _) in labels.label[0].items()}
    region = {
        (structure, int(vertex)): names.get(int(key), NO_REGION)
        for structure, vertex, key in zip(models.name, models.vertex, keys, strict=True)
    }
    pairs = zip(cortex.structure.tolist(), cortex.vertex.tolist(), strict=True)
    return np.array([region.get(pair, NO_REGION) for pair in pairs])


def in_regions(regions: NDArray[np.str_], wanted: Sequence[str]) -> NDArray[np.bool_]:
    """Which vertices ``(voxel,)`` lie in a wanted region, named in any case, with or without hemisphere.

    Raises ConfigError for a name the atlas does not have.
    """
    known = {name.lower(): name for name in np.unique(regions).tolist() if name != NO_REGION}
    unknown = [name for name in wanted if _plain(name).lower() not in known]
    if unknown:
        near = {name: difflib.get_close_matches(_plain(name).lower(), known, n=1) for name in unknown}
        guesses = " ".join(
            f"For {name}, did you mean {known[match[0]]}?" for name, match in near.items() if match
        )
        raise ConfigError(
            f"The atlas has no region {', '.join(unknown)}.",
            f"{guesses + ' ' if guesses else ''}Its regions are: {', '.join(sorted(known.values()))}.",
            "Correct --roi.",
        )
    return np.isin(regions, [known[_plain(name).lower()] for name in wanted])


def _plain(name: str) -> str:
    """``L_V1_ROI`` -> ``V1``; the unlabelled background (``???``) -> ``n/a``."""
    plain = re.sub(r"^[LR]_|_ROI$", "", name.strip(), flags=re.IGNORECASE)
    return NO_REGION if plain in ("", "???") else plain
