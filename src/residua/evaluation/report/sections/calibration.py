"""Calibration: whether probabilities agree with the share of right answers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Self

from markupsafe import Markup

from residua.evaluation.measures.calibration import Bin, Calibration
from residua.evaluation.report.diagrams import bin_rows, reliability_diagram
from residua.evaluation.report.findings import CalibrationFindings, Findings
from residua.evaluation.report.sections.section import Link

Row = tuple[Bin, tuple[float, float]]


@dataclass(frozen=True)
class CalibrationSection:
    """Calibration of the network's own probabilities, and with the run's temperature.

    Attributes:
        calibration: calibration of the network's own probabilities.
        by_chance: the expected calibration error of a perfectly calibrated network on as many images.
        loss: mean cross-entropy of them, nats.
        calibrated: the same answers with the run's temperature, or None.
        diagrams: reliability diagrams.
        tables: title and the bins that hold images, each with the interval of its accuracy.
    """

    calibration: Calibration
    by_chance: float
    loss: float
    calibrated: CalibrationFindings | None
    diagrams: tuple[Markup, ...]
    tables: tuple[tuple[str, list[Row]], ...]
    template: ClassVar[str] = "calibration.html.j2"
    links: ClassVar[tuple[Link, ...]] = (("calibration", "Calibration"),)

    @classmethod
    def of(cls, findings: Findings) -> Self | None:
        """Return the section of these findings; None where calibration was not measured."""
        if findings.calibration is None:
            return None
        measured = [("as the network gives them", findings.calibration)]
        titles = ["share of right answers"]
        if findings.calibrated:
            measured.append(("with the temperature", findings.calibrated.calibration))
            titles = ["as the network gives them", f"with the temperature {findings.calibrated.temperature:.3f}"]
        return cls(
            calibration=findings.calibration,
            by_chance=_by_chance(findings.calibration, findings.count),
            loss=findings.loss,
            calibrated=findings.calibrated,
            diagrams=tuple(reliability_diagram(title, each) for title, (_, each) in zip(titles, measured, strict=True)),
            tables=tuple((title, bin_rows(each.bins)) for title, each in measured),
        )


def _by_chance(calibration: Calibration, count: int) -> float:
    """Return the expected calibration error of a perfectly calibrated network on about as many images.

    Each bin's share of right answers then deviates by chance alone: a normal deviate, whose mean size is sqrt(2 / π).
    """
    spread = (math.sqrt(row.count * row.confidence * max(1 - row.confidence, 0)) for row in calibration.bins)
    return math.sqrt(2 / math.pi) * math.fsum(spread) / count
