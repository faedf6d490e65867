"""Settings for all tests: deterministic, offline, and untouched by the caller's environment."""

from __future__ import annotations

import os

from hypothesis import settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
for name in [name for name in os.environ if name.startswith("MINDANIM_")]:
    del os.environ[name]

# Deadlines measure the machine's load, not the code.
settings.register_profile("mindanim", deadline=None, derandomize=True, database=None)
settings.load_profile("mindanim")
