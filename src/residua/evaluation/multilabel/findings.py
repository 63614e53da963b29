"""What an evaluation of several labels an image found: the page and the JSON document are made from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from residua.evaluation.measures.ensemble import Ensemble
from residua.evaluation.multilabel.label_metrics import LabelMetrics
from residua.evaluation.multilabel.predictions import LabelPredictions
from residua.specs.multilabel import LabelThresholds


@dataclass(frozen=True)
class LabelMistake:
    """A label that an image has and was not given, or was given and does not have.

    Attributes:
        path: the image's file, relative to the data where it lies below it; or its position in the split.
        index: its index in the split.
        label: the label.
        probability: that the network gave it, a fraction of 1.
        threshold: from which on it is given.
        labels: those that the image has.
        thumbnail: the image as the network saw it, a data URI; "" where it was not drawn.
        explanation: Grad-CAM for the label over the image, a data URI; "" where the network has no maps.
    """

    path: str
    index: int
    label: str
    probability: float
    threshold: float
    labels: tuple[str, ...]
    thumbnail: str = field(default="", repr=False)
    explanation: str = field(default="", repr=False)


@dataclass(frozen=True, eq=False)
class MultilabelFindings:
    """What an evaluation of several labels an image found; rates are fractions of 1.

    Attributes:
        name: the name of the run's folder.
        model: description of the network, as in `Report`.
        split: the part that was evaluated.
        count: images in it.
        mean_average_precision: mean over the labels that some image has.
        mean_average_precision_interval: its 95% interval, from resampled images.
        baseline: the mean average precision of guessing: the mean share of images that have a label.
        micro_f1: F1 of all decisions together.
        macro_f1: mean F1 over the labels that occur, as truth or as prediction.
        micro_precision: share of right ones among the labels given.
        micro_recall: share given among the labels that images have.
        exact_match: share of images that were given exactly their labels.
        exact_match_interval: Wilson's 95% interval of it.
        hamming_loss: share of wrong decisions among all pairs of image and label.
        loss: mean binary cross-entropy over images and labels, nats.
        classes: names of the labels in order.
        per_label: average precision, precision, recall, F1, support and threshold, one row per label.
        thresholds: from which probability on a label is given, and how that was chosen.
        missed: labels that images have and were not given, the least probable first.
        wrong: labels that images were given and do not have, the most probable first.
        data: description of the data.
        recipe: the complete recipe of the training, or None.
        environment: versions and machine of this evaluation.
        history: the lines of history.jsonl, one per epoch.
        views: the view sets over which probabilities were averaged, a comma list.
        seconds: wall clock of the passes, data included; where the scores were cached, of the pass that made them.
        cached: whether all scores were read from the cache.
        computed_with: what training chose where the recipe leaves it open.
        predictions: the answer to each image; in memory only, `LabelPredictions.write` makes a file of it.
        remarks: caveats of this evaluation, sentences.
        rate_search: the search for a learning rate before the training, or None.
    """

    name: str
    model: dict[str, Any]
    split: str
    count: int
    mean_average_precision: float
    mean_average_precision_interval: tuple[float, float]
    baseline: float
    micro_f1: float
    macro_f1: float
    micro_precision: float
    micro_recall: float
    exact_match: float
    exact_match_interval: tuple[float, float]
    hamming_loss: float
    loss: float
    classes: tuple[str, ...]
    per_label: tuple[LabelMetrics, ...]
    thresholds: LabelThresholds
    missed: tuple[LabelMistake, ...] = field(repr=False)
    wrong: tuple[LabelMistake, ...] = field(repr=False)
    data: dict[str, Any] = field(repr=False)
    recipe: dict[str, Any] | None = field(repr=False)
    environment: dict[str, str] = field(repr=False)
    history: tuple[dict[str, Any], ...] = field(repr=False)
    views: str = "1"
    seconds: float | None = None
    cached: bool = False
    computed_with: dict[str, Any] | None = field(repr=False, default=None)
    predictions: LabelPredictions | None = field(repr=False, default=None)
    remarks: tuple[str, ...] = ()
    rate_search: dict[str, Any] | None = field(repr=False, default=None)

    @property
    def ensemble(self) -> Ensemble | None:
        """None: runs of several labels make no ensemble."""
        return None

    @property
    def absent(self) -> tuple[str, ...]:
        """The labels that no image here has; their average precision is not measured."""
        return tuple(row.name for row in self.per_label if not row.support)
