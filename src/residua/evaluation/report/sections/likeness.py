"""What the network sees as alike: a map of the images, and the training images nearest to the worst mistakes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from residua.evaluation.report.findings import Findings
from residua.evaluation.report.likeness import Likeness
from residua.evaluation.report.sections.section import Link


@dataclass(frozen=True)
class LikenessSection:
    """Neighbours of mistakes, and the map.

    Attributes:
        likeness: what is shown.
        pixelated: whether the images are so small that their pixels are drawn as squares.
    """

    likeness: Likeness
    pixelated: bool
    template: ClassVar[str] = "likeness.html.j2"
    links: ClassVar[tuple[Link, ...]] = (("alike", "Alike"),)

    @classmethod
    def of(cls, findings: Findings) -> Self | None:
        """Return the section of these findings; None where neighbours were not looked for."""
        if findings.likeness is None:
            return None
        return cls(findings.likeness, bool(np.max(findings.model["input_size"]) <= 64))
