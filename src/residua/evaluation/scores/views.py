"""Views: the crops and sizes of an image over which the network's probabilities are averaged.

| name | views |
|---|---|
| `1` | the centre crop of the evaluation transform |
| `flip` | that and its mirror image |
| `flip_if_unsure` | the centre crop; and its mirror image where the first leaves the network unsure, see `unsure` |
| `10crop` | four corners and centre of the resized image, and their mirror images (Krizhevsky 2012, section 4.1) |
| `multiscale` | the whole image at five sizes, fully convolutional, and mirrored (He 2015, section 4.1) |

Probabilities (softmax) are averaged over the views of a set, and over the sets of a list, each with equal weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from residua._base.errors import InputError, did_you_mean
from residua.data.ahead import in_order
from residua.data.dataset import Split
from residua.data.decode import Pixels
from residua.data.decode.budget import BUDGET
from residua.data.decode.workers import default_workers
from residua.data.decoded import cache
from residua.data.loader import Loader
from residua.data.preprocess.normalise import normalise
from residua.data.preprocess.resize import resized_uint8, ten_crops_uint8
from residua.evaluation.measures.metrics import IntArray
from residua.families.sizes import check_input
from residua.specs.fields import BadPolicy
from residua.specs.preprocess import PreprocessSpec
from residua.specs.schema import Spec

VIEWS = ("1", "flip", "flip_if_unsure", "10crop", "multiscale")
SCALES = (224, 256, 384, 480, 640)
"""Shorter sides of He 2015's multi-scale test, pixels, for a network with inputs of 224 × 224."""

GATED = "flip_if_unsure"
SURE = 0.9
"""The probability of the likeliest class from which on `flip_if_unsure` does without the mirror image."""

T = TypeVar("T")
Seen = tuple[IntArray, Iterator[Tensor]]
"""(positions of some images, an iterator of their views); a view is float (B, 3, H, W), normalised, on the device."""


def parse_views(text: str) -> tuple[str, ...]:
    """Return the view sets that a comma list such as "1,10crop" names.

    Raises:
        InputError: an unknown name, one given twice, or none.
    """
    names = tuple(part.strip() for part in str(text).split(","))
    for name in names:
        if name not in VIEWS:
            raise InputError(
                f"views {name!r}",
                f"a comma list of {', '.join(VIEWS)}",
                did_you_mean(name, VIEWS, 1) or "Customary are 1 and 10crop",
            )
    if len(set(names)) < len(names):
        raise InputError(f"views {text!r}, one of them twice", "each view set once", "Leave the second out")
    return names


def sides(image_size: int) -> tuple[int, ...]:
    """Return the five shorter sides of `multiscale`, scaled to the shorter side of the network's input and rounded.

    224 gives 224, 256, 384, 480, 640; 32 gives 32, 37, 55, 69, 91.
    """
    return tuple(round(side * image_size / SCALES[0]) for side in SCALES)


def check_views(names: Sequence[str], spec: Spec | None, preprocess: PreprocessSpec) -> None:
    """Refuse view sets that the network cannot take, before any work.

    Raises:
        InputError: `multiscale` of a network whose head reads a grid of fixed size, or whose layers have a weight for
            each pixel. Also where the preprocessing has numbers for each pixel.
    """
    if "multiscale" not in names or spec is None:
        return
    if preprocess.by_pixel:
        raise InputError(
            f"views 'multiscale' of {spec.name}, whose preprocessing has {' and '.join(preprocess.arrays)}",
            "a preprocessing without numbers for each pixel, which hold for one size",
            "Use views='10crop'",
        )
    if (grid := getattr(spec, "grid", 1)) != 1:
        raise InputError(
            f"views 'multiscale' of {spec.name}",
            f"a network that ends in a global pool: the classifier of this one reads a grid of {grid} × {grid} "
            "positions, never a larger image",
            "Use views='10crop'",
        )
    # A network that takes its own size and the next takes all larger ones.
    for side in sides(min(preprocess.size))[:2]:
        try:
            check_input(spec, side)
        except InputError as error:
            raise InputError(f"views 'multiscale': {error.given}", error.wanted, "Use views='10crop'") from error


def count_views(name: str) -> int:
    """Return the largest number of views per image of a set."""
    return {"1": 1, "flip": 2, GATED: 2, "10crop": 10, "multiscale": 2 * len(SCALES)}[name]


def unsure(logits: Tensor, *, multilabel: bool) -> Tensor:
    """Return the images that `flip_if_unsure` sees mirrored too, bool (B,): none of their classes has 0.9.

    Of several labels an image, those with a label that is neither likely (0.9 or more) nor unlikely (0.1 or less).

    Args:
        logits: of the first view, (B, K).
        multilabel: whether each label is a question of its own.
    """
    if multilabel:
        there = logits.double().sigmoid()
        return (torch.maximum(there, 1 - there) < SURE).any(1)
    return logits.double().softmax(1).amax(1) < SURE


