"""The certificate as one offline HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from jinja2 import Environment

from residua.evaluation.report.text import points
from residua.exporting.proof import LabelProofRow, ProofRow
from residua.figures import pages

if TYPE_CHECKING:
    from residua.exporting.certificate import Certificate

ANSWERS = {"passes": "passes", "fails": "fails", "undecided": "cannot be decided"}
COLUMNS = (
    "images",
    "batches",
    "count",
    "agreement",
    "error",
    "eager top-1",
    "top-1",
    "difference, points",
    "95% interval",
)
OF_TOP1 = {"eager top-1": "eager mAP", "top-1": "mAP"}
"""Names of columns where an image may have several labels."""
FORMATS = {"onnx": "ONNX", "openvino": "OpenVINO", "torch": "torch.export", "web": "a web page"}


def render(certificate: Certificate) -> str:
    """Return the page as text; every name from outside is escaped."""
    return (
        _templates()
        .get_template("certificate.html.j2")
        .render(
            certificate=certificate,
            answers=ANSWERS,
            answer=ANSWERS[certificate.verdict.answer],
            format=FORMATS[certificate.format],
            columns=columns_of(certificate.rows),
            cells=cells,
        )
    )


def columns_of(rows: Sequence[ProofRow]) -> list[str]:
    """Return the names of the columns of a proof."""
    several = bool(rows) and isinstance(rows[0], LabelProofRow)
    return [OF_TOP1.get(name, name) if several else name for name in COLUMNS]


def rates_of(row: ProofRow) -> tuple[float | None, float | None]:
    """Return what eager and the export reach on the images of a row: top-1, or the mean average precision."""
    if isinstance(row, LabelProofRow):
        return row.eager_mean_average_precision, row.mean_average_precision
    return row.eager_top1, row.top1


def cells(row: ProofRow) -> list[tuple[str, str]]:
    """Return what a row of the proof shows behind the name of its images: (column, text)."""
    eager, export = rates_of(row)
    texts = [
        ", ".join(map(str, row.batches)),
        f"{row.count:,}",
        _percent(row.agreement),
        "not finite" if row.error is None else f"{row.error:.1e}",
        _percent(eager),
        _percent(export),
        "–" if row.difference is None else points(row.difference, 2),
        "–" if row.interval is None else " to ".join(points(bound, 2) for bound in row.interval),
    ]
    return list(zip(columns_of([row])[1:], texts, strict=True))


@cache
def _templates() -> Environment:
    return pages.environment("residua.exporting")


def _percent(rate: float | None) -> str:
    return "–" if rate is None else f"{100 * rate:.2f}%"
