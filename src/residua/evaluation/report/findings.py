"""What an evaluation found, as one value: the sections of the page and the JSON document are made from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from residua.data.splitting import UNEVEN, unevenness
from residua.evaluation.batch_norm import Reestimation
from residua.evaluation.measures.abstention import Abstention, Threshold
from residua.evaluation.measures.calibration import Calibration
from residua.evaluation.measures.corruption import Corruptions
from residua.evaluation.measures.ensemble import Ensemble
from residua.evaluation.measures.metrics import ClassMetrics, IntArray
from residua.evaluation.measures.shift import Shift
from residua.evaluation.measures.slices import Slice
from residua.evaluation.rejection.judge import RejectionEffect, UnknownImages
from residua.evaluation.report.likeness import Likeness
from residua.evaluation.report.predictions import Predictions
from residua.evaluation.report.study_section import FinishedStudy


@dataclass(frozen=True)
class Mistake:
    """One image that was classified wrongly.

    Attributes:
        path: its file, relative to the data where it lies below it; or its position in the split.
        index: its index in the split.
        true: its class.
        predicted: the class that the network gave it.
        probability: of the predicted class, fraction of 1.
        true_probability: of the true class, fraction of 1.
        thumbnail: the image as the network saw it, a data URI; "" where it was not drawn.
        explanation: Grad-CAM for the predicted class over the image, a data URI; "" where the network has no maps.
    """

    path: str
    index: int
    true: str
    predicted: str
    probability: float
    true_probability: float
    thumbnail: str = field(default="", repr=False)
    explanation: str = field(default="", repr=False)


@dataclass(frozen=True)
class CalibrationFindings:
    """The same answers with the run's temperature; rates are fractions of 1.

    Attributes:
        temperature: T of softmax(logits / T); it changes no answer, only probabilities.
        fitted: the account of its fit: `split`, `count`, `data_hash`, `loss_before`, `loss_after`.
        loss: mean cross-entropy, nats, on the images of the report.
        brier: Brier score on them.
        calibration: reliability on them.
        thresholds: probability thresholds found where the temperature was fitted, with their effect on these images.
    """

    temperature: float
    fitted: dict[str, Any]
    loss: float
    brier: float
    calibration: Calibration
    thresholds: tuple[Threshold, ...]


@dataclass(frozen=True, eq=False)
class Findings:
    """What an evaluation found; rates are fractions of 1.

    Attributes:
        name: the name of the run's folder.
        model: name, paper, parameters, input_size (side of the images; height and width of oblong ones), macs (per
            image), weights_bytes, weights_sha256 of the network.
        split: the part that was evaluated.
        count: images in it.
        top1: accuracy; `top1_interval` is Wilson's 95% interval of it.
        top5: share whose true class is among the five most probable.
        loss: mean cross-entropy, nats.
        macro_f1: mean F1 over the classes that occur, as truth or as prediction.
        balanced_accuracy: mean recall over the classes that have images.
        baseline: the top-1 of always answering the most frequent class.
        classes: names in order.
        per_class: precision, recall, F1 and support, one row per class.
        confusion: int64 (K, K); row: true class, column: predicted class.
        worst: the mistakes that gave the true class the least probability, worst first.
        most_confident_mistakes: the mistakes that gave a wrong class the most probability, most probable first.
        data: description of the data.
        recipe: the complete recipe of the training, or None.
        environment: versions and machine of this evaluation.
        history: the lines of history.jsonl, one per epoch.
        views: the view sets over which probabilities were averaged, a comma list.
        top5_interval: Wilson's 95% interval of `top5`.
        log_likelihood: mean log-probability of the true class, nats: the negative of `loss`.
        brier: Brier score: mean squared distance of the probabilities from the truth, 0 to 2.
        calibration: errors and reliability diagram of the network's own probabilities.
        calibrated: the same with the run's temperature; None without one, for several views and for ensembles.
        abstention: accuracy against coverage.
        slices: results by the values of a metadata table.
        ensemble: members, weights and diversity; None for a single run.
        reestimated: the account of a re-estimation of batch normalisation's statistics, or None.
        rejection: what the run's rejection does to these images; None where it has none.
        unknown: how well images of no class are recognised; None where none were given.
        likeness: training images like the worst mistakes, and a map; None where they were not looked for.
        corruptions: accuracy under common corruptions; None where they were not measured.
        shift: a second set of images beside this one, or None.
        studies: finished studies that the page shows.
        seconds: wall clock of the passes, data included; where the scores were cached, of the pass that made them.
        cached: whether all scores were read from the cache.
        balanced_accuracy_interval: 95% interval of `balanced_accuracy`, from Wilson's of each recall.
        computed_with: what training chose where the recipe leaves it open: device, precision, layout, kernels.
        predictions: the answer to each image; in memory only, `Predictions.write` makes a file of it.
        remarks: caveats of this evaluation, sentences; they stand in the data's notes too.
        rate_search: the search of a learning rate that the training began with; None where it had none.
    """

    name: str
    model: dict[str, Any]
    split: str
    count: int
    top1: float
    top1_interval: tuple[float, float]
    top5: float
    loss: float
    macro_f1: float
    balanced_accuracy: float
    baseline: float
    classes: tuple[str, ...]
    per_class: tuple[ClassMetrics, ...]
    confusion: IntArray = field(repr=False)
    worst: tuple[Mistake, ...] = field(repr=False)
    most_confident_mistakes: tuple[Mistake, ...] = field(repr=False)
    data: dict[str, Any] = field(repr=False)
    recipe: dict[str, Any] | None = field(repr=False)
    environment: dict[str, str] = field(repr=False)
    history: tuple[dict[str, Any], ...] = field(repr=False)
    views: str = "1"
    top5_interval: tuple[float, float] | None = None
    log_likelihood: float | None = None
    brier: float | None = None
    calibration: Calibration | None = field(repr=False, default=None)
    calibrated: CalibrationFindings | None = field(repr=False, default=None)
    abstention: Abstention | None = field(repr=False, default=None)
    slices: tuple[Slice, ...] = field(repr=False, default=())
    ensemble: Ensemble | None = field(repr=False, default=None)
    reestimated: Reestimation | None = None
    rejection: RejectionEffect | None = None
    unknown: UnknownImages | None = None
    likeness: Likeness | None = field(repr=False, default=None)
    corruptions: Corruptions | None = field(repr=False, default=None)
    shift: Shift | None = field(repr=False, default=None)
    studies: tuple[FinishedStudy, ...] = field(repr=False, default=())
    seconds: float | None = None
    cached: bool = False
    balanced_accuracy_interval: tuple[float, float] | None = None
    computed_with: dict[str, Any] | None = field(repr=False, default=None)
    predictions: Predictions | None = field(repr=False, default=None)
    remarks: tuple[str, ...] = ()
    rate_search: Mapping[str, Any] | None = field(repr=False, default=None)

    @property
    def absent(self) -> tuple[str, ...]:
        """The classes without images here; no rate counts them."""
        return tuple(row.name for row in self.per_class if not row.support)

    @property
    def uneven(self) -> bool:
        """Whether classes here are so uneven in size that accuracy hardly counts the small ones."""
        return unevenness(row.support for row in self.per_class) >= UNEVEN

    @property
    def wrong(self) -> int:
        """The number of images that were classified wrongly."""
        return int(self.count - self.confusion.diagonal().sum())
