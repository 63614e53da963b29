"""Predictions for files: thousands of them in bounded memory, bad ones named and passed over."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from pathlib import Path

import torch

from residua._base.errors import at_least_one
from residua.data.decode.workers import default_workers
from residua.evaluation.run_data import open_run
from residua.inference.image_files import BadFile, ImageFile, Images, each_image, image_files, listed
from residua.inference.stream import DecodedImage, Predictor, all_or_refuse, batches
from residua.weights.prediction import Prediction
from residua.weights.run import Run


def predict(
    run: Run | Path | str,
    paths: Images,
    *,
    top: int = 5,
    batch_size: int = 64,
    device: torch.device | str | None = None,
    engine: str = "eager",
    precision: str = "fp32",
) -> list[Prediction]:
    """Return the predictions for images, and for all images under folders, in the order given.

    The arguments are those of `predict_stream`.

    Raises:
        InputError: an image that gives none; all of them are named. `predict_stream` passes them over instead.
    """
    results = predict_stream(
        run, paths, top=top, batch_size=batch_size, device=device, engine=engine, precision=precision
    )
    return all_or_refuse(results, "Leave them out, or use residua.predict_stream, which names them and goes on")


def predict_stream(
    run: Run | Path | str,
    paths: Images,
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
        run: a `Run` or its folder; or a folder of several runs, such as a cross-validation's: they answer as an
            ensemble, with the mean of their probabilities.
        paths: files, and folders whose images are found recursively, sorted, as training finds them; encoded bytes,
            open files, Pillow images, uint8 arrays (H, W, 3) or (H, W), one or several of them, mixed.
        top: classes per prediction; all where there are fewer. Of a run of several labels an image, whose answers are
            `LabelPrediction`, it has no effect: they have the labels that reach their thresholds.
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
    files = each_image(paths)
    predictor = Predictor.open(
        open_run(run, listed(paths), multilabel=True, ensemble=True),
        device=device,
        engine=engine,
        precision=precision,
        batch_size=batch_size,
    )
    return _stream(predictor, files, top, batch_size, workers)


def _stream(
    predictor: Predictor, files: Iterable[Path | ImageFile | BadFile], top: int, batch_size: int, workers: int
) -> Iterator[Prediction | BadFile]:
    for batch in answered_batches(predictor, image_files(files), top, batch_size, workers):
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
                done.append(next(answers).answer(each.file.name))
        # Answered pixels are released before the next batch is collected.
        batch.clear()
        yield done
