"""The metrics, by family; each metric is one object."""
