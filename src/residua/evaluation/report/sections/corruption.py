"""Corruption: accuracy in noise, blur, weather and coarse pixels, with a picture of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from residua.evaluation.measures.corruption import Corruptions
from residua.evaluation.report.findings import Findings
from residua.evaluation.report.sections.section import Link


@dataclass(frozen=True)
class CorruptionSection:
    """Accuracy by corruption and severity.

    Attributes:
        corruptions: what was measured.
        pixelated: whether the images are so small that their pixels are drawn as squares.
    """

    corruptions: Corruptions
    pixelated: bool
    template: ClassVar[str] = "corruption.html.j2"
    links: ClassVar[tuple[Link, ...]] = (("corruption", "Corruption"),)

    @classmethod
    def of(cls, findings: Findings) -> Self | None:
        """Return the section of these findings; None where no corruption was measured."""
        if findings.corruptions is None:
            return None
        return cls(findings.corruptions, bool(np.max(findings.model["input_size"]) <= 64))
