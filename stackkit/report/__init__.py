"""One self-contained HTML page about a fitted stack."""

from stackkit.report.report import write_report

__all__ = ["write_report"]
