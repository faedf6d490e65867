"""Options of ``mindanim demo``."""

from __future__ import annotations

from mindanim.config.option import StageConfig, opt


class DemoConfig(StageConfig):
    """The whole pipeline on the simulated study."""

    quick: bool = opt(False, "A smaller study: to see it run, not to judge the scores.", flag=True)
    ablations: bool = opt(
        False,
        "Also leave out semantics, structure and motion in turn, decode noise, and each half of the repeats.",
        flag=True,
    )
