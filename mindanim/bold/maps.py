"""Values on the cortex as CIFTI files that Connectome Workbench opens."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mindanim.bold.read import Cortex


def dscalar(cortex: Cortex, maps: Mapping[str, NDArray[np.floating]]) -> bytes:
    """A dscalar file with one named map per entry.

    maps: name to values ``(voxel,)`` in the order of the cortex; NaN is allowed and shown as no value.
    """
    from nibabel.cifti2.cifti2 import Cifti2Image
    from nibabel.cifti2.cifti2_axes import ScalarAxis

    values = np.stack([np.asarray(values, dtype=np.float32) for values in maps.values()])
    axes = ScalarAxis(list(maps)), cortex.axis  # type: ignore[no-untyped-call]
    image = Cifti2Image(values, header=axes)  # type: ignore[no-untyped-call]
    image.nifti_header.set_intent("ConnDenseScalar")
    content: bytes = image.to_bytes()
    return content
