"""One self-contained page that says whether the synthetic faces helped, with its JSON, CSV and terminal form."""

from ganfer.page.node import read_results
from ganfer.report.reading import ReportError
from ganfer.report.terminal import terminal_summary
from ganfer.report.write import rewrite, write_report

__all__ = ["ReportError", "read_results", "rewrite", "terminal_summary", "write_report"]
