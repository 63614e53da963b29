"""What a run states of an epoch, and of a loss that is not finite."""

from __future__ import annotations

from residua._base.errors import AnswerNo


class Diverged(AnswerNo):
    """The loss or the weights turned NaN or infinite.

    Attributes:
        step: the optimizer step after which they did, counted from 0.
        what: what happened, and at which learning rate.
        precision: what to try besides a lower rate; "" for nothing.
        kept: what the run folder keeps.
    """

    def __init__(self, step: int, what: str, precision: str, kept: str, advice: str) -> None:
        super().__init__(f"Training diverged: {what}. {advice}{precision}, in a different folder: out=FOLDER. {kept}.")
        self.step, self.what, self.precision, self.kept = step, what, precision, kept


def verdict(before: float | None, score: float, improved: bool, name: str) -> str:
    """Return how a validation compares with the best before it, None for the first."""
    if before is None:
        return f"val {name} {score:.2%}, the first"
    if improved and score == before:
        return f"val loss improved at the same {name}, {score:.2%}"
    if improved:
        return f"val {name} improved from {before:.2%} to {score:.2%}"
    return f"val {name} {score:.2%} did not improve from {before:.2%}"
