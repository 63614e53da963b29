"""What a report states first: accuracy, or balanced accuracy where classes are uneven."""

from __future__ import annotations

from dataclasses import dataclass

from residua.evaluation.report.findings import Findings


@dataclass(frozen=True)
class Headline:
    """The first figure of a report; rates are fractions of 1.

    Attributes:
        balanced: whether it is balanced accuracy, and not top-1 accuracy.
        value: the rate.
        interval: its 95% interval.
        baseline: what always answering the most frequent class would have.
    """

    balanced: bool
    value: float
    interval: tuple[float, float]
    baseline: float


def headline(findings: Findings) -> Headline:
    """Return what is stated first of these findings."""
    if not findings.uneven or findings.balanced_accuracy_interval is None:
        return Headline(False, findings.top1, findings.top1_interval, findings.baseline)
    present = sum(row.support > 0 for row in findings.per_class)
    return Headline(True, findings.balanced_accuracy, findings.balanced_accuracy_interval, 1 / present)
