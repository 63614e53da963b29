"""Where a loader's pixels come from: one array on the device, or threads that work a few batches ahead."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from residua._base.errors import InputError
from residua.data.ahead import in_order
from residua.data.dataset import Split
from residua.data.decode import BadImage, EncodedImage, Pixels
from residua.data.decode.budget import BUDGET
from residua.data.decoded import cache
from residua.data.preprocess.random_crop import Boxes, Fit, box_uniforms, crop_of_encoded, crop_resize
from residua.data.preprocess.resize import apply_uint8, read_uint8
from residua.data.preprocess.sending import to_device
from residua.specs.augment import AugmentSpec
from residua.specs.preprocess import PreprocessSpec

Indices = npt.NDArray[np.int64]
T = TypeVar("T")
Finish = Callable[[Indices, torch.Tensor], T]
_SMALL_SIDE = 128  # pixels: 100,000 images of 128² take 4.9 GB as one array; larger ones keep sizes of their own
_BATCHES = 4  # in work at a time: three beside the one that is yielded


class Store(Protocol):
    """Pixels of a split.

    Attributes:
        how: "fixed", "ragged" or "stream".
        bad: position -> reason of images that do not decode: not to be asked for.
        crops: `batches` makes the random resized crop itself.
    """

    how: str
    bad: dict[int, str]
    crops: bool

    def batches(self, pieces: Sequence[Indices], seed: int, epoch: int, finish: Finish[T]) -> Iterator[T]:
        """Yield finish(draws, uint8 (B, 3, H, W) on the device) for each piece.

        A draw is the position of an image, plus N for each pass over its class within the epoch (`balanced_draws`).
        Pixels depend on the position, randomness on the draw: an image that is visited twice is cropped differently.

        Raises:
            BadImage: an image stopped decoding after the store was opened.
        """
        ...


class ArrayStore:
    """All images as one uint8 tensor (N, H, W, 3) on the device."""

    how, crops = "fixed", False

    def __init__(self, pixels: Pixels, bad: dict[int, str], device: torch.device, *, dense: bool = False) -> None:
        """Take `pixels`; `dense`: whether it lacks rows for the bad images."""
        self.bad = bad
        self._pixels = torch.from_numpy(pixels).to(device)
        self._rows: Indices | None = None
        if dense and bad:
            good = np.ones(len(pixels) + len(bad), np.int64)
            good[list(bad)] = 0
            self._rows = np.cumsum(good) - 1

    def batches(self, pieces: Sequence[Indices], seed: int, epoch: int, finish: Finish[T]) -> Iterator[T]:
        """Gather each piece.

        On a processor that takes a few operations of some 100 µs, too short to share. When something else is running,
        torch's threads wait for each other ten times as long. One core does all of a batch, while the caller waits.
        """
        if self._pixels.device.type == "cpu":
            yield from in_order(pieces, lambda indices: finish(*self._gather(indices)), 1, in_flight=1)
        else:
            yield from (finish(*self._gather(indices)) for indices in pieces)

    def _gather(self, indices: Indices) -> tuple[Indices, torch.Tensor]:
        flat = self._pixels.view(len(self._pixels), -1)
        count = len(self._pixels) if self._rows is None else len(self._rows)
        rows = indices % count if self._rows is None else self._rows[indices % count]
        taken = flat.index_select(0, to_device(rows, flat.device))
        return indices, taken.view(-1, *self._pixels.shape[1:]).permute(0, 3, 1, 2)


class ThreadStore:
    """Images made one by one in threads, a few batches ahead.

    Args:
        make: (index, fit) -> uint8 (H, W, 3). `fit` gives the crop's box from the image's size, and is None where
            nothing is cropped. It releases the interpreter lock in its heavy parts.
        crops: the random resized crops that `make` cuts.
        skips: whether an image that turns out not to decode is left out of its batch, and added to `bad`.
    """

    def __init__(
        self,
        make: Callable[[int, Fit | None], Pixels],
        size: tuple[int, int],
        device: torch.device,
        workers: int,
        *,
        how: str,
        crops: AugmentSpec | None,
        bad: dict[int, str],
        count: int,
        skips: bool = False,
    ) -> None:
        self.how, self.bad, self._crops, self._count, self._skips = how, bad, crops, count, skips
        self.crops = crops is not None
        self._make, self._size, self._device, self._workers = make, size, device, max(workers, 1)

    def batches(self, pieces: Sequence[Indices], seed: int, epoch: int, finish: Finish[T]) -> Iterator[T]:
        """Yield in order; up to three batches are under way beside the one that is yielded.

        On a processor the batch is finished in the threads too: torch's own threads would compete with them.
        """
        here = finish if self._device.type == "cpu" else None
        places = (slot for indices in pieces for slot in self._places(indices, seed, epoch, here))
        # The first piece is the longest. Of lazy pieces none but those that are due are computed.
        in_flight = _BATCHES * max(len(pieces[0]) if len(pieces) else 1, 1)
        for batch in in_order(places, self._fill, self._workers, in_flight=in_flight):
            if batch is None:
                continue
            if batch.finished is not None:
                yield batch.finished
            else:
                yield finish(batch.kept, batch.images.to(self._device, non_blocking=True))

    def _places(
        self, indices: Indices, seed: int, epoch: int, finish: Finish[T] | None
    ) -> Iterator[tuple[_PendingBatch[T], int]]:
        """Yield (batch, place in it) of each image; the batch's memory is taken when the first is asked for."""
        shape = (len(indices), *self._size, 3)
        pixels = torch.empty(shape, dtype=torch.uint8, pin_memory=self._device.type == "cuda")
        boxes = Boxes(box_uniforms(seed, epoch, indices), self._crops) if self._crops else None
        batch = _PendingBatch(indices, pixels, boxes, finish)
        yield from ((batch, row) for row in range(len(indices)))

    def _fill(self, item: tuple[_PendingBatch[T], int]) -> _PendingBatch[T] | None:
        """Make one image; return its batch for the last place of a batch, where all others are done before."""
        batch, row = item
        fit = None if batch.boxes is None else partial(batch.boxes.fit, row)
        position = int(batch.indices[row]) % self._count
        try:
            batch.array[row] = self._make(position, fit)
        except BadImage as error:
            if not self._skips:
                raise
            self.bad[position] = error.reason
            batch.failed.append(row)
        batch.count()
        return batch if row == len(batch.indices) - 1 else None


