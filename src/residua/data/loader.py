"""Batches: in an order that is a pure function of (seed, epoch), normalised, on the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from residua._base.errors import InputError
from residua._base.words import some
from residua.data.augment import Augment
from residua.data.dataset import Split
from residua.data.decode.workers import default_workers
from residua.data.decoded.cache import refusal
from residua.data.preprocess.normalise import normalise
from residua.data.preprocess.sending import to_device
from residua.data.random import order
from residua.data.shards.part import Part, Slices
from residua.data.shards.window import Pieces, WindowOrder, counts_for
from residua.data.splitting import balanced_draws, counts_of
from residua.data.stores import Store, open_store
from residua.specs.augment import AugmentSpec
from residua.specs.fields import BadPolicy
from residua.specs.preprocess import PreprocessSpec, resized


@dataclass(frozen=True, eq=False)
class Batch:
    """What the network receives.

    Attributes:
        images: floating point (B, 3, H, W), normalised, on the device.
        labels: int64 (B,), or float32 (B, K) under mixup and cutmix, on the device. Of images that may have several
            labels, (B, K) always: int64 of 0 and 1, float32 under mixup and cutmix.
        indices: int64 (B,), positions in the split, on the host.
    """

    images: torch.Tensor
    labels: torch.Tensor
    indices: torch.Tensor


class _Maker(NamedTuple):
    """What makes images of one side: where their pixels come from, what is done to them, and how they end."""

    store: Store
    augment: Augment | None
    preprocess: PreprocessSpec


_GROWN = 0.8  # share of the epochs after which images have their full size
GROWTH_STEP = 16
"""Pixels by which they grow: half of what one feature of a network for photos stands for."""


def side_of(epoch: int, begin: int, full: int, epochs: int) -> int:
    """Return the side of training images that grow, pixels, in `epoch`, counted from 0, of `epochs`.

    The last fifth of the epochs, and the last one always, has `full`. Before, a line rises from `begin`, rounded down
    to steps of 16 pixels. Howard 2018 trained so for DAWNBench.
    """
    grown = int(_GROWN * epochs)
    if epoch >= grown:
        return full
    return begin + (full - begin) * epoch // grown // GROWTH_STEP * GROWTH_STEP


class Loader:
    """Yields the batches of a split.

    Args:
        split: images and labels.
        preprocess: the evaluation transform; its `size` is that of every batch; squares where `train`.
        batch_size: images per batch, at least 1.
        device: where batches are made.
        augment: what is done to training images; needs `train`.
        num_classes: K.
        seed: of order and augmentation.
        workers: decoding threads; None: one per processor that this process may use, at most 16.
        dtype: of the images.
        channels_last: their layout.
        train: shuffled, and the last partial batch dropped unless there is no other; else the natural order,
            every image once.
        on_bad: "refuse" images that do not decode, or "skip" them: see `skipped`.
        balanced: training visits every class equally often (`balanced_draws`), rare images several times per epoch.
        use_cache: let decoded images be found in, and kept for, other runs; else every file is read.
        window: images per window of an order by shards (`WindowOrder`), in which nothing is examined before it is
            asked for; 0 for an order of all images.

    Attributes:
        count: images that an epoch visits before the last partial batch is dropped.
        skipped: position in the split -> reason, of the images left out; batches are filled with the others. In an
            order by shards they are found on the way, and their batches are smaller.
        how: "fixed", "ragged" or "stream": where the pixels come from.
        part: of several processes: a slice of each batch where `train`, else every so many batches.

    Raises:
        InputError: `batch_size` below 1, training on oblong images, an empty split, or images that do not decode (each
            is named).
    """

    def __init__(
        self,
        split: Split,
        preprocess: PreprocessSpec,
        *,
        batch_size: int,
        num_classes: int,
        train: bool,
        device: str | torch.device = "cpu",
        augment: AugmentSpec | None = None,
        seed: int = 0,
        workers: int | None = None,
        dtype: torch.dtype = torch.float32,
        channels_last: bool = False,
        on_bad: BadPolicy = "refuse",
        balanced: bool = False,
        use_cache: bool = True,
        window: int = 0,
    ) -> None:
        if batch_size < 1:
            raise InputError(f"batch_size={batch_size}", "at least 1 image per batch", "Use batch_size=128")
        if workers is not None and workers < 0:
            raise InputError(f"workers={workers}", "0 or more decoding threads", "Leave it out for one per processor")
        self.split, self.preprocess, self.batch_size, self.train = split, preprocess, batch_size, train
        self.num_classes, self.balanced, self.part = num_classes, balanced, Part()
        self.device, self.seed, self.dtype, self.channels_last = (
            torch.device(device),
            seed,
            dtype,
            channels_last,
        )
        if train:
            preprocess.require_square()
        self._spec = augment if train else None
        self._threads = default_workers() if workers is None else workers
        self._use_cache = use_cache
        self._windows = self._window_order(window)
        self._skips = on_bad == "skip"
        self._growth: tuple[int, int] | None = None
        whole = self._maker(preprocess)
        self._by_side = {preprocess.size[0]: whole}
        self.skipped, self.how = whole.store.bad, whole.store.how
        if self.skipped and (on_bad == "refuse" or len(self.skipped) == len(split)):
            raise refusal((split, self.skipped))
        self._good = np.empty(0, np.int64) if self.streams else np.delete(np.arange(len(split)), sorted(self.skipped))
        self.count = len(split) if self.streams else len(self._good)
        if self.count == 0:
            raise InputError(f"the {split.name} part holds no usable image", "at least one", "Check the data")
        # Narrow labels are those of a large data set, mapped from their file: each batch takes its own from there.
        narrow = split.labels.dtype != np.int64
        self._labels = None if narrow else torch.from_numpy(split.labels).to(self.device)

    def grow(self, begin: int, epochs: int) -> None:
        """Let training images grow from the side `begin`, pixels, over so many epochs; see `side_of`.

        Raises:
            InputError: images that are not random resized crops, or a preprocessing with numbers for each pixel.
        """
        if self._spec is None or self._spec.crop != "random_resized":
            raise InputError(f"begin_size={begin} of images of one size", "random resized crops", "Use begin_size=0")
        if self.streams:
            raise InputError(
                f"begin_size={begin} in an order by shards",
                "images that are all read before training, as those of an ordinary order are",
                "Use begin_size=0, or leave shuffle_window out",
            )
        if self.preprocess.by_pixel:
            raise InputError(
                f"begin_size={begin} with {' and '.join(self.preprocess.arrays)} of one size",
                "a preprocessing without numbers for each pixel",
                "Use begin_size=0, or center='channel' without zca",
            )
        self._growth = begin, epochs

    def _maker(self, preprocess: PreprocessSpec) -> _Maker:
        store = open_store(
            self.split,
            preprocess,
            self._spec,
            self.device,
            self._threads,
            use_cache=self._use_cache,
            streams=self.streams,
            skips=self._skips,
        )
        if self._spec is None:
            return _Maker(store, None, preprocess)
        return _Maker(store, Augment(self._spec, self.num_classes, preprocess, cropped=store.crops), preprocess)

    def _in_epoch(self, epoch: int) -> _Maker:
        """Return what makes the images of an epoch; that of a new size is opened, and that of earlier ones let go."""
        if self._growth is None:
            return next(iter(self._by_side.values()))
        begin, epochs = self._growth
        full = self.preprocess.side
        side = side_of(epoch, begin, full, epochs)
        if side not in self._by_side:
            whole = self._by_side[full]
            preprocess = resized(self.preprocess, side)
            if whole.store.how == "fixed":
                # One array, cropped on the device: it has no size of its own.
                assert self._spec is not None
                made = _Maker(whole.store, Augment(self._spec, self.num_classes, preprocess), preprocess)
            else:
                made = self._maker(preprocess)
            self._by_side = {full: whole, side: made}
        return self._by_side[side]

    def _window_order(self, window: int) -> WindowOrder | None:
        if not (window and self.train):
            return None
        counts = counts_for(self.split.images)
        if counts is None or self.balanced:
            raise InputError(
                f"an order by shards with balance='sampler', or of {self.split.name} images in no shards"
                if counts is None
                else "balance='sampler' in an order by shards, window by window",
                "one of the two",
                "Use balance='loss', or leave shuffle_window out",
            )
        return WindowOrder(counts, self.seed, window)

    @property
    def streams(self) -> bool:
        """Whether images are taken shard by shard, and met for the first time in training."""
        return self._windows is not None

    @property
    def steps_per_epoch(self) -> int:
        """Batches per epoch."""
        if self.train:
            return max(self.count // self.batch_size, 1)
        return -(-self.count // self.batch_size)

    @property
    def batch_images(self) -> int:
        """Images of a training batch, in all processes together."""
        return min(self.batch_size, self.count)

    @property
    def class_counts(self) -> npt.NDArray[np.int64]:
        """Usable images of each class, int64 (K,)."""
        labels = self.split.labels if self.streams else self.split.labels[self._good]
        return counts_of(labels, self.num_classes)

    def check_classes(self, classes: Sequence[str]) -> None:
        """Check that no class lost all its images: a network would get an output that never saw one.

        Args:
            classes: class names by label.

        Raises:
            InputError: one did; its images are named.
        """
        if not self.skipped:
            return
        before = counts_of(self.split.labels, self.num_classes)
        lost = np.flatnonzero((before > 0) & (self.class_counts == 0)).tolist()
        if not lost:
            return
        names = some([classes[label] for label in lost])
        named = [
            f"{self.split.where(index)} ({reason})"
            for index, reason in sorted(self.skipped.items())
            if (self.split.labels[index, lost].any() if self.split.multilabel else self.split.labels[index] in lost)
        ]
        raise InputError(
            f"no image of {names} in the {self.split.name} part decodes: {some(named)}",
            "at least one image of each class that decodes",
            "Repair or replace these images, or remove the folder of the class",
        )

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """Yield the batches of `epoch` from `start_step` on; those before are not decoded."""
        pieces = self._pieces(epoch, start_step)
        if self.part.count > 1:
            pieces = Slices(pieces, self.part) if self.train else pieces[self.part.rank :: self.part.count]

        maker = self._in_epoch(epoch)

        def finish(draws: npt.NDArray[np.int64], images: torch.Tensor) -> Batch:
            return self._finish(draws, images, epoch, maker)

        return maker.store.batches(pieces, self.seed, epoch, finish)

    def _pieces(self, epoch: int, start_step: int) -> Sequence[npt.NDArray[np.int64]]:
        """Return the draws of each batch of an epoch from `start_step` on."""
        steps = self.steps_per_epoch
        if self._windows is not None:
            prepare = getattr(self.split.images, "prepare", None)
            return Pieces(self._windows.epoch(epoch), self.batch_size, start_step, steps, prepare)
        visited = self._visited(epoch) if self.train else self._good
        return [visited[step * self.batch_size : (step + 1) * self.batch_size] for step in range(start_step, steps)]

    def _visited(self, epoch: int) -> npt.NDArray[np.int64]:
        """Return the draws of a training epoch; see `Store.batches`."""
        if not self.balanced:
            return self._good[order(self.seed, epoch, self.count)]
        positions, passes = balanced_draws(self.split.labels[self._good], self.seed, epoch)
        return self._good[positions] + passes * len(self.split)

    def _finish(self, draws: npt.NDArray[np.int64], images: torch.Tensor, epoch: int, maker: _Maker) -> Batch:
        places = draws % len(self.split)
        positions = torch.from_numpy(places)
        if self._labels is None:
            labels = to_device(self.split.labels[places].astype(np.int64), self.device)
        else:
            labels = self._labels[to_device(positions, self.device)]
        if maker.augment is not None:
            images, labels = maker.augment(images, labels, draws, self.seed, epoch)
        values = normalise(images, maker.preprocess, dtype=self.dtype, channels_last=self.channels_last)
        return Batch(values, labels, positions)
