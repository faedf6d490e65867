"""Options of ``mindanim demo``."""

from __future__ import annotations

from mindanim.config.option import StageConfig, opt


class DemoConfig(StageConfig):
    """The whole pipeline on the simulated study."""

    quick: bool = opt(False, "Use a smaller study: to see it run, not to judge the scores.", flag=True)
    ablations: bool = opt(
        False,
        "Also run without semantics, structure and motion in turn, on noise, and on each half of repeats.",
        flag=True,
    )
