"""The account of a re-estimation of batch normalisation's statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from residua.evaluation.batch_norm import Reestimation
from residua.evaluation.report.findings import Findings
from residua.evaluation.report.sections.section import Link


@dataclass(frozen=True)
class ReestimationSection:
    """A re-estimation of batch normalisation's statistics.

    Attributes:
        reestimated: layers, images, passes and the change in the last pass.
    """

    reestimated: Reestimation
    template: ClassVar[str] = "reestimation.html.j2"
    links: ClassVar[tuple[Link, ...]] = (("reestimated", "Batch normalisation"),)

    @classmethod
    def of(cls, findings: Findings) -> Self | None:
        """Return the section of these findings; None where the run's own statistics were used."""
        return None if findings.reestimated is None else cls(findings.reestimated)
