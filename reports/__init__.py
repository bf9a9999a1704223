"""From the store to one self-contained page: tables, figures, findings, failures, provenance. No torch, no methods."""

from reports.page import Summary, write_report

__all__ = ["Summary", "write_report"]
