"""Embeddings of files: what a run's network holds of each image, as one vector."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from residua._base.errors import at_least_one
from residua.data.decode import Pixels
from residua.data.decode.workers import default_workers
from residua.evaluation.measures.metrics import NotFinite
from residua.evaluation.run_data import open_run
from residua.families.features import PENULTIMATE, FeatureNetwork, unit_length
from residua.inference.image_files import BadFile, ImageFile, Paths, each_path, image_files, listed
from residua.inference.stream import DecodedImage, all_or_refuse, as_batch, batches, computed
from residua.runtime.device import on_device, pick_device
from residua.weights.run import Run

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class EmbeddedImage:
    """An image as a vector.

    Attributes:
        path: the file.
        vector: float32 (D,).
    """

    path: str
    vector: Vectors = field(repr=False)


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Images as vectors.

    Attributes:
        paths: the files, in the order of the rows.
        vectors: float32 (N, D).
        point: the end point that they were read at.
        normalised: whether each row has length 1.
    """

    paths: tuple[str, ...]
    vectors: Vectors = field(repr=False)
    point: str
    normalised: bool


@dataclass(frozen=True, eq=False)
class Embedder:
    """A run made ready to embed.

    Attributes:
        run: the run.
        network: computes the features, with torch's own operators in fp32.
        device: where it computes.
        normalised: whether vectors are divided by their length.
    """

    run: Run
    network: FeatureNetwork
    device: torch.device
    normalised: bool

    @classmethod
    def open(
        cls, run: Run, *, point: str = PENULTIMATE, normalise: bool = True, device: torch.device | str | None = None
    ) -> Embedder:
        """Return an embedder with the network on a device.

        Raises:
            InputError: an unknown end point or device.
        """
        where = pick_device(device)
        return cls(run, FeatureNetwork(on_device(run.model, where), point), where, normalise)

    def vectors(self, images: Sequence[Pixels]) -> Vectors:
        """Return float32 (B, D) of images uint8 (H, W, 3) as `prepared` makes them.

        Raises:
            NotFinite: a feature is NaN or infinite.
        """
        spec = self.run.preprocess_spec
        features = computed(images, spec, self._features) if self.device.type == "cpu" else self._features(images)
        values: Vectors = features.cpu().numpy()
        if not np.isfinite(values).all():
            raise NotFinite(
                f"{self.run.folder} gives features that are NaN or infinite", "finite features", "Train it again"
            )
        return values

    def _features(self, images: Sequence[Pixels]) -> Tensor:
        features = self.network.features(as_batch(images, self.run.preprocess_spec, self.device))
        return unit_length(features) if self.normalised else features


def embed(
    run: Run | Path | str,
    paths: Paths,
    *,
    point: str = PENULTIMATE,
    normalise: bool = True,
    batch_size: int = 64,
    device: torch.device | str | None = None,
    workers: int | None = None,
) -> Embeddings:
    """Return the embeddings of image files, and of all images under folders, in the order given.

    The arguments are those of `embed_stream`. `embed_to` writes those of any number of images to a file.

    Raises:
        InputError: a path that gives none; all of them are named. `embed_stream` passes them over instead.
    """
    embedder = Embedder.open(
        open_run(run, listed(paths), multilabel=True), point=point, normalise=normalise, device=device
    )
    results = _stream(embedder, paths, batch_size, workers)
    rows = all_or_refuse(results, "Leave them out, or use embed_stream, which names them and goes on")
    vectors = np.stack([row.vector for row in rows]) if rows else np.empty((0, 0), np.float32)
    return Embeddings(tuple(row.path for row in rows), vectors, embedder.network.point, normalise)


def embed_stream(
    run: Run | Path | str,
    paths: Paths,
    *,
    point: str = PENULTIMATE,
    normalise: bool = True,
    batch_size: int = 64,
    device: torch.device | str | None = None,
    workers: int | None = None,
) -> Iterator[EmbeddedImage | BadFile]:
    """Yield one `EmbeddedImage` or `BadFile` per file, in the order given, holding two batches at most.

    Args:
        run: a `Run` or its folder.
        paths: files, and folders whose images are found recursively, sorted, as training finds them.
        point: the end point to read: "penultimate" for what the classifier reads, or a name that
            `forward_intermediates` has, such as "layer3". A map becomes its mean over positions.
        normalise: divide each vector by its length, so that a product of two is their cosine.
        batch_size: images per forward pass.
        device: "cpu", "cuda", …; by default the GPU where there is one.
        workers: decoding threads; by default one per processor that this process may use, at most 16.

    Raises:
        InputError: `batch_size` or `workers` below 1; an unknown end point or device; a run that cannot be loaded.
    """
    embedder = Embedder.open(
        open_run(run, listed(paths), multilabel=True), point=point, normalise=normalise, device=device
    )
    return _stream(embedder, paths, batch_size, workers)


def _stream(
    embedder: Embedder, paths: Paths, batch_size: int, workers: int | None
) -> Iterator[EmbeddedImage | BadFile]:
    workers = default_workers() if workers is None else workers
    at_least_one(batch_size=batch_size, workers=workers)
    batched = embedded_batches(embedder, image_files(each_path(paths)), batch_size, workers)
    return (item for batch in batched for item, _ in batch)


def embedded_batches(
    embedder: Embedder, files: Iterable[ImageFile | BadFile], batch_size: int, workers: int
) -> Generator[list[tuple[EmbeddedImage | BadFile, Pixels | None]], None, None]:
    """Yield the vectors of `batch_size` files at a time, in the order given, each with its pixels.

    Raises:
        NotFinite: a feature is NaN or infinite.
    """
    for batch in batches(files, embedder.run.preprocess_spec, batch_size=batch_size, workers=workers):
        pixels = [each.pixels for each in batch if isinstance(each, DecodedImage)]
        vectors = iter(embedder.vectors(pixels) if pixels else ())
        done: list[tuple[EmbeddedImage | BadFile, Pixels | None]] = []
        for each in batch:
            if isinstance(each, BadFile):
                done.append((each, None))
            else:
                done.append((EmbeddedImage(str(each.file.path), next(vectors)), each.pixels))
        batch.clear()
        yield done
