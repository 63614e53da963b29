"""Images in, answers out: the one path that commands and servers share.

Paths become files, and files become pixels, decoded in threads a bounded way ahead. Pixels become logits through an
engine, and logits become probabilities at the run's temperature. A file that gives no answer is named and passed over.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from residua._base.errors import InputError, Notice
from residua._base.words import counted, some
from residua.data.ahead import in_order
from residua.data.decode import BadImage, Pixels
from residua.data.preprocess.normalise import normalise
from residua.data.preprocess.resize import read_uint8
from residua.evaluation.measures.metrics import NotFinite
from residua.evaluation.rejection.rejecter import Rejecter
from residua.families.features import FeatureNetwork
from residua.inference.image_files import BadFile, ImageFile
from residua.runtime.device import on_device
from residua.runtime.engines.auto import open_fastest
from residua.runtime.engines.engine import Engine, open_engine
from residua.specs.preprocess import PreprocessSpec
from residua.weights.prediction import LabelPrediction, Prediction
from residua.weights.run import Picture, Run, pixels_of

T = TypeVar("T")
_SMALL_SIDE = 64


@dataclass(frozen=True)
class DecodedImage:
    """A file with its image as the network sees it.

    Attributes:
        file: the file.
        pixels: uint8 (H, W, 3).
    """

    file: ImageFile
    pixels: Pixels = field(repr=False)


@dataclass(frozen=True)
class Ranking:
    """The most probable classes of an image.

    Attributes:
        labels: class names, most probable first.
        probabilities: in the order of `labels`; fractions of 1.
        unknown: whether the run's rejection calls the image unknown; None where it has none.
        all_probabilities: of every label by name where an image may have several: then `labels` are those that reach
            their thresholds. None where it has one.
    """

    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    unknown: bool | None = None
    all_probabilities: dict[str, float] | None = None

    def answer(self, path: str) -> Prediction:
        """Return the answer for the file of this name."""
        if self.all_probabilities is None:
            return Prediction(path, self.labels, self.probabilities, self.unknown)
        return LabelPrediction(path, self.labels, self.probabilities, self.unknown, self.all_probabilities)


@dataclass(frozen=True, eq=False)
class Predictor:
    """A run made ready to answer.

    Attributes:
        run: the run.
        engine: computes its logits.
        rejecter: decides which answers are unknown; None where the run has no rejection.
        features: computes logits and features at once, where the rejection needs them.
    """

    run: Run
    engine: Engine
    rejecter: Rejecter | None = None
    features: FeatureNetwork | None = None

    @classmethod
    def open(
        cls,
        run: Run,
        *,
        device: torch.device | str | None = None,
        engine: str = "eager",
        precision: str = "fp32",
        batch_size: int = 64,
    ) -> Predictor:
        """Open an engine for the run; "auto" measures which is fastest at `batch_size`.

        Raises:
            InputError: an unknown device, engine or precision, or an engine that is not installed.
        """
        if engine == "auto":
            shape = (batch_size, run.spec.in_channels, *run.preprocess_spec.size)
            opened, sentence = open_fastest(run.model, shape, precision=precision, device=device)
            warnings.warn(sentence, Notice, stacklevel=2)
        else:
            opened = open_engine(run.model, engine, precision=precision, device=device)
        rejecter = Rejecter.of(run.rejection)
        if rejecter is None or not rejecter.rejection.uses_features:
            return cls(run, opened, rejecter)
        if engine != "eager" or precision != "fp32":
            raise InputError(
                f"engine={engine!r} and precision={precision!r} for {run.folder}, whose rejection reads "
                f"features (score={rejecter.rejection.score!r})",
                "engine='eager' and precision='fp32', which give features",
                "Leave them out, or calibrate with the score 'energy' or 'softmax'",
            )
        return cls(run, opened, rejecter, FeatureNetwork(on_device(run.model, opened.device)))

    def answer(self, images: Sequence[Pixels], top: int) -> list[Ranking]:
        """Return the ranking of each image, given uint8 (H, W, 3) as `prepared` makes them.

        Raises:
            NotFinite: the logits hold NaN or infinity.
        """
        if not images:
            return []
        features = None
        if self.features is None:
            logits = self.logits(images)
        else:
            logits, features = self._with_features(images)
        rankings = ranked(self.run, logits, top)
        if self.rejecter is None:
            return rankings
        rows = None if features is None else features.cpu().numpy()
        unknown = self.rejecter.unknown(logits.cpu().float().numpy(), rows).tolist()
        return [replace(each, unknown=answer) for each, answer in zip(rankings, unknown, strict=True)]

    def _with_features(self, images: Sequence[Pixels]) -> tuple[Tensor, Tensor]:
        """Return logits (B, K) and features (B, D)."""
        assert self.features is not None
        network, spec, device = self.features, self.run.preprocess_spec, self.engine.device

        def both(some: Sequence[Pixels]) -> Tensor:
            return torch.cat(network.with_logits(as_batch(some, spec, device)), dim=1)

        values = computed(images, spec, both) if device.type == "cpu" else both(images)
        classes = len(self.run.classes)
        return values[:, :classes], values[:, classes:]

    @torch.inference_mode()
    def logits(self, images: Sequence[Pixels]) -> Tensor:
        """Return the logits (B, K) of one image or more, given uint8 (H, W, 3) as `prepared` makes them."""
        if self.engine.name != "eager" or self.engine.device.type != "cpu":
            return self._logits(images)
        return computed(images, self.run.preprocess_spec, self._logits)

    @torch.inference_mode()
    def _logits(self, images: Sequence[Pixels]) -> Tensor:
        return self.engine(as_batch(images, self.run.preprocess_spec, self.engine.device))


def computed(images: Sequence[Pixels], spec: PreprocessSpec, compute: Callable[[Sequence[Pixels]], Tensor]) -> Tensor:
    """Return what torch's operators compute of images on a CPU, one row per image; small ones by thread.

    Layers of small images take some 100 µs: too short to share. On a busy machine torch's threads wait for each other
    at every layer, five times as long as they compute. So each thread takes some images through all.
    """
    threads = min(torch.get_num_threads(), len(images))
    if threads < 2 or max(spec.size) > _SMALL_SIDE:
        return compute(images)
    size = -(-len(images) // threads)
    parts = [images[start : start + size] for start in range(0, len(images), size)]
    return torch.cat(list(in_order(parts, compute, threads, in_flight=len(parts))))


def as_batch(images: Sequence[Pixels], spec: PreprocessSpec, device: torch.device) -> Tensor:
    """Return uint8 (H, W, 3) images as a normalised float batch (B, 3, H, W) on `device`, channels last."""
    pixels = torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2))
    return normalise(pixels.to(device), spec, channels_last=True)


def ranked(run: Run, logits: Tensor, top: int) -> list[Ranking]:
    """Return the `top` classes of each image at the run's temperature; where it may have several labels, those it has.

    Args:
        run: its classes, its temperature and its thresholds are used.
        logits: (B, K).
        top: classes per image; all where there are fewer. Of no effect on several labels.

    Raises:
        NotFinite: the logits hold NaN or infinity.
    """
    logits = logits.to("cpu", torch.float64)
    if not torch.isfinite(logits).all():
        raise NotFinite(
            f"{run.folder} gives logits that are NaN or infinite", "finite logits", "Train again: it diverged"
        )
    if run.multilabel is not None:
        return _labelled(run.classes, run.multilabel.thresholds, logits.sigmoid())
    # A stable sort: of equal logits the lower class index comes first, as in evaluation.
    values, order = (logits / run.temperature).softmax(dim=1).sort(dim=1, descending=True, stable=True)
    return [
        Ranking(tuple(run.classes[index] for index in indices), tuple(row))
        for indices, row in zip(order[:, :top].tolist(), values[:, :top].tolist(), strict=True)
    ]


def _labelled(classes: Sequence[str], thresholds: Sequence[float], probabilities: Tensor) -> list[Ranking]:
    """Return the labels of each image whose probabilities, (B, K), reach their thresholds, most probable first."""
    rankings = []
    for row in probabilities.tolist():
        order = sorted(range(len(row)), key=lambda index: -row[index])
        chosen = [index for index in order if row[index] >= thresholds[index]]
        labels, shares = tuple(classes[index] for index in chosen), tuple(row[index] for index in chosen)
        rankings.append(Ranking(labels, shares, all_probabilities=dict(zip(classes, row, strict=True))))
    return rankings


def prepared(source: Picture, spec: PreprocessSpec) -> Pixels:
    """Return a file, its bytes or an image in memory as the network sees it, uint8 (H, W, 3).

    Raises:
        BadImage: it cannot be decoded.
        InputError: an array of another type or shape.
    """
    return read_uint8(lambda: pixels_of(source), spec)


def batches(
    files: Iterable[ImageFile | BadFile], spec: PreprocessSpec, *, batch_size: int, workers: int
) -> Iterator[list[DecodedImage | BadFile]]:
    """Yield `batch_size` files at a time, decoded, in the order given; the last batch may be shorter.

    One batch is decoded in threads while the caller works on the one before it. At most two batches are held.
    """
    decoded = in_order(files, lambda file: _decoded(file, spec), workers, in_flight=batch_size)
    with closing(decoded):
        while batch := list(islice(decoded, batch_size)):
            yield batch


def _decoded(file: ImageFile | BadFile, spec: PreprocessSpec) -> DecodedImage | BadFile:
    if isinstance(file, BadFile):
        return file
    content = file.path if file.content is None else file.content
    try:
        pixels = prepared(content() if callable(content) else content, spec)
        # What it was decoded from is not held with it: a frame of a video is large.
        return DecodedImage(replace(file, content=None), pixels)
    except BadImage as error:
        return BadFile(file.name, error.reason)


def all_or_refuse(results: Iterable[T | BadFile], remedy: str) -> list[T]:
    """Return the answers of a stream, or refuse with every file that gave none.

    Raises:
        InputError: some files gave no answer.
    """
    good: list[T] = []
    bad: list[BadFile] = []
    for item in results:
        if isinstance(item, BadFile):
            bad.append(item)
        else:
            good.append(item)
    if bad:
        named = some([f"{item.path}: {item.reason}" for item in bad], separator="; ")
        raise InputError(
            f"{len(bad)} of {counted(len(good) + len(bad), 'file')} gave no answer: {named}",
            "image files that decode completely",
            remedy,
        )
    return good
