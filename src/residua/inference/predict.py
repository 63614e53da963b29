"""Predictions for files: thousands of them in bounded memory, bad ones named and passed over."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from residua._base.errors import at_least_one
from residua.data.decode.workers import default_workers
from residua.evaluation.run_data import open_run
from residua.inference.stream import (
    BadFile,
    DecodedImage,
    ImageFile,
    Paths,
    Predictor,
    all_or_refuse,
    batches,
    each_path,
    image_files,
    listed,
)
from residua.weights.run import Run


@dataclass(frozen=True)
class Prediction:
    """The network's answer for one image.

    Attributes:
        path: the file.
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


def predict(
    run: Run | Path | str,
    paths: Paths,
    *,
    top: int = 5,
    batch_size: int = 64,
    device: torch.device | str | None = None,
    engine: str = "eager",
    precision: str = "fp32",
) -> list[Prediction]:
    """Return the predictions for image files, and for all images under folders, in the order given.

    Raises:
        InputError: a path that gives none; all of them are named. `predict_stream` passes them over instead.
    """
    results = predict_stream(
        run, paths, top=top, batch_size=batch_size, device=device, engine=engine, precision=precision
    )
    return all_or_refuse(results, "Leave them out, or use predict_stream, which names them and goes on")


def predict_stream(
    run: Run | Path | str,
    paths: Paths,
    *,
    top: int = 5,
    batch_size: int = 64,
    device: torch.device | str | None = None,
    engine: str = "eager",
    precision: str = "fp32",
    workers: int | None = None,
) -> Iterator[Prediction | BadFile]:
    """Yield one `Prediction` or `BadFile` per file, in the order given, holding two batches at most.

    Args:
        run: a `Run` or its folder.
        paths: files, and folders whose images are found recursively, sorted, as training finds them.
        top: classes per prediction; all where there are fewer.
        batch_size: images per forward pass.
        device: "cpu", "cuda", …; by default the GPU where there is one.
        engine: what computes the logits: "eager", "compiled", "native", "onnxruntime", "openvino" or "auto".
        precision: the number format that it computes in: "fp32", "bf16" or "int8".
        workers: decoding threads; by default one per processor that this process may use, at most 16.

    Raises:
        InputError: `top`, `batch_size` or `workers` below 1; an unknown device, engine or precision; a run that cannot
            be loaded.
    """
    workers = default_workers() if workers is None else workers
    at_least_one(top=top, batch_size=batch_size, workers=workers)
    files = each_path(paths)
    predictor = Predictor.open(
        open_run(run, listed(paths)), device=device, engine=engine, precision=precision, batch_size=batch_size
    )
    return _stream(predictor, files, top, batch_size, workers)


def _stream(
    predictor: Predictor, paths: Iterable[Path], top: int, batch_size: int, workers: int
) -> Iterator[Prediction | BadFile]:
    for batch in answered_batches(predictor, image_files(paths), top, batch_size, workers):
        yield from batch


def answered_batches(
    predictor: Predictor, files: Iterable[ImageFile | BadFile], top: int, batch_size: int, workers: int
) -> Generator[list[Prediction | BadFile], None, None]:
    """Yield the answers of `batch_size` files at a time, in the order given; see `predict_stream`.

    Raises:
        NotFinite: the logits hold NaN or infinity.
    """
    for batch in batches(files, predictor.run.preprocess_spec, batch_size=batch_size, workers=workers):
        answers = iter(predictor.answer([each.pixels for each in batch if isinstance(each, DecodedImage)], top))
        done: list[Prediction | BadFile] = []
        for each in batch:
            if isinstance(each, BadFile):
                done.append(each)
            else:
                answer = next(answers)
                done.append(Prediction(str(each.file.path), answer.labels, answer.probabilities, answer.unknown))
        # Answered pixels are released before the next batch is collected.
        batch.clear()
        yield done
