"""What makes a run one of several labels an image, as a frozen value that a bundle holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from residua._base.errors import InputError
from residua.specs.fields import Length, Span, checked, field_rules

NOT_CHOSEN = 0.5
"""The threshold of a label that no validation image has."""
_MOST = 1 << 20

Threshold = Annotated[float, Span(0, 1)]


@dataclass(frozen=True)
class LabelThresholds:
    """The probability from which on an image has a label, for each label, and how it was chosen.

    Attributes:
        thresholds: (K,), in the order of the classes: the greatest F1 on validation images; 0.5 where none has the
            label, and for all labels where there was no validation part.
        split: the part that they were chosen on, "" for none.
        count: its images.
        data_hash: of the data.

    Raises:
        InputError: a field out of range; names it.
    """

    thresholds: Annotated[tuple[Threshold, ...], Length(_MOST, 1)]
    split: Annotated[str, Length(20)] = ""
    count: Annotated[int, Span(0, 10**9)] = 0
    data_hash: Annotated[str, Length(200)] = ""

    def __post_init__(self) -> None:
        for name, rule in field_rules(LabelThresholds).items():
            object.__setattr__(self, name, checked(name, getattr(self, name), rule))

    @classmethod
    def even(cls, count: int) -> LabelThresholds:
        """Return one half for so many labels: what holds where none were chosen."""
        return cls((NOT_CHOSEN,) * count)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON holds them."""
        return dataclasses.asdict(self) | {"thresholds": list(self.thresholds)}

    @classmethod
    def from_json(cls, document: Any) -> LabelThresholds:
        """Undo `to_json`.

        Raises:
            InputError: it is none; a field is missing, unknown or out of range.
        """
        if not isinstance(document, Mapping):
            raise InputError(f"thresholds {str(document)[:40]!r}", "thresholds of labels", "Train again")
        try:
            return cls(**{**document, "thresholds": tuple(document.get("thresholds", ()))})
        except TypeError as error:
            raise InputError(f"thresholds that cannot be read ({error})", "their fields", "Train again") from None
