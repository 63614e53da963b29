"""Mistakes in pictures: the worst, and the most confident."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from residua.evaluation.report.findings import Findings, Mistake
from residua.evaluation.report.sections.section import Link


@dataclass(frozen=True)
class MistakesSection:
    """Images that were classified wrongly.

    Attributes:
        worst: those that gave the true class the least probability.
        surest: those that gave a wrong class the most; () where they are the same.
        explained_by: the member of an ensemble that the maps belong to, or "".
        equal_weights: whether all members of that ensemble weigh the same.
        pixelated: whether the images are so small that their pixels are drawn as squares.
    """

    worst: tuple[Mistake, ...]
    surest: tuple[Mistake, ...]
    explained_by: str
    equal_weights: bool
    pixelated: bool
    template: ClassVar[str] = "mistakes.html.j2"

    @property
    def links(self) -> tuple[Link, ...]:
        """Its entry in the navigation."""
        return (("worst" if self.worst else "surest", "Mistakes"),)

    @classmethod
    def of(cls, findings: Findings) -> Self | None:
        """Return the section of these findings; None without mistakes."""
        worst, surest = findings.worst, findings.most_confident_mistakes
        # With two classes the least probable truth is the surest mistake: one list shows both.
        if [each.index for each in surest] == [each.index for each in worst[: len(surest)]]:
            surest = ()
        if not worst and not surest:
            return None
        members = findings.ensemble.members if findings.ensemble else ()
        return cls(
            worst=worst,
            surest=surest,
            explained_by=findings.ensemble.explained if findings.ensemble else "",
            equal_weights=len({member.weight for member in members}) == 1,
            pixelated=bool(np.max(findings.model["input_size"]) <= 64),
        )
