"""What is asked for, as files and images in memory, lazily: paths, folders, bytes, arrays; and what gave no answer."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from PIL.Image import Image as PILImage

from residua._base.errors import InputError
from residua._base.files import check_name
from residua._base.public import is_address, public_address
from residua.data.listing import NO_DATA, LeftOut, walk
from residua.weights.run import Picture

Paths = Iterable[Path | str] | Path | str


Image = Picture | BinaryIO
"""An image: a path, encoded bytes, an open file, a Pillow image, or a uint8 array (H, W, 3) or (H, W)."""


@dataclass(frozen=True)
class BadFile:
    """A path that gave no answer.

    Attributes:
        path: the file or folder.
        reason: what is wrong with it, a phrase.
    """

    path: str
    reason: str


@dataclass(frozen=True)
class ImageFile:
    """An image to answer.

    Attributes:
        path: the file.
        root: the path that the user gave, the file itself or a folder above it.
        shown: what to call it, "" for the path.
        content: the image itself where there is no such file, or a function that returns its bytes.
    """

    path: Path
    root: Path
    shown: str = ""
    content: Picture | Callable[[], bytes] | None = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """Return what answers call it."""
        return self.shown or str(self.path)


Images = Iterable[Image | ImageFile | BadFile] | Image
"""One image or several; an array (N, H, W, 3) is several."""


def each_file(paths: Paths | Iterable[ImageFile | BadFile]) -> Iterable[Path | ImageFile | BadFile]:
    """Return one path, or several lazily; what `each_source` made of an address stays.

    Raises:
        InputError: something that is no path.
    """
    if isinstance(paths, str) or not isinstance(paths, Iterable):
        return [_path(paths)]
    return (each if isinstance(each, ImageFile | BadFile) else _path(each) for each in paths)


def each_path(paths: Paths) -> Iterable[Path]:
    """Return one path, or several lazily.

    Raises:
        InputError: something that is no path.
    """
    if isinstance(paths, str) or not isinstance(paths, Iterable):
        return [_path(paths)]
    return map(_path, paths)


def each_image(images: Images) -> Iterable[Path | ImageFile | BadFile]:
    """Return one image, or several lazily; those without a path are called "image N", counted from 0.

    Raises:
        InputError: something that is no image.
    """
    several = images.ndim == 4 if isinstance(images, np.ndarray) else isinstance(images, Iterable)
    if not several or isinstance(images, str | bytes) or hasattr(images, "read"):
        return [_image(images, 0)]
    return itertools.starmap(lambda number, image: _image(image, number), enumerate(cast(Iterable[Any], images)))


def _image(image: Any, number: int) -> Path | ImageFile | BadFile:
    if isinstance(image, ImageFile | BadFile):
        return image
    if hasattr(image, "read"):
        name = getattr(image, "name", "")
        shown = name if isinstance(name, str) and name else f"image {number}"
        content = image.read()
        if not isinstance(content, bytes):
            raise InputError(f"the open file {shown}", "a file opened to read bytes", "Open it with mode 'rb'")
        return ImageFile(Path(shown), Path(shown), shown, content)
    if isinstance(image, bytes | PILImage | np.ndarray):
        shown = f"image {number}"
        return ImageFile(Path(shown), Path(shown), shown, image)
    return _path(image)


def listed(paths: object) -> Sequence[Path | str]:
    """Return the paths where they can be looked at without taking any from an iterator, else ()."""
    if isinstance(paths, str | Path):
        return [paths]
    if not isinstance(paths, Sequence) or isinstance(paths, bytes):
        return ()
    return [each for each in paths if isinstance(each, str | Path)]


def _path(value: Path | str) -> Path:
    check_name("path", value)
    return Path(value)


def image_files(paths: Iterable[Path | ImageFile | BadFile]) -> Iterator[ImageFile | BadFile]:
    """Yield the files given and the images under the folders given, in order, and every path that is neither."""
    for path in paths:
        if not isinstance(path, Path):
            yield path
            continue
        try:
            folder, there = path.is_dir(), path.exists()
        except OSError as error:
            yield BadFile(str(path), f"cannot be read ({error.strerror})")
            continue
        if folder:
            yield from _walk(path)
        elif there:
            yield ImageFile(path, path)
        elif is_address(path):
            yield BadFile(public_address(str(path)), "an address; download the image first")
        else:
            yield BadFile(str(path), "no such file or folder")


def _walk(folder: Path) -> Iterator[ImageFile | BadFile]:
    """Yield the images below a folder and what cannot be read; warn of what is no image, with counts."""
    count, passed = 0, LeftOut()
    for entry in walk(folder):
        if entry.kind == "image":
            count += 1
            yield ImageFile(Path(entry.path), folder)
        elif entry.kind in NO_DATA:
            passed.add(entry)
        else:
            count += 1
            reason = f"cannot be read ({entry.detail})" if entry.kind == "unusable file" else entry.detail
            yield BadFile(entry.path, reason)
    if sentences := passed.sentences():
        warnings.warn(f"{folder}: {'; '.join(sentences)}.", stacklevel=2)
    if not count:
        yield BadFile(str(folder), "a folder without images")
