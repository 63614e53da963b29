"""The certificate as one offline HTML page."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from jinja2 import Environment

from residua.figures import pages

if TYPE_CHECKING:
    from residua.exporting.certificate import Certificate
    from residua.exporting.proof import ProofRow

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
            columns=COLUMNS,
            cells=cells,
        )
    )


def cells(row: ProofRow) -> list[tuple[str, str]]:
    """Return what a row of the proof shows behind the name of its images: (column, text)."""
    texts = [
        ", ".join(map(str, row.batches)),
        f"{row.count:,}",
        _percent(row.agreement),
        "not finite" if row.error is None else f"{row.error:.1e}",
        _percent(row.eager_top1),
        _percent(row.top1),
        "–" if row.difference is None else points(row.difference),
        "–" if row.interval is None else " to ".join(map(points, row.interval)),
    ]
    return list(zip(COLUMNS[1:], texts, strict=True))


def points(rate: float) -> str:
    """Return a difference of two rates in points: 0.0123 as "+1.23"."""
    return f"{100 * rate:+z.2f}"


@cache
def _templates() -> Environment:
    return pages.environment("residua.exporting")


def _percent(rate: float | None) -> str:
    return "–" if rate is None else f"{100 * rate:.2f}%"