class _PendingBatch(Generic[T]):
    """A batch under way; the thread that makes its last image finishes it, where `finish` is given."""

    def __init__(
        self,
        indices: Indices,
        pixels: torch.Tensor,
        boxes: Boxes | None,
        finish: Finish[T] | None,
    ) -> None:
        self.indices, self.pixels, self.array, self.boxes = indices, pixels, pixels.numpy(), boxes
        self.finished: T | None = None
        self.failed: list[int] = []
        self._finish, self._left, self._lock = finish, len(indices), threading.Lock()

    def count(self) -> None:
        """Count one image as made."""
        with self._lock:
            self._left -= 1
            last = self._left == 0
        if last and self._finish is not None:
            self.finished = self._finish(self.kept, self.images)

    @property
    def kept(self) -> Indices:
        """The draws whose images were made."""
        return np.delete(self.indices, self.failed) if self.failed else self.indices

    @property
    def images(self) -> torch.Tensor:
        """The batch as uint8 (B, 3, H, W).

        Raises:
            InputError: no image of it was made.
        """
        if not self.failed:
            return self.pixels.permute(0, 3, 1, 2)
        rows = np.delete(np.arange(len(self.indices)), self.failed)
        if not len(rows):
            raise InputError(
                f"a batch of {len(self.indices)} images, none of which can be read",
                "shards that can be read",
                "Check them: residua pack --check FOLDER",
            )
        return self.pixels[torch.from_numpy(rows)].permute(0, 3, 1, 2)


