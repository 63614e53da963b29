"""The answer of a network for one image."""

from __future__ import annotations

from dataclasses import dataclass

from residua._base.words import html_table


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
