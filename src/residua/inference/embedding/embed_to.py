"""`embed_to`: embeddings of any number of images into one file, in bounded memory, through kills."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from residua._base.console import Progress
from residua._base.errors import InputError, at_least_one
from residua._base.files import writing
from residua._version import __version__
from residua.data.decode.formats import VERSION
from residua.data.decode.workers import default_workers
from residua.evaluation.run_data import open_run
from residua.families.features import PENULTIMATE
from residua.inference.answers.counting import counting
from residua.inference.answers.journal import journal_of, partial_of
from residua.inference.answers.partial import alone, opened
from residua.inference.answers.write import check_out, ended_state, tidy
from residua.inference.embedding.embed import Embedder, embedded_batches
from residua.inference.embedding.vectors_file import SUFFIXES, Header, line_of, open_vectors, paths_file, write_vectors
from residua.inference.image_files import BadFile, ImageFile, Paths, each_path, image_files, listed
from residua.weights.bundle.value import hash_tensors
from residua.weights.run import Run


@dataclass(frozen=True)
class EmbeddingsFile:
    """A file of embeddings that was written.

    Attributes:
        path: the file.
        paths_file: the JSON file of paths beside it; None where the file holds them itself.
        rows: N, images with a vector.
        dimensions: D, the length of each.
        point: the end point that was read.
        normalised: whether each row has length 1.
        bad: files that gave no vector.
        resumed: images that an earlier process had done.
        seconds: of work, of all processes together.
    """

    path: Path
    paths_file: Path | None
    rows: int
    dimensions: int
    point: str
    normalised: bool
    bad: tuple[BadFile, ...]
    resumed: int
    seconds: float


def embed_to(
    run: Run | Path | str,
    paths: Paths,
    out: Path | str,
    *,
    point: str = PENULTIMATE,
    normalise: bool = True,
    batch_size: int = 64,
    device: torch.device | str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> EmbeddingsFile:
    """Write a vector per image to a file, which appears under its name when all are there.

    An .npy file is float32 (N, D); NAME.paths.json beside it holds the paths, in the order of the rows. A parquet file
    has the columns `path` and `embedding`. Until then the vectors stand in `out` with ".partial" behind its name, and
    a journal beside them: after a kill the same call goes on. Memory does not grow with the number of images.

    Args:
        run: a `Run` or its folder.
        paths: files, and folders whose images are found recursively, sorted.
        out: a file ending in .npy or .parquet (extra `shards`), which does not exist.
        point: the end point to read; see `embed_stream`.
        normalise: divide each vector by its length.
        batch_size: images per forward pass.
        device: "cpu", "cuda", …; by default the GPU where there is one.
        workers: decoding threads; by default one per processor that this process may use, at most 16.
        progress: called with (images done, images in total) after each batch; the total is 0 until they are counted.

    Raises:
        InputError: `out` exists, has another ending, or was begun with another run, other options or other images;
            numbers below 1; an unknown end point or device; no image that gives a vector; a disk that refuses.
    """
    workers = default_workers() if workers is None else workers
    at_least_one(batch_size=batch_size, workers=workers)
    file = check_out(out, SUFFIXES)
    # A kill may have come between the names of the two files: then a journal stands there too.
    begun = file.exists() or journal_of(file).exists()
    if file.suffix.lower() == ".npy" and paths_file(file).exists() and not begun:
        raise InputError(
            f"out={file} beside {paths_file(file)}, which exists",
            "a name beside which no file of paths stands",
            "Give another name, or delete it",
        )
    chosen = open_run(run, listed(paths), multilabel=True)
    embedder = Embedder.open(chosen, point=point, normalise=normalise, device=device)
    weights = hash_tensors(chosen.model.state_dict())
    job = _job(embedder, weights, file, batch_size)
    files = image_files(each_path(paths))
    with contextlib.ExitStack() as held:
        held.enter_context(alone(file))
        if (ended := ended_state(file, job, files)) is not None:
            return _written(file, open_vectors(file).header, ended["files"], ended["files"], ended["seconds"])
        counted = held.enter_context(counting(paths, progress))
        partial = held.enter_context(opened(file, job))
        partial.skip(str(each.path) for each in files)
        if not partial.state["done"]:
            for batch in _batches(embedder, files, batch_size, workers):
                bad = sum(isinstance(item, BadFile) for item in batch)
                partial.add([item.path for item in batch], map(line_of, batch), bad)
                counted(partial.state["files"])
            partial.save(done=True)
        with writing(file):
            header = write_vectors(partial_of(file), file, _header(embedder, weights))
        tidy(file)
        state = partial.state
        return _written(file, header, state["files"], partial.resumed, state["seconds"])


def _batches(embedder: Embedder, files: Iterator[ImageFile | BadFile], batch_size: int, workers: int) -> Iterator[Any]:
    with contextlib.closing(embedded_batches(embedder, files, batch_size, workers)) as batches:
        for batch in batches:
            yield [item for item, _ in batch]


def _header(embedder: Embedder, weights: str) -> Header:
    return Header(
        residua=__version__,
        network=embedder.run.spec.name,
        weights_sha256=weights,
        point=embedder.network.point,
        normalised=embedder.normalised,
        dimensions=0,
        bad=[],
    )


def _job(embedder: Embedder, weights: str, out: Path, batch_size: int) -> dict[str, Any]:
    """Return by name, as JSON values, all that the vectors depend on, but for the images."""
    run = embedder.run
    network = json.dumps([run.spec.to_json(), run.preprocess_spec.to_json()], sort_keys=True)
    return {
        "residua": __version__,
        "torch": torch.__version__,
        "decoders": VERSION,
        "weights": weights,
        "network": hashlib.sha256(network.encode()).hexdigest(),
        "point": embedder.network.point,
        "normalise": embedder.normalised,
        "device": embedder.device.type,
        "batch_size": batch_size,
        "out": out.suffix.lower(),
    }


def _written(out: Path, header: Header, files: int, resumed: int, seconds: float) -> EmbeddingsFile:
    bad = tuple(BadFile(each["path"], each["reason"]) for each in header["bad"])
    return EmbeddingsFile(
        path=out,
        paths_file=paths_file(out) if out.suffix.lower() == ".npy" else None,
        rows=files - len(bad),
        dimensions=header["dimensions"],
        point=header["point"],
        normalised=header["normalised"],
        bad=bad,
        resumed=resumed,
        seconds=seconds,
    )
