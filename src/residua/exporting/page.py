"""The certificate as one offline HTML page."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from jinja2 import Environment

from residua.figures import pages

if TYPE_CHECKING:
    from residua.exporting.certificate import Certificate

ANSWERS = {"passes": "passes", "fails": "fails", "undecided": "cannot be decided"}
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
        )
    )


def points(rate: float) -> str:
    """Return a difference of two rates in points: 0.0123 as "+1.23"."""
    return f"{100 * rate:+z.2f}"


@cache
def _templates() -> Environment:
    templates = pages.environment("residua.exporting")
    templates.globals.update(percent=lambda rate: f"{100 * rate:.2f}%", points=points)
    return templates
