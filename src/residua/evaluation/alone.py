"""What an evaluation adds for one run as it predicts: unknown images, neighbours, corruptions, a second set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from residua._base.errors import InputError
from residua.evaluation.corruption import CorruptionChoice, chosen_corruptions, judge_corruptions
from residua.evaluation.likeness import Projection, likeness
from residua.evaluation.rejection.judge import judge_unknown, rejection_effect
from residua.evaluation.report.report import Report
from residua.evaluation.scores.scorer import Scorer
from residua.evaluation.scores.scores import Scores
from residua.evaluation.shift import judge_shift
from residua.specs.fields import checked
from residua.weights.run import Run


@dataclass(frozen=True)
class Additions:
    """What is to be added; see `residua.evaluate`.

    Attributes:
        unknown: a folder of images that belong to no class, or None.
        neighbours: whether to find the training images most like the worst mistakes.
        projection: of the map that comes with them.
        corruptions: which are measured, or None.
        shift: a second set of images, or None.
    """

    unknown: Path | str | None
    neighbours: bool
    projection: Projection
    corruptions: CorruptionChoice | None
    shift: Path | str | None

    @classmethod
    def of(
        cls,
        unknown: Path | str | None,
        neighbours: bool,
        projection: Projection,
        corrupt: bool | Sequence[str],
        severities: Sequence[int],
        shift: Path | str | None,
    ) -> Additions:
        """Return what is to be added, checked before any work.

        Raises:
            InputError: an unknown projection, corruption or severity.
        """
        checked("projection", projection, Projection)
        return cls(unknown, neighbours, projection, chosen_corruptions(corrupt, severities), shift)

    def check_single(self, single: bool) -> None:
        """Refuse what is measured of one run as it predicts, where there are members or views.

        Raises:
            InputError: some is to be added, and the evaluation is of another kind.
        """
        chosen = {
            f"unknown={self.unknown}": self.unknown is not None,
            "neighbours": self.neighbours,
            "corrupt": self.corruptions is not None,
            f"shift={self.shift}": self.shift is not None,
        }
        for name, is_chosen in chosen.items():
            if is_chosen and not single:
                raise InputError(f"{name} with members, views or reestimate", "one run as it predicts", "Leave one out")

    def findings(self, run: Run, scorer: Scorer, scores: Scores, report: Report) -> dict[str, Any]:
        """Return fields of the report by name.

        Raises:
            InputError: as `judge_unknown`, `likeness`, `judge_corruptions` and `judge_shift`.
        """
        return {
            "rejection": rejection_effect(run, scorer, scores),
            "unknown": None if self.unknown is None else judge_unknown(run, scorer, self.unknown),
            "likeness": likeness(run, scorer, report.worst, self.projection) if self.neighbours else None,
            "corruptions": self.corruptions and judge_corruptions(run, scorer, scores, self.corruptions),
            "shift": None if self.shift is None else judge_shift(run, scorer, scores, self.shift),
        }
