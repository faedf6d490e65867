"""Layouts of a simulated study on disk: one module per imitated study."""

from __future__ import annotations

from mindanim.simulation.layouts.algonauts2021 import Algonauts2021Layout
from mindanim.simulation.layouts.bids import BidsLayout
from mindanim.simulation.layouts.cc2017 import CC2017Layout
from mindanim.simulation.layouts.hcp import HCPLayout
from mindanim.simulation.layouts.layout import Layout

__all__ = ["LAYOUTS", "Layout"]

LAYOUTS: dict[str, type[Layout]] = {
    "cc2017": CC2017Layout,
    "hcp": HCPLayout,
    "algonauts2021": Algonauts2021Layout,
    "bids": BidsLayout,
}
