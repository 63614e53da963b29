"""Images that are read one by one, wherever they come from."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from residua.data import decode as decoding
from residua.data.decode import Pixels, decode_bytes, read
from residua.data.file_identity import identities

Indices = npt.NDArray[np.int64]


class ImageSource(Protocol):
    """A sequence of images.

    Everything that trains, evaluates or explains reads images through these methods only, so that a new kind of
    source needs no change elsewhere.
    """

    @property
    def pixels(self) -> Pixels | None:
        """All images as uint8 (N, H, W, 3) where they are decoded already, else None: each image is encoded."""
        ...

    def __len__(self) -> int:
        """Return the number of images, N."""
        ...

    def read(self, index: int) -> Pixels:
        """Decode image `index`: uint8 (H, W, 3), RGB.

        Raises:
            BadImage: it does not decode.
        """
        ...

    def encoded(self, index: int) -> bytes:
        """Return the bytes from which `read` decodes image `index`; for decoded images, their pixels.

        Raises:
            BadImage: they cannot be read.
        """
        ...

    def where(self, index: int) -> str:
        """Return the name of image `index` for people, or "" where only its position names it."""
        ...

    def least_bytes(self) -> int:
        """Return a lower bound of the size of all decoded images, found without decoding; bytes."""
        ...

    def key(self) -> str:
        """Return a hash of everything that the pixels depend on, as hexadecimal digits."""
        ...

    def subset(self, indices: Indices) -> ImageSource:
        """Return the images at `indices`, in that order."""
        ...


class FileImages:
    """Encoded images, one per file."""

    pixels = None

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = tuple(files)

    def __len__(self) -> int:
        return len(self.files)

    def read(self, index: int) -> Pixels:
        """See `ImageSource.read`."""
        return decode_bytes(self.encoded(index), self.where(index))

    def encoded(self, index: int) -> bytes:
        """See `ImageSource.encoded`."""
        return read(self.files[index])[0]

    def where(self, index: int) -> str:
        """Return the path of image `index`."""
        return str(self.files[index])

    def least_bytes(self) -> int:
        """Return the size of all files: an encoded photo is not larger than its pixels."""
        total = 0
        for file in self.files:
            with contextlib.suppress(OSError):
                total += os.stat(file).st_size
        return total

    def key(self) -> str:
        """Return a hash of what identifies the content of each file, and of the decoder's version."""
        digest = hashlib.sha256(f"files\0{decoding.VERSION}".encode())
        for identity in identities(self.files):
            digest.update(identity)
        return digest.hexdigest()

    def subset(self, indices: Indices) -> FileImages:
        """See `ImageSource.subset`."""
        return FileImages([self.files[index] for index in indices])


class ArrayImages:
    """Decoded images of one size.

    Args:
        pixels: uint8 (N, H, W, 3), RGB.
    """

    def __init__(self, pixels: Pixels) -> None:
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, index: int) -> Pixels:
        """See `ImageSource.read`."""
        image: Pixels = self.pixels[index]
        return image

    def encoded(self, index: int) -> bytes:
        """Return the pixels of image `index`, row by row."""
        return bytes(self.pixels[index].tobytes())

    def where(self, index: int) -> str:
        """Return "": an image of an array has a position only."""
        return ""

    def least_bytes(self) -> int:
        """Return the size of the array."""
        return self.pixels.nbytes

    def key(self) -> str:
        """Return a hash of shape and pixels."""
        digest = hashlib.sha256(f"array\0{self.pixels.shape}".encode())
        digest.update(np.ascontiguousarray(self.pixels).data)
        return digest.hexdigest()

    def subset(self, indices: Indices) -> ArrayImages:
        """See `ImageSource.subset`."""
        return ArrayImages(self.pixels[indices])
