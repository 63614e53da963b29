"""What a family knows of its training: the largest learning rate at which its networks train."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RateLimit:
    """The largest peak of a learning-rate schedule, for SGD with momentum 0.9.

    Attributes:
        learning_rate: the rate.
        reason: why no larger one, as a clause.
    """

    learning_rate: float
    reason: str
