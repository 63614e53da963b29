"""The answer of a network for one image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from residua._base.words import html_table

_SHOWN = 8  # labels of a notebook's table


@dataclass(frozen=True)
class Prediction:
    """The network's answer for one image.

    Attributes:
        path: the file; an address without its secrets; or "image N" of what has no name.
        labels: class names, most probable first.
        probabilities: softmax of the logits, divided by the run's temperature where one was fitted, in the order of
            `labels`; fractions of 1.
        unknown: whether the run's rejection calls the image unknown: like none of its classes. None where the run has
            no rejection; see `residua.evaluation.calibrate`.
    """

    path: str
    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    unknown: bool | None = None

    def _repr_html_(self) -> str:
        """Return the answer as a notebook shows it."""
        title = f"{self.path}: unknown" if self.unknown else self.path
        return html_table(title, [(n, f"{p:.2%}") for n, p in zip(self.labels, self.probabilities, strict=True)])


@dataclass(frozen=True)
class LabelPrediction(Prediction):
    """The answer for one image that may have several labels.

    Attributes:
        path: as in `Prediction`.
        labels: those whose probability reaches their threshold, most probable first; () for none.
        probabilities: sigmoid of the logits, in the order of `labels`; fractions of 1, which do not sum to 1.
        unknown: None.
        all_probabilities: of every label by its name, in the order of the run's classes.
    """

    all_probabilities: Mapping[str, float] = field(default_factory=dict)

    def _repr_html_(self) -> str:
        """Return the answer as a notebook shows it: its labels, then the most probable of the others."""
        rest = sorted(self.all_probabilities.items(), key=lambda pair: -pair[1])
        rows = [(name, f"{share:.2%}") for name, share in rest if name in self.labels]
        others = [(f"({name})", f"{share:.2%}") for name, share in rest if name not in self.labels]
        return html_table(f"{self.path}: {', '.join(self.labels) or 'no label'}", [*rows, *others][:_SHOWN])
