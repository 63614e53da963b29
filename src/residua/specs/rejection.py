"""What makes an answer "unknown", as a frozen value that a bundle holds."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from residua._base.errors import InputError
from residua.specs.fields import Length, Span, Temperature, checked, field_rules, settle

ScoreName = Literal["softmax", "energy", "knn", "mahalanobis"]
"""The scores of being unknown; the last two need features."""
LOGIT_SCORES: tuple[ScoreName, ...] = ("softmax", "energy")
FEATURE_SCORES: tuple[ScoreName, ...] = ("knn", "mahalanobis")

DECIDING_ACCURACY = "0.95"
"""Of a calibration's thresholds, the one below which an answer is "unknown" where there is no rejection."""
MOST_BYTES = 32 << 20
"""Of all arrays of a rejection: they travel in the header of the weights' file."""
_NUMBER_BYTES = 4
_MOST_SIDE = 1 << 24

Shape = Annotated[tuple[Annotated[int, Span(1, _MOST_SIDE)], ...], Length(2, 2)]
Rate = Annotated[float, Span(0, 1, above=True, below=True)]


@dataclass(frozen=True)
class StoredArray:
    """An array as JSON carries it.

    Attributes:
        shape: rows and columns.
        data: little-endian float32, base64.

    Raises:
        InputError: bytes that are not those of the shape.
    """

    shape: Shape
    data: Annotated[str, Length(2 * MOST_BYTES)] = field(repr=False)

    def __post_init__(self) -> None:
        settle(self)
        if len(self.content) != _NUMBER_BYTES * math.prod(self.shape):
            raise InputError(
                f"an array of {self.shape} in {len(self.content)} bytes", "4 bytes per number", "Calibrate again"
            )

    @property
    def content(self) -> bytes:
        """The bytes."""
        try:
            return base64.b64decode(self.data, validate=True)
        except binascii.Error as error:
            raise InputError(f"an array that is no base64 ({error})", "base64", "Calibrate again") from None


@dataclass(frozen=True)
class Rejection:
    """The score from which on an answer is "unknown", and how it was found.

    Attributes:
        score: "softmax" (1 minus the greatest probability), "energy", "knn" or "mahalanobis"; see
            `residua.evaluation.rejection.scores`. All are greater for what is less known.
        threshold: an image with a greater score is unknown.
        rate: the share of validation images that may be rejected.
        rejected: the share of them that is.
        count: validation images that the threshold was found on.
        split: the part that they are.
        data_hash: of the data.
        temperature: what logits are divided by, of "softmax" and "energy".
        neighbours: the k of "knn".
        arrays: what features are compared with, by name; none for scores of logits.

    Raises:
        InputError: a field out of range; names it.
    """

    score: ScoreName
    threshold: Annotated[float, Span(-1e30, 1e30)]
    rate: Rate
    rejected: Annotated[float, Span(0, 1)]
    count: Annotated[int, Span(1, 10**9)]
    split: Annotated[str, Length(20)] = "val"
    data_hash: Annotated[str, Length(200)] = ""
    temperature: Temperature = 1.0
    neighbours: Annotated[int, Span(1, 10**6)] = 10
    arrays: Mapping[str, StoredArray] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for entry in dataclasses.fields(self):
            if entry.name != "arrays":
                rule = field_rules(Rejection)[entry.name]
                object.__setattr__(self, entry.name, checked(entry.name, getattr(self, entry.name), rule))
        wanted = {"knn": {"references"}, "mahalanobis": {"means", "precision"}}.get(self.score, set())
        if set(self.arrays) != wanted:
            raise InputError(
                f"a rejection by {self.score} with arrays {sorted(self.arrays)}", f"{sorted(wanted)}", "Calibrate again"
            )
        total = sum(_NUMBER_BYTES * math.prod(each.shape) for each in self.arrays.values())
        if total > MOST_BYTES or len({each.shape[1] for each in self.arrays.values()}) > 1:
            raise InputError(
                f"arrays of {[each.shape for each in self.arrays.values()]}",
                f"arrays of one width, {MOST_BYTES >> 20} MB in all",
                "Calibrate again",
            )

    @property
    def uses_features(self) -> bool:
        """Whether the score needs features, and so torch's own operators."""
        return self.score in FEATURE_SCORES

    @property
    def probability(self) -> float | None:
        """The probability below which an answer is unknown; None for other scores than "softmax"."""
        return 1 - self.threshold if self.score == "softmax" else None

    def to_json(self, *, whole: bool = True) -> dict[str, Any]:
        """Return the fields as JSON holds them, with their arrays only where it is `whole`."""
        document = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(self)}
        arrays = {name: {"shape": list(each.shape), "data": each.data} for name, each in self.arrays.items()}
        return document | {"arrays": arrays} if whole else {k: v for k, v in document.items() if k != "arrays"}

    @classmethod
    def from_json(cls, document: Any) -> Rejection:
        """Undo `to_json`.

        Raises:
            InputError: it is none; a field is missing, unknown or out of range.
        """
        try:
            arrays = {name: StoredArray(**each) for name, each in dict(document.get("arrays", {})).items()}
            return cls(**{**document, "arrays": arrays})
        except (TypeError, ValueError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"a rejection that cannot be read ({error})", "its fields", "Calibrate again") from None


def deciding_threshold(thresholds: Mapping[str, Any] | None) -> float | None:
    """Return the probability below which an answer is "unknown", from a calibration's `thresholds`; None: no rule."""
    value = (thresholds or {}).get(DECIDING_ACCURACY)
    return float(value) if isinstance(value, int | float) else None
