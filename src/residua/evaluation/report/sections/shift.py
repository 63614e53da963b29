"""Shift: a second set of images with the same classes, beside the one that was evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from residua.evaluation.measures.shift import Shift
from residua.evaluation.report.findings import Findings
from residua.evaluation.report.sections.section import Link


@dataclass(frozen=True)
class ShiftSection:
    """What changes from these images to others.

    Attributes:
        shift: the comparison.
        top1: accuracy on the images of the report.
        count: their number.
        beyond_chance: whether the interval of the difference excludes 0.
    """

    shift: Shift
    top1: float
    count: int
    beyond_chance: bool
    template: ClassVar[str] = "shift.html.j2"
    links: ClassVar[tuple[Link, ...]] = (("shift", "Shift"),)

    @classmethod
    def of(cls, findings: Findings) -> Self | None:
        """Return the section of these findings; None without a second set."""
        if findings.shift is None:
            return None
        low, high = findings.shift.interval
        return cls(findings.shift, findings.top1, findings.count, low > 0 or high < 0)
