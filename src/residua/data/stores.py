"""Where a loader's pixels come from: one array on the device, or threads that work a few batches ahead."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from residua.data import cache
from residua.data.augment import box_uniforms, random_boxes
from residua.data.dataset import Split
from residua.data.decode import Pixels, decode_bytes, orientation_of, size_of
from residua.data.image_source import ImageSource
from residua.data.preprocess import apply_uint8, read_uint8
from residua.specs.augment import AugmentSpec
from residua.specs.preprocess import PreprocessSpec

Indices = npt.NDArray[np.int64]
T = TypeVar("T")
Finish = Callable[[Indices, torch.Tensor], T]
_SMALL_SIDE = 128
_AHEAD = 3
_CHUNK = 4


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
        """Yield finish(indices, uint8 (B, 3, H, W) on the device) for each piece.

        Raises:
            BadImage: an image stopped decoding after the store was opened.
        """
        ...


class ArrayStore:
    """All images as one uint8 tensor (N, H, W, 3) on the device."""

    how, crops = "fixed", False

    def __init__(self, pixels: Pixels, bad: dict[int, str], device: torch.device, *, dense: bool = False) -> None:
        """Take `pixels`; `dense` says that it has no rows for the bad images."""
        self.bad = bad
        self._pixels = torch.from_numpy(pixels).to(device)
        self._rows: Indices | None = None
        if dense and bad:
            good = np.ones(len(pixels) + len(bad), np.int64)
            good[list(bad)] = 0
            self._rows = np.cumsum(good) - 1

    def batches(self, pieces: Sequence[Indices], seed: int, epoch: int, finish: Finish[T]) -> Iterator[T]:
        """Gather each piece.

        On a processor that takes a few operations of some 100 µs, too short to share: torch's threads wait for each
        other ten times as long when something else is running. One core does all of a batch, while the caller waits.
        """
        if self._pixels.device.type != "cpu":
            yield from (finish(*self._gather(indices)) for indices in pieces)
            return
        with _one_core_each(1) as pool:
            for indices in pieces:
                yield pool.submit(lambda piece: finish(*self._gather(piece)), indices).result()

    def _gather(self, indices: Indices) -> tuple[Indices, torch.Tensor]:
        flat = self._pixels.view(len(self._pixels), -1)
        rows = indices if self._rows is None else self._rows[indices]
        taken = flat.index_select(0, torch.from_numpy(rows).to(flat.device))
        return indices, taken.view(-1, *self._pixels.shape[1:]).permute(0, 3, 1, 2)


class ThreadStore:
    """Images made one by one in threads, a few batches ahead.

    Args:
        make: (index, table row or None) -> uint8 (S, S, 3); must let go of the interpreter lock in its heavy
            parts.
    """

    def __init__(
        self,
        make: Callable[[int, npt.NDArray[np.float32] | None], Pixels],
        side: int,
        device: torch.device,
        workers: int,
        *,
        how: str,
        crops: bool,
        bad: dict[int, str],
    ) -> None:
        self.how, self.crops, self.bad = how, crops, bad
        self._make, self._side, self._device, self._workers = make, side, device, max(workers, 1)

    def batches(self, pieces: Sequence[Indices], seed: int, epoch: int, finish: Finish[T]) -> Iterator[T]:
        """Yield in order; up to three batches are under way.

        On a processor the batch is finished in the threads too: torch's own threads would compete with them.
        """
        here = self._device.type == "cpu"
        under_way: deque[_Job[T]] = deque()
        pool = _one_core_each(self._workers)
        try:
            for indices in pieces:
                under_way.append(self._start(pool, indices, seed, epoch, finish if here else None))
                if len(under_way) > _AHEAD:
                    yield self._result(under_way.popleft(), finish)
            while under_way:
                yield self._result(under_way.popleft(), finish)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _start(
        self, pool: ThreadPoolExecutor, indices: Indices, seed: int, epoch: int, finish: Finish[T] | None
    ) -> _Job[T]:
        table = box_uniforms(seed, epoch, indices) if self.crops else None
        shape = (len(indices), self._side, self._side, 3)
        pixels = torch.empty(shape, dtype=torch.uint8, pin_memory=self._device.type == "cuda")
        size = max(1, min(_CHUNK, len(indices) // self._workers))
        starts = range(0, len(indices), size)
        job: _Job[T] = _Job(indices, pixels, len(starts))

        def work(start: int) -> None:
            try:
                for place in range(start, min(start + size, len(indices))):
                    self._fill(job, place, None if table is None else table[place : place + 1])
                if not job.is_last():
                    return
                if finish is not None:
                    job.finished = finish(job.indices, job.images)
            except BaseException as error:
                job.error = error
            job.ready.set()

        for start in starts:
            pool.submit(work, start)
        return job

    def _fill(self, job: _Job[T], place: int, row: npt.NDArray[np.float32] | None) -> None:
        job.array[place] = self._make(int(job.indices[place]), row)

    def _result(self, job: _Job[T], finish: Finish[T]) -> T:
        job.ready.wait()
        if job.error is not None:
            raise job.error
        if job.finished is not None:
            return job.finished
        return finish(job.indices, job.images.to(self._device, non_blocking=True))


class _Job(Generic[T]):
    """A batch under way."""

    def __init__(self, indices: Indices, pixels: torch.Tensor, left: int) -> None:
        self.indices, self.pixels, self.array, self.left = indices, pixels, pixels.numpy(), left
        self.error: BaseException | None = None
        self.finished: T | None = None
        self.ready, self._lock = threading.Event(), threading.Lock()

    def is_last(self) -> bool:
        """Count one part as done; tell whether it was the last."""
        with self._lock:
            self.left -= 1
            return self.left == 0

    @property
    def images(self) -> torch.Tensor:
        """The batch as uint8 (B, 3, S, S)."""
        return self.pixels.permute(0, 3, 1, 2)


def _one_core_each(workers: int) -> ThreadPoolExecutor:
    """Return a started pool in whose threads torch does not split its operations further.

    Otherwise `workers` teams of threads compete for the same processors, and an epoch takes half as long again.
    torch's number of threads belongs to the calling thread, but is also the default of threads yet to come: hence
    all start here, and the caller's number is then set again.
    """
    started = threading.Barrier(workers + 1)

    def begin() -> None:
        # Asking first marks the thread as set up; else its first operation would fetch the default again.
        torch.get_num_threads()
        torch.set_num_threads(1)
        started.wait()

    pool = ThreadPoolExecutor(workers, "residua-decode", initializer=begin)
    own = torch.get_num_threads()
    for _ in range(workers):
        pool.submit(int)
    started.wait()
    torch.set_num_threads(own)
    return pool


def open_store(
    split: Split,
    preprocess: PreprocessSpec,
    augment: AugmentSpec | None,
    device: torch.device,
    workers: int,
) -> Store:
    """Choose and open the store. Only the data decide which: a resumed run sees the same pixels."""
    if augment is not None and augment.crop == "random_resized":
        return _open_crops(split, preprocess, augment, device, workers)
    side = preprocess.image_size
    images, pixels = split.images, split.images.pixels
    if pixels is None:
        decoded = cache.fixed(images, preprocess, workers)
        if decoded is not None:
            return ArrayStore(decoded.pixels, decoded.bad, device)
        return ThreadStore(
            lambda index, _: read_uint8(lambda: images.read(index), preprocess),
            side, device, workers, how="stream", crops=False, bad=cache.examined(images, workers),
        )  # fmt: skip
    if pixels.shape[1:3] == (side, side) == (preprocess.resize, preprocess.resize):
        return ArrayStore(pixels, {}, device)
    if len(pixels) * side * side * 3 <= cache.BUDGET_BYTES:
        made = np.empty((len(pixels), side, side, 3), np.uint8)
        for index, image in enumerate(pixels):
            made[index] = apply_uint8(image, preprocess)
        return ArrayStore(made, {}, device)
    return ThreadStore(
        lambda index, _: apply_uint8(pixels[index], preprocess),
        side, device, workers, how="stream", crops=False, bad={},
    )  # fmt: skip


def _open_crops(
    split: Split,
    preprocess: PreprocessSpec,
    augment: AugmentSpec,
    device: torch.device,
    workers: int,
) -> Store:
    side = preprocess.image_size

    def from_pixels(image: Pixels, row: npt.NDArray[np.float32] | None) -> Pixels:
        assert row is not None
        return crop_resize(
            image,
            random_boxes(row, image.shape[0], image.shape[1], augment)[0],
            side,
            preprocess.interpolation,
        )

    bad: dict[int, str] = {}
    images, pixels = split.images, split.images.pixels
    image, how = images.read, "ragged"
    if pixels is not None:
        if max(pixels.shape[1:3]) <= _SMALL_SIDE:
            return ArrayStore(pixels, {}, device)
    else:
        try:
            decoded = cache.ragged(images, workers)
        except OSError as error:
            # Full scale, as from the cache: the pixels must not depend on whether a disk is full.
            cache.warn_unusable(error)
            how, bad = "stream", cache.examined(images, workers)
        else:
            if decoded is None:
                method = preprocess.interpolation
                return ThreadStore(
                    lambda index, row: _crop_of_encoded(images, index, row, augment, side, method),
                    side, device, workers, how="stream", crops=True, bad=cache.examined(images, workers),
                )  # fmt: skip
            bad, image = decoded.bad, decoded.image
            same = decoded.uniform
            if same is not None and max(same.shape[1:3]) <= _SMALL_SIDE:
                return ArrayStore(same, bad, device, dense=True)
    return ThreadStore(
        lambda index, row: from_pixels(image(index), row),
        side, device, workers, how=how, crops=True, bad=bad,
    )  # fmt: skip


def _crop_of_encoded(
    images: ImageSource,
    index: int,
    row: npt.NDArray[np.float32] | None,
    augment: AugmentSpec,
    side: int,
    interpolation: str,
) -> Pixels:
    """Decode only as finely as the crop needs: the box is drawn from the header's size."""
    assert row is not None
    data, name = images.encoded(index), images.where(index)
    height, width = size_of(data, name) if data else (1, 1)
    if orientation_of(data, name) >= 5:
        height, width = width, height
    top, left, tall, wide = random_boxes(row, height, width, augment)[0]
    least = (math.ceil(side * height / tall), math.ceil(side * width / wide))
    image = decode_bytes(data, name, (min(least[0], height), min(least[1], width)))
    y, x = image.shape[0] / height, image.shape[1] / width
    box = np.array([round(top * y), round(left * x), max(round(tall * y), 1), max(round(wide * x), 1)])
    return crop_resize(image, box, side, interpolation)


def crop_resize(image: Pixels, box: npt.NDArray[np.int64], side: int, interpolation: str) -> Pixels:
    """Crop (top, left, height, width) and resize with antialias: uint8 (H, W, 3) -> (side, side, 3).

    torch's resize of channels-last uint8 takes a quarter of Pillow's time; the two differ by at most one
    level in most pixels, which training does not notice and evaluation never sees.
    """
    top, left, tall, wide = (int(value) for value in box)
    part = torch.from_numpy(np.array(image[top : top + tall, left : left + wide]))
    resized = torch.nn.functional.interpolate(
        part.permute(2, 0, 1)[None], (side, side), mode=interpolation, antialias=True, align_corners=False
    )
    result: Pixels = resized[0].permute(1, 2, 0).numpy()
    return result
