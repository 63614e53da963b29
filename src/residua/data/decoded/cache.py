"""Decoded images, kept between runs, found by everything that they depend on."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from residua._base.cache import Cache
from residua._base.errors import InputError
from residua._base.words import counted, some
from residua.data.ahead import in_order
from residua.data.dataset import Split
from residua.data.decode import BadImage, FetchFailure, Pixels, decode_bytes
from residua.data.decoded.entry import INDEX, DecodedImages, Index, load
from residua.data.image_source import ImageSource
from residua.data.preprocess.resize import read_uint8
from residua.specs.preprocess import PreprocessSpec

BUDGET_BYTES = 2 << 30
"""Decoded data above this is not kept but decoded again in each epoch."""

LIMIT_BYTES = 20 << 30
"""Entries are removed, the least recently used first, until they are not larger together than this."""

_FORMAT = 3  # part of every key: raised when entries change, so that older ones are not found
_CONTENTS = "contents"
_NAMED_EACH = 20  # of the images that do not decode for the same reason


class AboveBudget(Exception):
    """Decoded images that are too large to be kept."""


class _Passing(Exception):
    """Images are missing for a reason that may be gone another time."""


def decode_cache() -> Cache:
    """Return the cache that decoded images stand in."""
    return Cache("decoded", LIMIT_BYTES, without="images are decoded again in every run")


def fixed(images: ImageSource, spec: PreprocessSpec, workers: int, *, use_cache: bool = True) -> DecodedImages | None:
    """Return every image decoded and preprocessed to (*spec.size, 3), or None when that is above the budget.

    The pixels of images that do not decode are zero.
    """
    shape = (len(images), *spec.size, 3)
    count = len(images)
    if math.prod(shape) > BUDGET_BYTES:
        return None
    if count == 0:
        return DecodedImages(np.zeros(0, np.uint8), Index.empty(0))

    def make(index: int) -> Pixels:
        return read_uint8(lambda: images.read(index), spec)

    def fill(pixels: Pixels, index: Index) -> None:
        def one(image: int) -> None:
            pixels[image] = read_uint8(lambda: _decoded(images, image, index.contents), spec)

        index.note(_failures(count, one, workers))
        for image in range(count):
            index.add(image, pixels[image])

    def build(folder: Path) -> Index:
        index = Index.empty(count)
        fill(_allocate(folder / "pixels", shape), index)
        return index

    target = f"fixed {spec.image_size} {spec.resize} {spec.interpolation}"
    if spec.crop_mode != "center":
        target += f" {spec.crop_mode} {spec.mean}"
    if use_cache and (decoded := _kept(images, target, build, make)) is not None:
        return decoded
    memory, index = np.zeros(shape, np.uint8), Index.empty(count)
    fill(memory, index)
    return DecodedImages(memory.reshape(-1), index)


def ragged(images: ImageSource, workers: int) -> DecodedImages | None:
    """Return every image decoded at its own size; None where the cache cannot be used.

    Raises:
        AboveBudget: the decoded images are too large to be kept.
    """
    if images.least_bytes() > BUDGET_BYTES:
        raise AboveBudget
    count = len(images)

    def build(folder: Path) -> Index:
        index, total = Index.empty(count), 0
        results = in_order(
            range(count), _or_bad(lambda image: _decoded(images, image, index.contents)), workers, in_flight=4 * workers
        )
        with (folder / "pixels").open("wb") as stream, contextlib.closing(results):
            for image, result in enumerate(results):
                if isinstance(result, BadImage):
                    index.note({image: result})
                    continue
                total += result.size
                if total > BUDGET_BYTES:
                    break
                index.add(image, result)
                stream.write(np.ascontiguousarray(result).data)
        if total > BUDGET_BYTES:
            (folder / "pixels").unlink()
            index = Index.empty(count)
            index.bad[-1] = "above the budget"
        return index

    decoded = _kept(images, "ragged", build, images.read)
    if decoded is not None and -1 in decoded.bad:
        raise AboveBudget
    return decoded


def examined(images: ImageSource, workers: int, *, use_cache: bool = True) -> dict[int, str]:
    """Decode every image in full and keep nothing of it; return position -> reason of those that fail.

    The answer is cached: images that stay as they are, are examined once.
    """

    def build(_: Path) -> Index:
        index = Index.empty(len(images))
        index.note(_failures(len(images), lambda image: _decoded(images, image, index.contents), workers))
        return index

    if use_cache and (decoded := _kept(images, "examined", build, images.read)) is not None:
        return decoded.bad
    return examine(images, workers)[0]


def examine(
    images: ImageSource, workers: int, contents: npt.NDArray[np.uint8] | None = None
) -> tuple[dict[int, str], int]:
    """Decode every image in full; return position -> reason of those that fail, and the size of the others in bytes.

    Args:
        images: what is decoded.
        workers: threads.
        contents: uint8 (N, 32), filled with the SHA-256 of the encoded images.
    """
    sizes = np.zeros(len(images), np.int64)
    hashes = Index.empty(len(images)).contents if contents is None else contents

    def one(image: int) -> None:
        sizes[image] = _decoded(images, image, hashes).size

    bad = _failures(len(images), one, workers)
    return {image: error.reason for image, error in bad.items()}, int(sizes.sum())


def contents(images: ImageSource, workers: int) -> npt.NDArray[np.uint8]:
    """Return the SHA-256 of the encoded bytes of each image: uint8 (N, 32), zeros where they cannot be read.

    What another entry of the cache was decoded from is known from there; else every image is read.
    """
    count, key = len(images), entry_key(images.key(), _CONTENTS)
    index = decode_cache().read(key, lambda path: Index.read(path, count, key))
    if index is None:
        index = Index.empty(count)
        made = index
        index.note(_failures(count, lambda image: _hashed(images, image, made.contents), workers))
        if not index.passing:
            decode_cache().write(key, lambda path: made.write(path, key))
    return index.contents


def _decoded(images: ImageSource, image: int, contents: npt.NDArray[np.uint8]) -> Pixels:
    return decode_bytes(_hashed(images, image, contents), images.where(image))


def _hashed(images: ImageSource, image: int, contents: npt.NDArray[np.uint8]) -> bytes:
    data = images.encoded(image)
    contents[image] = np.frombuffer(hashlib.sha256(data).digest(), np.uint8)
    return data


def _failures(count: int, work: Callable[[int], object], workers: int) -> dict[int, BadImage]:
    """Call work(0) … work(count - 1) in threads; return position -> error of those that raised BadImage."""

    def one(image: int) -> BadImage | None:
        try:
            work(image)
        except BadImage as error:
            return error.with_traceback(None)
        return None

    errors = in_order(range(count), one, workers, in_flight=max(count, 1))
    return {image: error for image, error in enumerate(errors) if error is not None}


def _or_bad(work: Callable[[int], Pixels]) -> Callable[[int], Pixels | BadImage]:
    def one(image: int) -> Pixels | BadImage:
        try:
            return work(image)
        except BadImage as error:
            return error

    return one


def by_reason(split: Split, bad: dict[int, str]) -> list[str]:
    """Return the images that cannot be used, with reasons, given position -> reason.

    Up to 20 images of one reason are named one by one, to be repaired. Of more, and of those of a shard that could not
    be had, the first is named, and how many follow.
    """
    alike: dict[str, list[int]] = {}
    for index, reason in sorted(bad.items()):
        alike.setdefault(reason, []).append(index)
    named = []
    for reason, places in alike.items():
        alone = len(places) > _NAMED_EACH or reason.startswith(FetchFailure.WORDS)
        shown, left = (places[:1], len(places) - 1) if alone else (places, 0)
        more = f" and {left:,} more" if left else ""
        named += [f"{split.where(index)}{more} ({reason})" for index in shown]
    return named


def are_unfetched(bad: dict[int, str]) -> bool:
    """Return whether all these images, position -> reason, did not come over the network."""
    return all(reason.startswith(FetchFailure.WORDS) for reason in bad.values())


def refusal(*parts: tuple[Split, dict[int, str]]) -> InputError:
    """Return the error that names the files of every part that do not decode, given position -> reason."""
    sentences = []
    for split, bad in parts:
        sentences.append(
            f"{len(bad)} of {counted(len(split), 'image')} of the {split.name} part cannot be "
            f"{'fetched' if are_unfetched(bad) else 'decoded'}: {some(by_reason(split, bad), 20)}"
        )
    # Nothing would be left of a part that is skipped as a whole.
    skip = all(len(bad) < len(split) for split, bad in parts)
    if all(are_unfetched(bad) for _, bad in parts):
        return InputError(
            "; ".join(sentences),
            "shards that can be fetched from here",
            "Check the address, and repeat the command: what was fetched is kept"
            + "; or set on_bad='skip' to leave these images out" * skip,
        )
    return InputError(
        "; ".join(sentences),
        "images that decode completely",
        "Repair or delete them (`residua check DATA` lists all)" + ", or set on_bad='skip' to leave them out" * skip,
    )


def _kept(
    images: ImageSource, target: str, build: Callable[[Path], Index], again: Callable[[int], Pixels]
) -> DecodedImages | None:
    """Return an entry; one that is absent or damaged is built first. None where it cannot be kept."""
    source = images.key()
    key, hashes = entry_key(source, target), entry_key(source, _CONTENTS)

    def built(folder: Path) -> None:
        index = build(folder)
        if index.passing:
            raise _Passing
        index.write(folder / INDEX, key)
        # Known now at no cost: later the hashes alone are asked for.
        if -1 not in index.bad:
            only = Index(index.sizes * 0, index.checksums * 0, index.contents)
            decode_cache().write(hashes, lambda path: only.write(path, hashes))

    try:
        return decode_cache().read_or_build(key, lambda folder: load(folder, len(images), again), built)
    except _Passing:
        return None


def _allocate(path: Path, shape: tuple[int, ...]) -> Pixels:
    array: Pixels = np.memmap(path, np.uint8, "w+", shape=shape)
    # A hole in a mapped file kills the process when the disk is full; a refused allocation is an ordinary
    # error. Systems without the call (macOS) keep the hole.
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
    return array


def entry_key(source: str, target: str) -> str:
    """Return 32 hexadecimal digits of what is kept: the key of the images, and what was made of them."""
    return hashlib.sha256(f"{_FORMAT}\0{target}\0{source}".encode()).hexdigest()[:32]
