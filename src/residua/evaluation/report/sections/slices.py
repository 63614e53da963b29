"""Results by the values of a metadata table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from residua.evaluation.measures.slices import Slice
from residua.evaluation.report.findings import Findings
from residua.evaluation.report.sections.section import Link

_SHOWN = 300
"""More rows than anyone reads; report.json has them all."""


@dataclass(frozen=True)
class SlicesSection:
    """Accuracy by slice.

    Attributes:
        top1: the accuracy over all images.
        rows: whether the slice is the first of its column, and the slice.
        left_out: slices that are not shown.
    """

    top1: float
    rows: tuple[tuple[bool, Slice], ...]
    left_out: int
    template: ClassVar[str] = "slices.html.j2"
    links: ClassVar[tuple[Link, ...]] = (("slices", "Slices"),)

    @classmethod
    def of(cls, findings: Findings) -> Self | None:
        """Return the section of these findings; None without slices."""
        if not findings.slices:
            return None
        rows = _rows(findings.slices)
        return cls(top1=findings.top1, rows=tuple(rows), left_out=len(findings.slices) - len(rows))


def _rows(slices: Sequence[Slice]) -> list[tuple[bool, Slice]]:
    """Return (whether its column begins, slice), of very many those that may be weakest."""
    kept = set(sorted(range(len(slices)), key=lambda at: slices[at].top1_interval[1])[:_SHOWN])
    shown = [each for at, each in enumerate(slices) if at in kept]
    return [(at == 0 or shown[at - 1].column != each.column, each) for at, each in enumerate(shown)]
