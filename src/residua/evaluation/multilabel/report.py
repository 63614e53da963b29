"""The report of an evaluation of several labels an image: its findings as JSON, and as one offline page."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Any

from residua._base.plain import plain
from residua._base.words import html_table, some
from residua.evaluation.multilabel.findings import MultilabelFindings
from residua.evaluation.multilabel.page import render

_PICTURES = ("thumbnail", "explanation")


class MultilabelReport(MultilabelFindings):
    """The findings of an evaluation of several labels an image, as JSON and as a page."""

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values; pictures are left to the page, and `predictions` to files of their own."""
        document = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "predictions"}
        for name in ("missed", "wrong"):
            rows = [asdict(row) for row in document[name]]
            document[name] = [{key: value for key, value in row.items() if key not in _PICTURES} for row in rows]
        values: dict[str, Any] = plain(document | {"thresholds": self.thresholds.to_json()})
        return values

    def to_json(self) -> str:
        """Return one JSON document, one line per field."""
        lines = (
            f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False, allow_nan=False)}"
            for key, value in self.to_dict().items()
        )
        return "{\n" + ",\n".join(lines) + "\n}\n"

    def to_html(self) -> str:
        """Return the page: one file that needs nothing else."""
        return render(self)

    def _repr_html_(self) -> str:
        """Return the main figures as a notebook shows them."""
        low, high = self.mean_average_precision_interval
        rows = [
            ("mAP", f"{self.mean_average_precision:.2%} ({low:.2%} to {high:.2%})"),
            ("macro F1", f"{self.macro_f1:.2%}"),
            ("exact match", f"{self.exact_match:.2%}"),
            ("images", f"{self.count:,}"),
            ("labels", some(self.classes, 8)),
        ]
        return html_table("Report", rows)
