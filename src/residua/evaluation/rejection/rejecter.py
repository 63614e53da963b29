"""A run's rejection, ready to decide which answers are "unknown"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from residua.evaluation.rejection.scores import Arrays, Doubles, Floats, feature_scores, logit_scores, restored
from residua.specs.rejection import Rejection, deciding_threshold


@dataclass(frozen=True, eq=False)
class Rejecter:
    """Decides which answers are unknown.

    Attributes:
        rejection: the score and its threshold.
        arrays: what features are compared with.
    """

    rejection: Rejection
    arrays: Arrays = field(repr=False)

    @classmethod
    def of(cls, rejection: Rejection | None) -> Rejecter | None:
        """Return what a rejection decides; None without one.

        Raises:
            InputError: arrays that cannot be used.
        """
        return None if rejection is None else cls(rejection, restored(rejection))

    def scores(self, logits: Floats, features: Floats | None) -> Doubles:
        """Return the scores (B,) of images, from logits (B, K) or from features (B, D)."""
        asked = self.rejection
        if not asked.uses_features:
            return logit_scores(asked.score, logits, asked.temperature)
        assert features is not None
        return feature_scores(asked.score, features, self.arrays, asked.neighbours)

    def unknown(self, logits: Floats, features: Floats | None = None) -> npt.NDArray[np.bool_]:
        """Return which of the images (B,) are unknown."""
        return np.asarray(self.scores(logits, features) > self.rejection.threshold)


def deciding(rejection: Rejection | None, thresholds: Mapping[str, Any]) -> tuple[float | None, Rejection | None]:
    """Return the probability and the rejection that decide which answers are "unknown", where logits are all there is.

    A rejection that the run was calibrated with comes before the probability at which 95% of the answers were right.
    One that needs features decides nothing.
    """
    if rejection is not None:
        return (None, None) if rejection.uses_features else (rejection.probability, rejection)
    return deciding_threshold(thresholds), None
