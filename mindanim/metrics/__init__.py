"""Scores of reconstructed videos, each with its floors, chance level, ceilings and uncertainty.

`evaluation` is the way through: `inputs` reads what is scored, `families` has the metrics, `pair_scorer`
scores pairs of clips, `with_floors` everything they are compared with, and `inference` adds uncertainty and
tests.
"""
