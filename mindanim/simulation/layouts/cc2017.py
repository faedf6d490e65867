"""CC2017: a film per segment, with repeated runs as dense series, trimmed like that study's."""

from __future__ import annotations

from pathlib import Path

from mindanim.simulation.cortex import Cortex
from mindanim.simulation.film_plan import Shown
from mindanim.simulation.layouts.cifti import write_series
from mindanim.simulation.layouts.layout import Array, Layout

_TRUNK = Path("CC2017_Purdue")


class CC2017Layout(Layout):
    """``CC2017_Purdue/Subject01/...`` and ``CC2017_Purdue/Stimuli/...``."""

    def film(self, item: Shown) -> Path:
        """``Stimuli/video_fmri_dataset/stimuli/seg1.mp4``."""
        folder = self.root / _TRUNK / "Stimuli" / "video_fmri_dataset" / "stimuli"
        return folder / f"{item.segment.name}.mp4"

    def write_runs(self, subject: int, cortex: Cortex, item: Shown, signal: Array) -> None:
        """``subject1/fmri/seg1/cifti/seg1_1_Atlas.dtseries.nii`` and so on."""
        name = item.segment.name
        base = self.root / _TRUNK / f"Subject{subject:02d}" / "video_fmri_dataset" / f"subject{subject}"
        for repeat in range(1, item.segment.repeats + 1):
            path = base / "fmri" / name / "cifti" / f"{name}_{repeat}_Atlas.dtseries.nii"
            write_series(
                path, self.noisy(subject, cortex, item, repeat, signal), self.sheet, self.config.tr_s
            )
