"""Predictions for files: thousands of them in bounded memory, bad ones named and passed over."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from residua._base.errors import InputError, at_least_one
from residua._base.files import check_name
from residua._base.words import some
from residua.data.ahead import in_order
from residua.data.decode import BadImage, decode
from residua.data.loader import default_workers
from residua.data.preprocess import normalise, read_uint8
from residua.data.sources.folders import EXTENSIONS
from residua.evaluation.measures.metrics import NotFinite
from residua.runtime.device import on_device, pick_device
from residua.specs.preprocess import PreprocessSpec
from residua.weights.open import load
from residua.weights.run import Run

Pixels = npt.NDArray[np.uint8]
T = TypeVar("T")


@dataclass(frozen=True)
class Prediction:
    """What the network says of one image.

    Attributes:
        path: the file.
        labels: class names, most probable first.
        probabilities: softmax of the logits, divided by the run's temperature where one was fitted, in the order of
            `labels`; fractions of 1.
    """

    path: str
    labels: tuple[str, ...]
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class BadFile:
    """A path that gave no prediction.

    Attributes:
        path: the file or folder.
        reason: what is wrong with it, a phrase.
    """

    path: str
    reason: str


def predict(
    run: Run | Path | str,
    paths: Iterable[Path | str] | Path | str,
    *,
    top: int = 5,
    batch_size: int = 64,
    device: torch.device | str | None = None,
) -> list[Prediction]:
    """Return the predictions for image files, and for all images under folders, in the order given.

    Raises:
        InputError: a path that gives none; all of them are named. `predict_stream` goes on instead.
    """
    found = predict_stream(run, paths, top=top, batch_size=batch_size, device=device)
    return all_or_refuse(found, "Leave them out, or use predict_stream, which names them and goes on")


def each_path(paths: Iterable[Path | str] | Path | str) -> Iterable[Path]:
    """Return one path or several, the several as they are asked for.

    Raises:
        InputError: one that is none.
    """
    if isinstance(paths, str) or not isinstance(paths, Iterable):
        return [_path(paths)]
    return map(_path, paths)


def _path(given: Path | str) -> Path:
    check_name("path", given)
    return Path(given)


def all_or_refuse(found: Iterable[T | BadFile], remedy: str) -> list[T]:
    """Return the answers of a stream, or refuse with every file that gave none.

    Raises:
        InputError: some gave none.
    """
    good: list[T] = []
    bad: list[BadFile] = []
    for item in found:
        if isinstance(item, BadFile):
            bad.append(item)
        else:
            good.append(item)
    if bad:
        named = some([f"{item.path}: {item.reason}" for item in bad], separator="; ")
        raise InputError(
            f"{len(bad)} of {len(good) + len(bad)} files gave no answer: {named}",
            "image files that decode completely",
            remedy,
        )
    return good


def predict_stream(
    run: Run | Path | str,
    paths: Iterable[Path | str] | Path | str,
    *,
    top: int = 5,
    batch_size: int = 64,
    device: torch.device | str | None = None,
    workers: int | None = None,
) -> Iterator[Prediction | BadFile]:
    """Yield one `Prediction` or `BadFile` a file, in the order given, holding a few batches at a time.

    Args:
        run: a `Run` or its folder.
        paths: files, and folders whose images are found recursively, sorted; links to folders are left out.
        top: classes a prediction names; all when there are fewer.
        batch_size: images a forward pass.
        device: "cpu", "cuda", …; by default the GPU where there is one.
        workers: decoding threads; by default one a processor that this process may use, at most 16.

    Raises:
        InputError: `top`, `batch_size` or `workers` below 1; a run that cannot be loaded.
    """
    workers = default_workers() if workers is None else workers
    at_least_one(top=top, batch_size=batch_size, workers=workers)
    entries = each_path(paths)
    run = run if isinstance(run, Run) else load(run)
    return _stream(run, entries, top, batch_size, pick_device(device), workers)


def _stream(
    run: Run,
    paths: Iterable[Path | str],
    top: int,
    batch_size: int,
    device: torch.device,
    workers: int,
) -> Iterator[Prediction | BadFile]:
    model = on_device(run.model, device)

    def prepared(entry: Path | BadFile) -> tuple[str, Pixels] | BadFile:
        pixels = entry if isinstance(entry, BadFile) else prepare(entry, run.preprocess_spec)
        return pixels if isinstance(pixels, BadFile) else (str(entry), pixels)

    # One batch is decoded while the one before it is in the network.
    with closing(in_order(image_files(paths), prepared, workers, in_flight=batch_size)) as images:
        while batch := list(islice(images, batch_size)):
            yield from _answers(run, model, batch, top, device)


def image_files(paths: Iterable[Path | str]) -> Iterator[Path | BadFile]:
    """Yield the files given, and the images under the folders given, and what is neither, in order."""
    for given in paths:
        path = Path(given)
        try:
            folder, there = path.is_dir(), path.exists()
        except OSError as error:
            yield BadFile(str(path), f"cannot be read ({error.strerror})")
            continue
        if folder:
            yield from _walk(path)
        elif there:
            yield path
        else:
            yield BadFile(str(path), "no such file or folder")


def _walk(folder: Path) -> Iterator[Path | BadFile]:
    found = False
    errors: list[OSError] = []
    for where, folders, names in os.walk(folder, onerror=errors.append):
        folders.sort()
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in sorted(names):
            if Path(name).suffix.lower() in EXTENSIONS and not name.startswith("."):
                found = True
                yield Path(where, name)
    for error in errors:
        yield BadFile(str(error.filename), f"cannot be read ({error.strerror})")
    if not found and not errors:
        yield BadFile(str(folder), "a folder without images")


def prepare(path: Path, spec: PreprocessSpec) -> Pixels | BadFile:
    """Return a file's image as the network is to see it, uint8 (S, S, 3), or what is wrong with the file."""
    try:
        return read_uint8(lambda: decode(path), spec)
    except BadImage as error:
        return BadFile(str(path), error.reason)


