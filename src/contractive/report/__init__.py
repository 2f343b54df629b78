"""The report page: what a model learned as one HTML file, with the model in it, that needs nothing else."""

from ._page import About, render_report, write_report

__all__ = ["About", "render_report", "write_report"]
