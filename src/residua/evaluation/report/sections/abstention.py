"""Abstention: the accuracy of the answers when the least sure are withheld."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from markupsafe import Markup

from residua.evaluation.measures.abstention import Abstention, Threshold
from residua.evaluation.report.diagrams import coverage_chart
from residua.evaluation.report.findings import Findings
from residua.evaluation.report.sections.section import Link


@dataclass(frozen=True)
class AbstentionSection:
    """Accuracy against coverage.

    Attributes:
        aurc: area under the risk-coverage curve, or None.
        chart: a drawing of the curve; empty where every answer is right.
        rows: about ten points of it, the surest images first: share answered, share of these right.
        thresholds: probability thresholds with their effect on these images.
    """

    aurc: float | None
    chart: Markup
    rows: tuple[tuple[float, float], ...]
    thresholds: tuple[Threshold, ...]
    template: ClassVar[str] = "abstention.html.j2"
    links: ClassVar[tuple[Link, ...]] = (("abstention", "Abstention"),)

    @classmethod
    def of(cls, findings: Findings) -> Self | None:
        """Return the section of these findings; None where there is neither a curve to draw nor a threshold."""
        chart = coverage_chart(findings.abstention) if findings.abstention and findings.top1 < 1 else Markup("")
        thresholds = findings.calibrated.thresholds if findings.calibrated else ()
        if not chart and not thresholds:
            return None
        return cls(
            aurc=findings.abstention.aurc if findings.abstention else None,
            chart=chart,
            rows=tuple(_tenths(findings.abstention)) if findings.abstention else (),
            thresholds=thresholds,
        )


def _tenths(abstention: Abstention) -> list[tuple[float, float]]:
    tenths = [next(point for point in abstention.curve if point[0] >= tenth / 10 - 1e-9) for tenth in range(1, 11)]
    return list(dict.fromkeys(tenths))
