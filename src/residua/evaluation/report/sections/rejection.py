"""Rejection: which images get no answer, and how well images of no class are recognised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from residua.evaluation.rejection.judge import RejectionEffect, UnknownImages
from residua.evaluation.report.findings import Findings
from residua.evaluation.report.sections.section import Link


@dataclass(frozen=True)
class RejectionSection:
    """Answers of "unknown".

    Attributes:
        effect: of the run's own rejection on these images, or None.
        unknown: how well images of no class are recognised, or None.
    """

    effect: RejectionEffect | None
    unknown: UnknownImages | None
    template: ClassVar[str] = "rejection.html.j2"
    links: ClassVar[tuple[Link, ...]] = (("unknown", "Unknown"),)

    @classmethod
    def of(cls, findings: Findings) -> Self | None:
        """Return the section of these findings; None where nothing is rejected."""
        if findings.rejection is None and findings.unknown is None:
            return None
        return cls(findings.rejection, findings.unknown)
