"""Report -> one offline HTML page."""

from __future__ import annotations

from html import escape

from residua.evaluation.report import Report


def render(report: Report) -> str:
    """Return the page as text."""
    return f"<!doctype html><title>{escape(report.name)}</title><p>top-1 {report.top1:.4f}"
