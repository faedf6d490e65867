"""Damage 300 files per reader, print what became of them: `python -m tests.fuzz [--inputs N] [reader ...]`.

Each reader runs in a process of its own with at most 2 GB of memory for data and 20 s of time per file.
"""

from __future__ import annotations

import argparse
import logging
import os
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.attack import ACCEPTED, REFUSED, attack
from tests.fuzz.readers import READERS

MEMORY, SECONDS = 2 << 30, 20


def child(name: str, start: int, stop: int) -> None:
    """Attack one reader and print a line for each file; an alarm kills a process that hangs."""
    logging.disable()
    reader = next(one for one in READERS if one.name == name)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        signal.alarm(60)  # the imports, too
        for number, verdict in attack(reader, Path(folder) / "files", range(start, stop)):
            signal.alarm(SECONDS)
            print(f"\n@{number} {verdict}", flush=True)


def verdicts(name: str, inputs: int) -> list[str]:
    """The verdict of each file; a process that dies is a wrong verdict, and the next goes on after it."""
    found: list[str] = []
    while len(found) < inputs:
        command = [sys.executable, "-m", "tests.fuzz", "--child", name, str(len(found)), str(inputs)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        lines = [line for line in done.stdout.splitlines() if line.startswith("@")]
        found += [line.partition(" ")[2] for line in lines]
        if len(found) < inputs:
            if done.returncode > 0:
                raise SystemExit(f"{name}: {done.stderr[-2000:]}")
            found.append(f"wrong: killed by {signal.Signals(-done.returncode).name}")
    return found


def main() -> None:
    """Attack the readers and print the table; exit code 1 if anything is wrong."""
    if sys.argv[1:2] == ["--child"]:
        return child(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=300)
    parser.add_argument("readers", nargs="*", default=[reader.name for reader in READERS])
    given = parser.parse_args()
    print("| Reader | Inputs | Refused rightly | Accepted and harmless | Wrong |\n|---|---:|---:|---:|---:|")
    total, wrong = [0, 0, 0], []
    for name in given.readers:
        found = verdicts(name, given.inputs)
        bad = [f"{name} {number}: {one}" for number, one in enumerate(found) if one.startswith("wrong")]
        counts = [found.count(REFUSED), found.count(ACCEPTED), len(bad)]
        print(f"| {name} | {len(found)} | {counts[0]} | {counts[1]} | {counts[2]} |", flush=True)
        total, wrong = [one + more for one, more in zip(total, counts, strict=True)], wrong + bad
    print(f"| all | {sum(total)} | {total[0]} | {total[1]} | {total[2]} |")
    print(*wrong, sep="\n", file=sys.stderr)
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
