"""The members of an ensemble, and the gain of their average."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from residua.evaluation.measures.ensemble import Ensemble
from residua.evaluation.report.findings import Findings
from residua.evaluation.report.sections.section import Link


@dataclass(frozen=True)
class EnsembleSection:
    """An ensemble.

    Attributes:
        ensemble: members, weights, diversity and the test against the best member.
    """

    ensemble: Ensemble
    template: ClassVar[str] = "ensemble.html.j2"
    links: ClassVar[tuple[Link, ...]] = (("ensemble", "Ensemble"),)

    @classmethod
    def of(cls, findings: Findings) -> Self | None:
        """Return the section of these findings; None for a single run."""
        return None if findings.ensemble is None else cls(findings.ensemble)
