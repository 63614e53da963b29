"""Drawings of how sure a network is: reliability, and accuracy against coverage."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from residua.evaluation.measures.abstention import Abstention
from residua.evaluation.measures.calibration import Bin, Calibration
from residua.evaluation.measures.metrics import wilson
from residua.figures import reliability
from residua.figures.axes import percent
from residua.figures.lines import Series, line_chart


def reliability_diagram(title: str, calibration: Calibration) -> Markup:
    """Return an SVG element: accuracy by probability, with Wilson's intervals."""
    bins = [
        reliability.Bin(row.low, row.high, row.count, row.accuracy, *interval, row.confidence)
        for row, interval in bin_rows(calibration.bins)
    ]
    spoken = f"share of right answers by probability, in {len(calibration.bins)} bins; "
    spoken += f"expected calibration error {calibration.ece:.1%}; the numbers stand in the table below"
    return reliability.reliability_diagram(title, bins, spoken)


def coverage_chart(abstention: Abstention) -> Markup:
    """Return an SVG element: accuracy of the answers against the share of images that are answered."""
    return line_chart(
        "accuracy of the answers",
        "images answered, the surest first, %",
        [round(100 * coverage, 2) for coverage, _ in abstention.curve],
        [Series("accuracy", "val", [accuracy for _, accuracy in abstention.curve])],
        percent,
    )


def bin_rows(bins: Sequence[Bin]) -> list[tuple[Bin, tuple[float, float]]]:
    """Return the bins that hold images, each with the interval of its accuracy."""
    return [(row, wilson(round(row.accuracy * row.count), row.count)) for row in bins if row.count]
