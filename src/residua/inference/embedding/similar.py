"""The images of a collection most like a query: exact cosine neighbours of embeddings, in bounded memory."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from residua._base.console import Progress
from residua._base.errors import InputError, at_least_one
from residua.data.decode.workers import default_workers
from residua.evaluation.measures.neighbours import Nearest
from residua.evaluation.run_data import open_run
from residua.families.features import PENULTIMATE
from residua.inference.embedding.embed import EmbeddedImage, Embedder, Vectors, embed_stream, embedded_batches
from residua.inference.embedding.vectors_file import SUFFIXES, VectorsFile, open_vectors
from residua.inference.image_files import BadFile, Paths, each_path, image_files, listed
from residua.inference.stream import all_or_refuse
from residua.weights.bundle.value import hash_tensors
from residua.weights.run import Run

_SPARE = 1  # a query that is part of the collection is its own nearest


@dataclass(frozen=True)
class Neighbour:
    """An image like the query.

    Attributes:
        path: the file.
        cosine: of the two vectors, -1 to 1.
    """

    path: str
    cosine: float


@dataclass(frozen=True)
class Similar:
    """A query and the images most like it.

    Attributes:
        path: the query's file.
        neighbours: the most alike first; the query itself is left out.
    """

    path: str
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True)
class Comparison:
    """Queries compared with a collection.

    Attributes:
        queries: in the order given.
        images: of the collection that were compared.
        bad: files of the collection that gave no vector.
        point: the end point that was read.
    """

    queries: tuple[Similar, ...]
    images: int
    bad: tuple[BadFile, ...]
    point: str


def similar(
    run: Run | Path | str,
    query: Paths,
    photos: Paths,
    *,
    count: int = 12,
    point: str = PENULTIMATE,
    batch_size: int = 64,
    device: torch.device | str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Return for each query the images of a collection most like it, by the cosine of their features.

    Every pair is compared, in blocks of matrix products: memory grows with the queries, never with the collection.

    Args:
        run: a `Run` or its folder.
        query: image files, or folders of some.
        photos: image files and folders, or one file that `embed_to` wrote with the same run and end point.
        count: neighbours per query.
        point: the end point to read; see `embed_stream`.
        batch_size: images per forward pass.
        device: "cpu", "cuda", …; by default the GPU where there is one.
        workers: decoding threads; by default one per processor that this process may use, at most 16.
        progress: called with how far it is.

    Raises:
        InputError: a query that is no image; an empty collection; a file of vectors of another run or end point;
            numbers below 1; an unknown end point or device.
    """
    workers = default_workers() if workers is None else workers
    at_least_one(count=count, batch_size=batch_size, workers=workers)
    chosen = open_run(run, [*listed(query), *listed(photos)], multilabel=True)
    stream = embed_stream(chosen, query, point=point, batch_size=batch_size, device=device, workers=workers)
    queries = all_or_refuse(stream, "Leave it out")
    if not queries:
        raise InputError(f"{_named(query)}, which names no image", "at least one query", "Name an image file")
    embedder = Embedder.open(chosen, point=point, device=device)
    nearest = Nearest(np.stack([each.vector for each in queries]), count + _SPARE)
    kept = _Paths(nearest)
    bad: list[BadFile] = []
    total = 0
    for paths, vectors, count_of_all in _blocks(embedder, photos, batch_size, workers, bad):
        nearest.add(vectors)
        kept.add(paths)
        total += len(paths)
        if progress is not None:
            progress(total, count_of_all)
    if not total:
        raise InputError(
            f"{_named(photos)}, in which no image decodes", "images to compare with", "Name images that decode"
        )
    answered = tuple(_similar(each, nearest, row, kept.names, count) for row, each in enumerate(queries))
    return Comparison(answered, total, tuple(bad), embedder.network.point)


class _Paths:
    """Keeps the paths of those rows alone that are among the nearest."""

    def __init__(self, nearest: Nearest) -> None:
        self.names: dict[int, str] = {}
        self._nearest, self._seen = nearest, 0

    def add(self, paths: list[str]) -> None:
        """Take the paths of the rows that `Nearest.add` took last."""
        needed = set(self._nearest.rows.ravel().tolist())
        fresh = {self._seen + number: path for number, path in enumerate(paths) if self._seen + number in needed}
        self.names = {row: path for row, path in (self.names | fresh).items() if row in needed}
        self._seen += len(paths)


def _similar(query: EmbeddedImage, nearest: Nearest, row: int, names: dict[int, str], count: int) -> Similar:
    itself = os.path.realpath(query.path)
    pairs = zip(nearest.rows[row].tolist(), nearest.cosines[row].tolist(), strict=True)
    others = (Neighbour(names[index], cosine) for index, cosine in pairs if os.path.realpath(names[index]) != itself)
    return Similar(query.path, tuple(itertools.islice(others, count)))


def _blocks(
    embedder: Embedder, photos: Paths, batch_size: int, workers: int, bad: list[BadFile]
) -> Iterator[tuple[list[str], Vectors, int]]:
    """Yield paths, vectors and the number of all images, where it is known, else 0."""
    if isinstance(photos, str | Path) and Path(photos).suffix.lower() in SUFFIXES:
        file = open_vectors(Path(photos))
        _refuse_other(embedder, file)
        bad += [BadFile(each["path"], each["reason"]) for each in file.header["bad"]]
        for paths, vectors in file.blocks():
            yield paths, vectors, file.count
        return
    for batch in embedded_batches(embedder, image_files(each_path(photos)), batch_size, workers):
        good = [item for item, _ in batch if isinstance(item, EmbeddedImage)]
        bad += [item for item, _ in batch if isinstance(item, BadFile)]
        if good:
            yield [each.path for each in good], np.stack([each.vector for each in good]), 0


def _refuse_other(embedder: Embedder, file: VectorsFile) -> None:
    run, point = embedder.run, file.header["point"]
    # As the weights are now: they may have been edited since they were saved.
    same = file.header["weights_sha256"] == hash_tensors(run.model.state_dict())
    if not same or point != embedder.network.point:
        what = f"the end point {point}" if same else "other weights"
        raise InputError(
            f"{file.path}, whose vectors are those of {what}",
            f"vectors of {run.folder} at {embedder.network.point}",
            f"Embed the images with this run, or use point={point!r}",
        )


def _named(paths: Paths) -> str:
    return ", ".join(str(each) for each in listed(paths)) or "an empty list"
