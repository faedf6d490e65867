"""Scores of reconstructed videos, each with its floors, chance level, ceilings and uncertainty.

`evaluation` is the way through, and imports go one way: `inputs` reads what is scored and knows no metric,
`families` has the metrics, `networks` those they look through, `pair_scorer` scores pairs of clips,
`with_floors` everything they are compared with, and `inference` adds uncertainty and tests.
"""
