"""The README's moving picture, from a finished demo: `python examples/picture.py mindanim-work OUT.webp`.

Ground truth above, reconstruction below; the clips are evenly spaced from the best to the worst SSIM.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

COLUMNS, ZOOM, GAP = 8, 2, 4


def main() -> None:
    """Read the videos and true frames of subject 1 and write the animation at the films' speed."""
    work, out = Path(sys.argv[1]), Path(sys.argv[2])
    subject, stimuli = work / "simulated" / "sub-01", work / "simulated" / "stimuli"
    scores = pd.read_csv(subject / "evaluation" / "per_clip.tsv", sep="\t", dtype={"clip_id": str})
    ranked = scores.sort_values("ssim.rgb7", ascending=False)["clip_id"].to_list()
    shown = [ranked[i] for i in np.linspace(0, len(ranked) - 1, COLUMNS).round().astype(int)]
    table = pd.read_csv(stimuli / "clips.tsv", sep="\t", dtype={"clip_id": str})
    row = {clip: i for i, clip in enumerate(table.loc[table["split"] == "test", "clip_id"])}
    videos = subject / "videos" / "clips"
    truth = np.load(stimuli / "test_frames.npy", mmap_mode="r")
    pairs = [
        np.concatenate([_padded(truth[row[clip]]), _padded(np.load(videos / f"{clip}.npy"))], 1)
        for clip in shown
    ]
    frames = np.concatenate(pairs, axis=2).repeat(ZOOM, axis=1).repeat(ZOOM, axis=2)
    images = [Image.fromarray(frame) for frame in frames]
    out.parent.mkdir(parents=True, exist_ok=True)
    images[0].save(out, save_all=True, append_images=images[1:], duration=250, loop=0, quality=80, method=6)


def _padded(frames: np.ndarray) -> np.ndarray:
    """Frames with a white margin."""
    margin = ((0, 0), (GAP // 2, GAP // 2), (GAP // 2, GAP // 2), (0, 0))
    return np.pad(frames, margin, constant_values=255)


if __name__ == "__main__":
    main()
