"""Reports of an evaluation: an HTML page, tables in Markdown and LaTeX, a table for the terminal."""

from mindanim.report.page_content import ClipView, Curve

__all__ = ["ClipView", "Curve"]
