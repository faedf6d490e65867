"""A result for people: one HTML file that explains itself, and a table for the terminal."""

from mindanim.report.page_content import ClipView, Curve

__all__ = ["ClipView", "Curve"]
