"""What it costs to list and to verify artifacts: 1,000 artifacts, 20,000 stored clips, large stimuli.

Run: python examples/benchmarks/verification.py [GB of the stimuli, default 1]
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

from mindanim.artifacts import Artifact, checksums

MANIFEST: dict[str, Any] = {
    "schema_version": 2, "kind": "fmri", "identity": "0" * 64, "stage": "preprocess", "stage_version": 1,
    "dataset": "many", "subject": 1, "label": "", "command": ["mindanim"], "version": "0",
    "commit": None, "seed": None,
    "environment": {}, "run": {}, "config": {}, "inputs": {}, "started": "2026-01-01T00:00:00+00:00",
    "finished": "2026-01-01T00:00:00+00:00", "sessions": 1, "versions": ["0"], "methods": [],
    "findings": [], "facts": {},
}  # fmt: skip


def write(folder: Path, contents: dict[str, bytes], **more: Any) -> Artifact:
    """An artifact with these outputs."""
    outputs = {}
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        outputs[name] = {"bytes": len(content), "sha256": sha256(content).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(MANIFEST | {"outputs": outputs} | more))
    return Artifact.load(folder)


def timed(what: str, artifact: Artifact) -> None:
    """The time of a first verification, and of one in a later process."""
    for when in ("first time", "later"):
        checksums._remembered.cache_clear()
        begin, busy = time.perf_counter(), time.process_time()
        assert artifact.damage() == []
        wall, cpu = time.perf_counter() - begin, time.process_time() - busy
        print(f"{what}, {when}: {wall:.2f} s, {cpu:.2f} s of a CPU")


def children_s() -> float:
    """CPU seconds of all processes started so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(gigabytes: float) -> None:
    """Print all figures."""
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        os.environ["XDG_CACHE_HOME"] = str(base / "cache")
        for number in range(1000):
            fmri = {"type": "artifact", "kind": "fmri", "path": "../fmri", "identity": "0" * 64}
            given = fmri | {"digest": "", "stage_version": 1, "options": {}, "changed": []}
            kind = "semantic" if number % 2 else "fmri"
            files = {f"{part}.npy": b"x" * 100 for part in range(12)}
            inputs = {"fmri": given} if number % 2 else {}
            write(base / f"work/many/sub-{number // 2 + 1:02d}/{kind}", files, kind=kind, inputs=inputs)
        for _ in range(3):
            begin, busy = time.perf_counter(), children_s()
            command = [sys.executable, "-m", "mindanim", "show", "--work", str(base / "work")]
            listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            print(
                f"show of {listed.count('many')} artifacts: {time.perf_counter() - begin:.2f} s, "
                f"{children_s() - busy:.2f} s of a CPU"
            )
        clips = {f"{part}/{row:05d}": b"x" * 50_000 for row in range(20_000) for part in ("clips", "view")}
        timed("20,000 clips (2.0 GB in 40,000 files)", write(base / "videos", clips, kind="videos"))
        large = {"latents.npy": bytes(int(gigabytes * 1e9))}
        timed(f"stimuli of {gigabytes:g} GB", write(base / "stimuli", large, kind="stimuli"))


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0)
