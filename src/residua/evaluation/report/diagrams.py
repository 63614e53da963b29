"""Drawings of how sure a network is: reliability, and accuracy against coverage."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from residua.evaluation.measures.abstention import Abstention
from residua.evaluation.measures.calibration import Bin, Calibration
from residua.evaluation.measures.metrics import wilson
from residua.figures.charts import Series, line_chart

_LEFT, _RIGHT, _TOP, _FLOOR = 46, 328, 30, 230
_BASE, _TALLEST = 300, 24  # of the counts' bars, below
_HEIGHT = 334


def reliability_diagram(title: str, found: Calibration) -> Markup:
    """Return an SVG element: a bar a bin for the share of right answers, with Wilson's interval, the gap to the mean
    probability, and how many images the bin holds.
    """
    parts = [Markup('<text class="axis-title" x="0" y="12">{}</text>').format(title)]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(
            Markup(
                '<line class="grid" x1="{}" x2="{}" y1="{y}" y2="{y}"/><text class="end" x="{}" y="{}">{:.0f}%</text>'
                '<text class="middle" x="{}" y="{}">{:.0f}%</text>'
            ).format(
                _LEFT,
                _RIGHT,
                _LEFT - 7,
                _y(tick) + 3.5,
                100 * tick,
                _x(tick),
                _BASE + 15,
                100 * tick,
                y=_y(tick),
            )
        )
    most = max(row.count for row in found.bins)
    parts += [_bin(row, most) for row in found.bins if row.count]
    parts.append(
        Markup('<line class="ideal" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(_LEFT, _RIGHT, _y(0), _y(1))
        + Markup('<line class="axis" x1="{}" x2="{}" y1="{y}" y2="{y}"/>').format(_LEFT, _RIGHT, y=_FLOOR)
        + Markup('<line class="axis" x1="{}" x2="{}" y1="{y}" y2="{y}"/>').format(_LEFT, _RIGHT, y=_BASE)
        + Markup('<text class="end" x="{}" y="{}">images</text>').format(_LEFT - 7, _BASE)
        + Markup('<text class="middle" x="{}" y="{}">probability of the predicted class</text>').format(
            (_LEFT + _RIGHT) / 2, _HEIGHT - 4
        )
    )
    spoken = f"{title}: share of right answers by probability, in {len(found.bins)} bins; "
    spoken += f"expected calibration error {found.ece:.1%}; the numbers stand in the table below"
    return Markup('<svg class="reliability" viewBox="0 0 340 {}" role="img" aria-label="{}">{}</svg>').format(
        _HEIGHT, spoken, Markup("").join(parts)
    )


def coverage_chart(found: Abstention) -> Markup:
    """Return an SVG element: accuracy of the answers against the share of images that are answered."""
    return line_chart(
        "accuracy of the answers",
        "images answered, the surest first, %",
        [round(100 * coverage, 2) for coverage, _ in found.curve],
        [Series("accuracy", "val", [accuracy for _, accuracy in found.curve])],
        lambda value: f"{100 * value:.4g}%",
    )


def bin_rows(bins: Sequence[Bin]) -> list[tuple[Bin, tuple[float, float]]]:
    """Return the bins that hold images, each with the interval of its accuracy."""
    return [(row, wilson(round(row.accuracy * row.count), row.count)) for row in bins if row.count]


def _bin(row: Bin, most: int) -> Markup:
    ((_, (low, high)),) = bin_rows([row])
    left, right, middle = _x(row.low) + 1, _x(row.high) - 1, (_x(row.low) + _x(row.high)) / 2
    tall = max(row.count / most * _TALLEST, 1)
    upper, lower = _y(max(row.accuracy, row.confidence)), _y(min(row.accuracy, row.confidence))
    text = f"probability {row.low:.1%} to {row.high:.1%}\n{row.count:,} images\nmean probability {row.confidence:.1%}"
    return Markup(
        '<g><title>{}</title><rect class="share" x="{x}" y="{}" width="{w}" height="{}"/>'
        '<rect class="{gap}" x="{x}" y="{}" width="{w}" height="{}"/>'
        '<line class="whisker" x1="{m}" x2="{m}" y1="{}" y2="{}"/>'
        '<rect class="count" x="{x}" y="{top}" width="{w}" height="{}"/>'
        '<text class="small" transform="translate({} {}) rotate(-90)">{:,}</text></g>'
    ).format(
        f"{text}\nright {row.accuracy:.1%} ({low:.1%} to {high:.1%})",
        _y(row.accuracy),
        round(_FLOOR - _y(row.accuracy), 1),
        upper,
        round(lower - upper, 1),
        _y(low),
        _y(high),
        round(tall, 1),
        round(middle + 3, 1),
        round(_BASE - tall - 3, 1),
        row.count,
        gap="gap" if row.confidence > row.accuracy else "modest",
        x=round(left, 1),
        w=round(right - left, 1),
        m=round(middle, 1),
        top=round(_BASE - tall, 1),
    )


def _x(rate: float) -> float:
    return round(_LEFT + rate * (_RIGHT - _LEFT), 1)


def _y(rate: float) -> float:
    return round(_FLOOR - rate * (_FLOOR - _TOP), 1)
