"""A result for people: one HTML file that explains itself, and a table for the terminal."""

from mindanim.report.model import ClipView, Curve

__all__ = ["ClipView", "Curve"]
