"""Uncertainty and tests."""