def open_store(
    split: Split,
    preprocess: PreprocessSpec,
    augment: AugmentSpec | None,
    device: torch.device,
    workers: int,
    *,
    use_cache: bool = True,
    streams: bool = False,
    skips: bool = False,
) -> Store:
    """Choose and open the store. Only the data decide which: a resumed run sees the same pixels.

    With `streams` no image is examined before it is asked for; with `skips` too, those that do not decode are left out.
    """
    if augment is not None and augment.crop == "random_resized":
        return _open_crops(split, preprocess, augment, device, workers, use_cache, streams, skips)
    size = preprocess.size
    images, pixels = split.images, split.images.pixels
    if streams:
        return ThreadStore(
            lambda index, _: read_uint8(lambda: images.read(index), preprocess),
            size, device, workers, how="stream", crops=None, bad={}, count=len(images), skips=skips,
        )  # fmt: skip
    if pixels is None:
        decoded = cache.fixed(images, preprocess, workers, use_cache=use_cache)
        if decoded is not None:
            decoded.check(workers)
            return ArrayStore(decoded.stored.reshape(len(images), *size, 3), decoded.bad, device)
        return ThreadStore(
            lambda index, _: read_uint8(lambda: images.read(index), preprocess),
            size, device, workers, how="stream", crops=None, bad=cache.examined(images, workers, use_cache=use_cache),
            count=len(images),
        )  # fmt: skip
    if pixels.shape[1:3] == size == preprocess.resized_size:
        return ArrayStore(pixels, {}, device)
    if len(pixels) * math.prod(size) * 3 <= cache.BUDGET_BYTES:
        made = np.empty((len(pixels), *size, 3), np.uint8)
        for index, image in enumerate(pixels):
            made[index] = apply_uint8(image, preprocess)
        return ArrayStore(made, {}, device)
    return ThreadStore(
        lambda index, _: apply_uint8(pixels[index], preprocess),
        size, device, workers, how="stream", crops=None, bad={}, count=len(images),
    )  # fmt: skip


def _open_crops(
    split: Split,
    preprocess: PreprocessSpec,
    augment: AugmentSpec,
    device: torch.device,
    workers: int,
    use_cache: bool,
    streams: bool,
    skips: bool,
) -> Store:
    side = preprocess.side

    @BUDGET.kept()
    def of_decoded(index: int, fit: Fit | None) -> Pixels:
        assert fit is not None
        image = whole(index)
        return crop_resize(image, fit(*image.shape[:2]), side, preprocess.interpolation)

    @BUDGET.kept()
    def of_encoded(index: int, fit: Fit | None) -> Pixels:
        assert fit is not None
        encoded = EncodedImage(images.encoded(index), images.where(index))
        return crop_of_encoded(encoded, fit, side, preprocess.interpolation)

    def streamed(bad: dict[int, str]) -> Store:
        return ThreadStore(
            of_encoded, (side, side), device, workers, how="stream", crops=augment, bad=bad, count=len(images),
            skips=skips,
        )  # fmt: skip

    bad: dict[int, str] = {}
    images, pixels = split.images, split.images.pixels
    if streams:
        return streamed({})
    whole, how = images.read, "ragged"
    if pixels is not None:
        if max(pixels.shape[1:3]) <= _SMALL_SIDE:
            return ArrayStore(pixels, {}, device)
    else:
        try:
            decoded = cache.ragged(images, workers) if use_cache else None
        except cache.AboveBudget:
            return streamed(cache.examined(images, workers, use_cache=use_cache))
        if decoded is not None:
            bad, whole = decoded.bad, decoded.image
            if decoded.largest_side <= _SMALL_SIDE and (same := decoded.array(workers)) is not None:
                return ArrayStore(same, bad, device, dense=True)
        else:
            # The same choice as with a cache: pixels must not depend on whether a disk is full.
            how, (bad, size) = "stream", cache.examine(images, workers)
            if max(size, images.least_bytes()) > cache.BUDGET_BYTES:
                return streamed(bad)
    return ThreadStore(of_decoded, (side, side), device, workers, how=how, crops=augment, bad=bad, count=len(images))
