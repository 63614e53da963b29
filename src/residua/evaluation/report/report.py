"""The report of an evaluation: its findings as JSON, and as one offline page."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Protocol

from residua._base.files import write_text
from residua._base.plain import plain
from residua._base.run_files import REPORT_DOCUMENT, REPORT_PAGE
from residua._base.words import html_table, some
from residua.evaluation.report.findings import Findings
from residua.evaluation.report.page import render


class Report(Findings):
    """The findings of an evaluation, as JSON and as a page."""

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values; pictures are left to the page, and `predictions` to files of their own."""
        document: dict[str, Any] = {
            item.name: getattr(self, item.name) for item in fields(self) if item.name != "predictions"
        }
        for name in ("per_class", "worst", "most_confident_mistakes"):
            document[name] = [asdict(row) for row in document[name]]
            for row in document[name]:
                row.pop("thumbnail", None)
                row.pop("explanation", None)
        for name in (
            "top5_interval",
            "balanced_accuracy_interval",
            "calibration",
            "calibrated",
            "abstention",
            "slices",
            "ensemble",
            "reestimated",
            "rejection",
            "unknown",
            "corruptions",
            "shift",
            "remarks",
        ):
            document[name] = plain(document[name])
        for row in (document["corruptions"] or {"rows": ()})["rows"]:
            for cell in row["cells"]:
                cell.pop("thumbnail")
        return document | {
            "likeness": self.likeness.to_dict() if self.likeness else None,
            "studies": [each.to_dict() for each in self.studies],
            "top1_interval": list(self.top1_interval),
            "classes": list(self.classes),
            "confusion": self.confusion.tolist(),
            "history": list(self.history),
        }

    def to_json(self) -> str:
        """Return one JSON document, one line per field."""
        lines = (f"  {json.dumps(key)}: {_dump(value)}" for key, value in self.to_dict().items())
        return "{\n" + ",\n".join(lines) + "\n}\n"

    def _repr_html_(self) -> str:
        """Return the main figures as a notebook shows them."""
        low, high = self.top1_interval
        rows = [("top-1", f"{self.top1:.2%} ({low:.2%} to {high:.2%})"), ("images", f"{self.count:,}")]
        rows += [("top-5", f"{self.top5:.2%}")] if self.top5 is not None else []
        rows += [("loss", f"{self.loss:.4f}"), ("classes", some(self.classes, 8))]
        return html_table("Report", rows)

    def to_html(self) -> str:
        """Return the page: one file that needs nothing else."""
        return render(self)


class Page(Protocol):
    """What can be written as report.html and report.json."""

    def to_html(self) -> str:
        """Return the page."""
        ...

    def to_json(self) -> str:
        """Return the document."""
        ...


def write_report(folder: Path, report: Page) -> tuple[Path, Path]:
    """Write report.html and report.json into `folder`, atomically, and return their paths."""
    page, document = folder / REPORT_PAGE, folder / REPORT_DOCUMENT
    write_text(document, report.to_json())
    write_text(page, report.to_html())
    return page, document


def _dump(value: Any) -> str:
    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False)
