"""What a served network is: it describes itself, computes logits, and explains them where it can."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol, TypedDict

import numpy as np
import numpy.typing as npt

from residua._base.plain import plain
from residua.data.decode import Pixels
from residua.evaluation.rejection.scores import logit_scores
from residua.evaluation.sigmoid import sigmoid
from residua.specs.preprocess import PreprocessSpec
from residua.specs.rejection import Rejection

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Images = Sequence[Pixels] | Floats
"""Images of one request: uint8 (H, W, 3) each, or float32 (N, 3, H, W), prepared."""


@dataclass(frozen=True)
class Description:
    """What a served network is, without its weights.

    Attributes:
        network: the name of its spec.
        classes: names in the order of the logits.
        preprocess: the evaluation transform.
        temperature: what logits are divided by before they become probabilities.
        threshold: the probability below which an answer is "unknown"; None where none decides.
        rejection: the score from which on an answer is "unknown", without arrays; None where the run has none, or one
            that needs features.
        top1: measured accuracy, a fraction of 1; None where none was.
        count: images that it was measured on; None where none were.
        split: the part of the data that they are, "" for none.
        data: what the run was trained on, as it was named; "" where that is unknown.
        calibrated: whether the run was calibrated.
        engine: what computes the logits.
        precision: that it computes in.
        explains: whether an answer can be explained.
        label_thresholds: the probability from which on an image has each label, (K,), where it may have several; None
            where it has one.
    """

    network: str
    classes: tuple[str, ...]
    preprocess: PreprocessSpec
    temperature: float
    threshold: float | None
    rejection: Rejection | None
    top1: float | None
    count: int | None
    split: str
    data: str
    calibrated: bool
    engine: str
    precision: str
    explains: bool
    label_thresholds: tuple[float, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON holds them."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        rejection = None if self.rejection is None else self.rejection.to_json()
        document: dict[str, Any] = plain(
            values | {"preprocess": self.preprocess.to_json(whole=True), "rejection": rejection}
        )
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Description:
        """Undo `to_json`.

        Raises:
            InputError: a preprocessing that this version does not know.
        """
        preprocess = PreprocessSpec.from_json(document["preprocess"])
        rejection = document.get("rejection")
        known = None if rejection is None else Rejection.from_json(rejection)
        thresholds = document.get("label_thresholds")
        changes = {"classes": tuple(document["classes"]), "preprocess": preprocess, "rejection": known}
        changes["label_thresholds"] = None if thresholds is None else tuple(map(float, thresholds))
        return cls(**{**document, **changes})

    def unknown(self, logits: Floats, probabilities: Doubles) -> bool | None:
        """Return whether an answer is "unknown", given one image's logits (K,) and probabilities; None: no rule."""
        if self.label_thresholds is not None:
            return None
        if self.rejection is not None:
            score = logit_scores(self.rejection.score, logits[None], self.rejection.temperature)
            return bool(score[0] > self.rejection.threshold)
        return None if self.threshold is None else bool(probabilities.max() < self.threshold)


class Picture(TypedDict):
    """An explained answer.

    Attributes:
        overlay: the evidence over the image, a PNG in a data URI; None where there is none.
        image: the image as the network saw it, the same.
        method: what computed it.
        evidence: the greatest value of the map; 0 means no evidence for the class, None that nothing was computed.
        note: why nothing was; None where something was.
    """

    overlay: str | None
    image: str | None
    method: str | None
    evidence: float | None
    note: str | None


def unexplained(note: str) -> Picture:
    """Return the picture of an answer that cannot be explained, given the reason."""
    return Picture(overlay=None, image=None, method=None, evidence=None, note=note)


class Network(Protocol):
    """A network made ready to answer.

    Attributes:
        description: what it is.
    """

    @property
    def description(self) -> Description: ...

    def logits(self, parts: Sequence[Images]) -> Floats:
        """Return the logits (B, K) of the images of several requests, in order."""
        ...

    def probabilities(self, logits: Floats) -> Doubles:
        """Return softmax at the network's temperature, or sigmoids of several labels: (B, K) -> (B, K)."""
        ...

    def explained(self, image: Pixels, target: int) -> Picture:
        """Return the evidence for class `target` in an image as the network sees it; takes as long as three passes."""
        ...


def shares(logits: Floats, description: Description) -> Doubles:
    """Return the probabilities of logits (B, K), in double precision: a softmax, or sigmoids of several labels."""
    if description.label_thresholds is not None:
        return sigmoid(logits.astype(np.float64))
    return softmax(logits, description.temperature)


def softmax(logits: Floats, temperature: float) -> Doubles:
    """Return softmax of logits (B, K) over a temperature, in double precision.

    torch's rounds its sums in another order: the two differ by some units in the last place.
    """
    values = logits.astype(np.float64) / temperature
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    result: Doubles = powers / powers.sum(axis=1, keepdims=True)
    return result


def grouped(parts: Sequence[Images]) -> list[list[Pixels] | Floats]:
    """Return the parts, in order; those of one kind side by side become one, which is computed as one stack."""
    return [
        np.concatenate(list(group)) if prepared else [image for part in group for image in part]
        for prepared, group in itertools.groupby(parts, lambda part: isinstance(part, np.ndarray))
    ]


@dataclass(frozen=True)
class Computation:
    """Who computes the logits of what a server opens.

    Attributes:
        engine: what computes them; a folder of an export has its own.
        precision: the number format that it computes in; an export has its own.
        device: "cpu", "cuda", …; None for the GPU where there is one.
    """

    engine: str = "eager"
    precision: str = "fp32"
    device: str | None = None


Source = Path | str
"""A folder of a run or of an export, or weights by name."""
