"""The confusion matrix, and the metrics of each class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from residua.evaluation.measures.metrics import ClassMetrics, wilson
from residua.evaluation.report.findings import Findings
from residua.evaluation.report.matrix import Matrix, confused_pairs, confusion_matrix
from residua.evaluation.report.sections.section import Link
from residua.evaluation.report.sections.summary import weakness


@dataclass(frozen=True)
class ConfusionSection:
    """Which classes are taken for which.

    Attributes:
        pairs: the most frequent confusions: true class, predicted class, images, share of the true class.
        matrix: the matrix as markup.
        uneven: whether the table of classes comes first.
        classes: each class with the 95% interval of its recall, the weakest first, those without images last.
    """

    pairs: tuple[tuple[str, str, int, float], ...]
    matrix: Matrix
    classes: tuple[tuple[ClassMetrics, tuple[float, float]], ...]
    uneven: bool
    template: ClassVar[str] = "confusion.html.j2"

    @property
    def links(self) -> tuple[Link, ...]:
        """Its entries in the navigation, in the order of the page."""
        links = (("confusion", "Confusion"), ("classes", "Classes"))
        return links[::-1] if self.uneven else links

    @classmethod
    def of(cls, findings: Findings) -> Self:
        """Return the section of these findings."""
        rows = ((row, wilson(round(row.recall * row.support), row.support)) for row in findings.per_class)
        return cls(
            pairs=tuple(confused_pairs(findings.confusion, findings.classes)),
            matrix=confusion_matrix(findings.confusion, findings.classes),
            classes=tuple(sorted(rows, key=lambda pair: weakness(pair[0]))),
            uneven=findings.uneven,
        )
