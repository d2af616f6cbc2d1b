"""The report of `retrain`: one self-contained page, with its JSON, CSV and terminal form.

`model` says what a report holds, `reading` checks it, `write` writes the files and `page` the page. The sections are
in `outcome` (what came out), `choices` (how it was reached), `operating_point` (thresholds moved alike) and
`material` (what went in). `terminal` is the short form, `compare` puts two reports side by side.
"""

from ganfer.page.node import read_results
from ganfer.report.reading import ReportError
from ganfer.report.terminal import terminal_summary
from ganfer.report.write import rewrite, write_report

__all__ = ["ReportError", "read_results", "rewrite", "terminal_summary", "write_report"]
