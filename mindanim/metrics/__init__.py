"""Scores of reconstructed videos, each with its floors, chance level, ceiling and uncertainty.

`registry` names every metric; `nway`, `semantic`, `pixel`, `motion`, `features` and `frame_order` compute
them; `floors` and `scored` put beside a score what it stands against; `statistics` says how sure one can be.
"""