class Viewer:
    """Yield the views of a split's images, a few images at a time.

    Args:
        split: images and labels.
        preprocess: the evaluation transform.
        views: the name of one set.
        batch_size: images per forward pass at the transform's size; fewer of larger ones, with as many pixels.
        device: where views are made.
        on_bad: "refuse" images that do not decode, or "skip" them.
        use_cache: whether decoded images may come from the decode cache; else every file is read.

    Attributes:
        skipped: position -> reason, for the images left out.
        count: images shown.

    Raises:
        InputError: `batch_size` below 1, an empty split, images that do not decode (each is named).
    """

    def __init__(
        self,
        split: Split,
        preprocess: PreprocessSpec,
        views: str,
        *,
        batch_size: int,
        device: torch.device,
        on_bad: BadPolicy,
        use_cache: bool = True,
    ) -> None:
        self._split, self._preprocess, self._device, self._batch_size = split, preprocess, device, batch_size
        self._show = {"10crop": self._ten_crops, "multiscale": self._scales}.get(views, self._centre)
        self._mirrored = views == "flip"
        self._workers = default_workers()
        self._loader: Loader | None = None
        if self._show == self._centre:
            # One class is enough: its labels are not used.
            self._loader = Loader(
                split,
                preprocess,
                batch_size=batch_size,
                device=device,
                num_classes=1,
                train=False,
                channels_last=True,
                on_bad=on_bad,
                use_cache=use_cache,
            )
            self.skipped = self._loader.skipped
        else:
            self.skipped = {}
            if split.images.pixels is None:
                self.skipped = cache.examined(split.images, self._workers, use_cache=use_cache)
            if self.skipped and (on_bad == "refuse" or len(self.skipped) == len(split)):
                raise cache.refusal((split, self.skipped))
        self._good: IntArray = np.delete(np.arange(len(split)), sorted(self.skipped))
        self.count = len(self._good)

    def __iter__(self) -> Iterator[Seen]:
        """Yield every image once: positions in the split, and an iterator of their views."""
        return self._show()

    def _centre(self) -> Iterator[Seen]:
        assert self._loader is not None
        for batch in self._loader.epoch(0):
            yield batch.indices.cpu().numpy(), self._with_mirror(batch.images, also=self._mirrored)

    def _ten_crops(self) -> Iterator[Seen]:
        def views(crops: Sequence[Pixels]) -> Iterator[Tensor]:
            for crop in range(4):
                yield from self._with_mirror(self._normalised([image[crop] for image in crops]))
            yield self._normalised([image[4] for image in crops])
            yield self._normalised([image[5] for image in crops]).flip(3)

        for indices, crops in self._batches(lambda image: ten_crops_uint8(image, self._preprocess), self._batch_size):
            yield indices, views(crops)

    def _scales(self) -> Iterator[Seen]:
        shorter, method = sides(min(self._preprocess.size)), self._preprocess.interpolation

        def make(image: Pixels) -> list[Pixels]:
            return [resized_uint8(image, side, method) for side in shorter]

        def shapes(pair: tuple[int, list[Pixels]]) -> list[tuple[int, ...]]:
            return [image.shape for image in pair[1]]

        def views(sizes: Sequence[Sequence[Pixels]]) -> Iterator[Tensor]:
            for alike in zip(*sizes, strict=True):
                yield from self._with_mirror(self._normalised(alike))

        fitting = max(1, self._batch_size * math.prod(self._preprocess.size) // max(shorter) ** 2)
        for indices, images in self._batches(make, fitting):
            # Images of the same shape go through the network together.
            ordered = sorted(zip(indices.tolist(), images, strict=True), key=lambda pair: (shapes(pair), pair[0]))
            for _, group in groupby(ordered, key=shapes):
                alike = list(group)
                yield np.array([index for index, _ in alike]), views([sizes for _, sizes in alike])

    def _batches(self, make: Callable[[Pixels], T], size: int) -> Iterator[tuple[IntArray, list[T]]]:
        """Yield `size` positions and the results of `make` for their images, decoded in threads a bounded way ahead."""
        split = self._split

        @BUDGET.kept()
        def one(index: int) -> T:
            return make(split.images.read(index))

        values: list[T] = []
        places: list[int] = []
        good = self._good.tolist()
        for index, image in zip(good, in_order(good, one, self._workers, in_flight=4 * self._workers), strict=True):
            values.append(image)
            places.append(index)
            if len(values) == size:
                yield np.array(places), values
                values, places = [], []
        if values:
            yield np.array(places), values

    def _normalised(self, images: Sequence[Pixels]) -> Tensor:
        batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).to(self._device)
        return normalise(batch, self._preprocess, channels_last=True)

    def _with_mirror(self, images: Tensor, *, also: bool = True) -> Iterator[Tensor]:
        yield images
        if also:
            yield images.flip(3)
