"""The reliability diagram: how often answers of each probability are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from residua.figures.axes import Axis, baseline, below, heading, image, level, upright

# Sizes of the drawing, pixels.
_LEFT, _RIGHT, _TOP, _FLOOR = 46, 328, 30, 230
_BASE, _TALLEST = 300, 24  # of the bars of counts, below
_HEIGHT = 334
_QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)
_LABELS = tuple(f"{100 * tick:.0f}%" for tick in _QUARTERS)
_X = Axis(_QUARTERS, _LABELS, 0.0, 1.0, _LEFT, _RIGHT)
_Y = Axis(_QUARTERS, _LABELS, 0.0, 1.0, _FLOOR, _TOP)


@dataclass(frozen=True)
class Bin:
    """Answers of about one probability; rates are fractions of 1.

    Attributes:
        low, high: the bin's probabilities.
        count: images.
        right: share of right answers.
        right_low, right_high: its interval.
        probability: mean of the predicted classes' probabilities.
    """

    low: float
    high: float
    count: int
    right: float
    right_low: float
    right_high: float
    probability: float


def reliability_diagram(title: str, bins: Sequence[Bin], spoken: str) -> Markup:
    """Return an SVG element: per bin the share of right answers, its interval, the gap to the mean probability, and the
    count of images.

    Args:
        title: above the diagram.
        bins: those that hold images.
        spoken: what is read aloud after the title.
    """
    most = max((each.count for each in bins), default=1)
    parts = [
        heading(title),
        upright(_Y, _LEFT, _RIGHT),
        level(_X, _BASE + 15),
        *(_drawn(each, most) for each in bins),
        Markup('<line class="ideal" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(_LEFT, _RIGHT, _FLOOR, _TOP),
        baseline(_LEFT, _RIGHT, _FLOOR),
        baseline(_LEFT, _RIGHT, _BASE),
        Markup('<text class="end" x="{}" y="{}">images</text>').format(_LEFT - 7, _BASE),
        below("probability of the predicted class", _LEFT, _RIGHT, _HEIGHT - 4),
    ]
    return image("reliability", 340, _HEIGHT, f"{title}: {spoken}", parts)


def _drawn(each: Bin, most: int) -> Markup:
    left, right = _X.position(each.low) + 1, _X.position(each.high) - 1
    middle = (_X.position(each.low) + _X.position(each.high)) / 2
    tall = max(each.count / most * _TALLEST, 1)
    upper = _Y.position(max(each.right, each.probability))
    lower = _Y.position(min(each.right, each.probability))
    text = f"probability {each.low:.1%} to {each.high:.1%}\n{each.count:,} images\n"
    text += f"mean probability {each.probability:.1%}\n"
    text += f"right {each.right:.1%} ({each.right_low:.1%} to {each.right_high:.1%})"
    return Markup(
        '<g><title>{}</title><rect class="share" x="{x}" y="{}" width="{w}" height="{}"/>'
        '<rect class="{gap}" x="{x}" y="{}" width="{w}" height="{}"/>'
        '<line class="whisker" x1="{m}" x2="{m}" y1="{}" y2="{}"/>'
        '<rect class="count" x="{x}" y="{top}" width="{w}" height="{}"/>'
        '<text class="small" transform="translate({} {}) rotate(-90)">{:,}</text></g>'
    ).format(
        text,
        _Y.position(each.right),
        round(_FLOOR - _Y.position(each.right), 1),
        upper,
        round(lower - upper, 1),
        _Y.position(each.right_low),
        _Y.position(each.right_high),
        round(tall, 1),
        round(middle + 3, 1),
        round(_BASE - tall - 3, 1),
        each.count,
        gap="gap" if each.probability > each.right else "modest",
        x=round(left, 1),
        w=round(right - left, 1),
        m=round(middle, 1),
        top=round(_BASE - tall, 1),
    )
