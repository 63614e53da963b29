"""The report of an evaluation: typed, as JSON, as one offline page."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from residua._base.files import write_text
from residua._base.plain import plain
from residua.evaluation.batch_norm import Reestimated
from residua.evaluation.measures.abstention import Abstention, Threshold
from residua.evaluation.measures.calibration import Calibration
from residua.evaluation.measures.ensemble import Ensemble
from residua.evaluation.measures.metrics import ClassMetrics, IntArray
from residua.evaluation.measures.slices import Slice
from residua.evaluation.report.page import render
from residua.evaluation.report.study_section import FinishedStudy

HTML_FILE, JSON_FILE, HISTORY_FILE = "report.html", "report.json", "history.jsonl"
MEASURED = ("train_loss", "val_loss", "val_top1", "train_top1", "learning_rate", "images_per_second", "seconds")
"""What a line of the history may give besides its epoch: numbers, or null."""


@dataclass(frozen=True)
class Mistake:
    """One image that was classified wrongly.

    Attributes:
        path: its file, relative to the data where it lies below it; or its place in the split.
        index: its index in the split.
        true: its class.
        predicted: the class it was given.
        probability: of the predicted class, fraction of 1.
        true_probability: of the true class, fraction of 1.
        thumbnail: the picture as the network saw it, a data URI; "" when it was not drawn.
        explanation: Grad-CAM for the predicted class over the picture, a data URI; "" where the network has no maps.
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
class Calibrated:
    """The same answers with the run's temperature; rates are fractions of 1.

    Attributes:
        temperature: T of softmax(logits / T); it changes no answer, only probabilities.
        fitted: where it was fitted: `split`, `count`, `data_hash`, `loss_before`, `loss_after`.
        loss: mean cross-entropy, nats, on the images of the report.
        brier: Brier score on them.
        calibration: reliability on them.
        thresholds: of the probability, found where the temperature was fitted, and what they give on these images.
    """

    temperature: float
    fitted: dict[str, Any]
    loss: float
    brier: float
    calibration: Calibration
    thresholds: tuple[Threshold, ...]


@dataclass(frozen=True, eq=False)
class Report:
    """What an evaluation found; rates are fractions of 1.

    Attributes:
        name: of the run, the name of its folder.
        model: name, paper, parameters, input_size, macs (an image), weights_bytes, weights_sha256 of the network.
        split: the part that was evaluated.
        count: images in it.
        top1: accuracy; `top1_interval` is Wilson's 95% interval of it.
        top5: share whose true class is among the five most probable.
        loss: mean cross-entropy, nats.
        macro_f1: mean F1 over the classes that occur.
        balanced_accuracy: mean recall over the classes that have images.
        baseline: the top-1 of always answering the most frequent class.
        classes: names in order.
        per_class: precision, recall, F1, support, a row a class.
        confusion: int64 (K, K); row: true class, column: predicted class.
        worst: mistakes that gave the true class the least probability, worst first.
        most_confident_mistakes: mistakes that gave a wrong class the most probability, first the surest.
        data: description of the data.
        recipe: the complete recipe of the training, or None.
        environment: versions and machine of this evaluation.
        history: the lines of history.jsonl, an epoch each.
        views: the view sets whose probabilities were averaged, a comma list.
        top5_interval: Wilson's 95% interval of `top5`.
        log_likelihood: mean log-probability of the true class, nats: the negative of `loss`.
        brier: Brier score: mean squared distance of the probabilities from the truth, 0 to 2.
        calibration: errors and reliability diagram of the probabilities as the network gives them.
        calibrated: the same with the temperature that the run holds; None without one, of several views, of ensembles.
        abstention: accuracy against coverage.
        slices: results by the values of a metadata table.
        ensemble: members, weights and diversity; None of a single run.
        reestimated: what was done to batch normalisation's statistics, or None.
        studies: finished studies that the page shows.
        seconds: that the passes took, wall clock, data included; of a cached one when it was made.
        cached: whether no pass had to be made.
        remarks: what to keep in mind of this evaluation, sentences; they stand in the data's notes too.
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
    calibrated: Calibrated | None = field(repr=False, default=None)
    abstention: Abstention | None = field(repr=False, default=None)
    slices: tuple[Slice, ...] = field(repr=False, default=())
    ensemble: Ensemble | None = field(repr=False, default=None)
    reestimated: Reestimated | None = None
    studies: tuple[FinishedStudy, ...] = field(repr=False, default=())
    seconds: float | None = None
    cached: bool = False
    remarks: tuple[str, ...] = ()

    @property
    def absent(self) -> tuple[str, ...]:
        """The classes without images here; no rate counts them."""
        return tuple(row.name for row in self.per_class if not row.support)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values; pictures are left to the page."""
        document: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        for name in ("per_class", "worst", "most_confident_mistakes"):
            document[name] = [asdict(row) for row in document[name]]
            for row in document[name]:
                row.pop("thumbnail", None)
                row.pop("explanation", None)
        for name in (
            "top5_interval",
            "calibration",
            "calibrated",
            "abstention",
            "slices",
            "ensemble",
            "reestimated",
            "remarks",
        ):
            document[name] = plain(document[name])
        return document | {
            "studies": [each.to_dict() for each in self.studies],
            "top1_interval": list(self.top1_interval),
            "classes": list(self.classes),
            "confusion": self.confusion.tolist(),
            "history": list(self.history),
        }

    def to_json(self) -> str:
        """Return one JSON document, a line a field."""
        lines = (f"  {json.dumps(key)}: {_dump(value)}" for key, value in self.to_dict().items())
        return "{\n" + ",\n".join(lines) + "\n}\n"

    def to_html(self) -> str:
        """Return the page: one file that needs nothing else."""
        return render(self)


def write_report(folder: Path, report: Report) -> tuple[Path, Path]:
    """Write report.html and report.json into `folder`, atomically, and return their paths."""
    page, document = folder / HTML_FILE, folder / JSON_FILE
    write_text(document, report.to_json())
    write_text(page, report.to_html())
    return page, document


def read_history(folder: Path) -> tuple[tuple[dict[str, Any], ...], str]:
    """Return the lines of `folder`/history.jsonl, and what is wrong with it.

    The history is an extra: the bundle alone makes a run. None, and none that can be read, are () alike; the second
    value then tells the damaged from the absent, which is "". A last line that was cut off while being written is
    passed over.
    """
    path = folder / HISTORY_FILE
    rows: list[dict[str, Any]] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    except (OSError, ValueError) as error:
        return (), f"the run's {HISTORY_FILE} cannot be read ({error}): the report has no curves"
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
            if number == len(lines):
                break
        if not _is_epoch(row, rows[-1]["epoch"] if rows else -1):
            return (), f"the run's {HISTORY_FILE} is damaged in line {number}: the report has no curves"
        rows.append(row)
    return tuple(rows), ""


def _is_epoch(row: Any, before: float) -> bool:
    """Tell whether `row` is a line of a history whose last line was epoch `before`."""
    if not isinstance(row, dict) or not all(
        row.get(key) is None or _is_number(row[key]) for key in ("epoch", *MEASURED)
    ):
        return False
    epoch = row.get("epoch")
    return epoch is not None and before < epoch < 2**53


def _is_number(value: Any) -> bool:
    # A whole number of JSON has any length; beyond 2**63 it is no measurement, and no float.
    return isinstance(value, float) or (type(value) is int and abs(value) < 2**63)


def _dump(value: Any) -> str:
    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False)