def _answers(
    run: Run,
    model: torch.nn.Module,
    batch: list[tuple[str, Pixels] | BadFile],
    top: int,
    device: torch.device,
) -> Iterator[Prediction | BadFile]:
    images = [item[1] for item in batch if not isinstance(item, BadFile)]
    answers = iter(_rank(run, model, images, top, device) if images else ())
    for item in batch:
        yield item if isinstance(item, BadFile) else Prediction(item[0], *next(answers))


@torch.inference_mode()
def _rank(
    run: Run, model: torch.nn.Module, images: list[Pixels], top: int, device: torch.device
) -> list[tuple[tuple[str, ...], tuple[float, ...]]]:
    pixels = torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2))
    return ranked(run, model(normalise(pixels.to(device), run.preprocess_spec, channels_last=True)), top)


def ranked(run: Run, logits: Tensor, top: int) -> list[tuple[tuple[str, ...], tuple[float, ...]]]:
    """Return the `top` classes of each image, most probable first, with their probabilities at the run's temperature.

    Args:
        run: whose classes and temperature they are.
        logits: (B, K).
        top: classes an image.

    Raises:
        NotFinite: the logits hold NaN or infinity.
    """
    logits = logits.to("cpu", torch.float64)
    if not torch.isfinite(logits).all():
        raise NotFinite(
            f"{run.folder} gives logits that are NaN or infinite", "finite logits", "Train again: it diverged"
        )
    # A stable sort: of equal logits the lower class index comes first, as in evaluation.
    values, order = (logits / run.temperature).softmax(dim=1).sort(dim=1, descending=True, stable=True)
    return [
        (tuple(run.classes[index] for index in indices), tuple(row))
        for indices, row in zip(order[:, :top].tolist(), values[:, :top].tolist(), strict=True)
    ]
