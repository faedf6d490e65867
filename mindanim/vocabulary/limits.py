"""Numbers that several rooms must agree on."""

SIGNIFICANT = 0.05
"""p values up to this count as significant."""
METRICS_SCHEMA = 3
"""Version of the layout of metrics.json."""
