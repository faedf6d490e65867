"""Damaged files for every reader of a user's file; see `python -m tests.fuzz`."""
