"""Tar files in WebDataset's layout: KEY.jpg beside KEY.cls or KEY.json, read in place."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from residua._base.errors import InputError
from residua.data import decode as decoding
from residua.data.decode import FORMATS, MAX_FILE_BYTES, BadImage, Pixels, decode_bytes
from residua.data.file_identity import identities
from residua.data.image_source import Indices

_LABELS = (".cls", ".json")
_FIELDS = ("label", "cls", "class")
_LARGEST_LABEL = 1 << 20  # bytes of a .cls or .json: its text is held in memory
Numbers = npt.NDArray[np.int64]


@dataclass
class Members:
    """The labelled images of one tar file, in its order.

    Attributes:
        names: of the images within the file.
        labels: their labels as texts, as the file states them: numbers, or names of classes.
        offsets: of the images' bytes.
        sizes: bytes.
        unlabelled: names of images without a label.
    """

    names: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    unlabelled: list[str] = field(default_factory=list)


def read_members(path: Path) -> Members:
    """List the images of a tar file with their labels; no image is read.

    What belongs together stands side by side, under one key: the name up to its first dot. The first image under a key
    counts. Its label is the text of KEY.cls, or `label`, `cls` or `class` of KEY.json; without either it is the folder
    that the image stands in.

    Raises:
        InputError: no tar file, a compressed one, one that is cut off, or a label that is none.
    """
    members, size = Members(), path.stat().st_size
    image: tuple[str, int, int] | None = None
    key, label = "", ""

    def end() -> None:
        if image is None:
            return
        text = label or PurePosixPath(image[0]).parent.name
        if not text:
            members.unlabelled.append(image[0])
            return
        name, offset, count = image
        members.names.append(name)
        members.offsets.append(offset)
        members.sizes.append(count)
        members.labels.append(text)

    try:
        with tarfile.open(path, "r:") as archive:
            for entry in archive:
                if not entry.isfile():
                    continue
                if entry.offset_data + entry.size > size:
                    raise _damaged(path, f"it ends within {entry.name}")
                at, extension = _key(entry.name)
                if at != key:
                    end()
                    key, label, image = at, "", None
                if extension in FORMATS and image is None:
                    image = (entry.name, entry.offset_data, entry.size)
                elif extension in _LABELS and not (label and extension == ".json"):
                    label = _label(archive, entry, extension, path)
            _check_end(path, archive)
        end()
    except InputError:  # a ValueError too, that names the file already
        raise
    except (tarfile.TarError, EOFError, ValueError, RecursionError, OSError) as error:
        raise _damaged(path, str(error) or type(error).__name__) from None
    return members


def _check_end(path: Path, archive: tarfile.TarFile) -> None:
    """Refuse a file that goes on where the reader stopped: it takes a damaged header for the end."""
    with path.open("rb") as stream:
        stream.seek(archive.offset)
        if any(stream.read(tarfile.BLOCKSIZE)):
            raise _damaged(path, f"the header at byte {archive.offset:,} is damaged")


def _key(name: str) -> tuple[str, str]:
    """Return the key of a member and its extension: a/b.seg.png -> a/b, .png."""
    folder, _, file = name.rpartition("/")
    stem, _, rest = file.partition(".")
    return f"{folder}/{stem}", f".{rest.rpartition('.')[2].lower()}"


def _label(archive: tarfile.TarFile, entry: tarfile.TarInfo, extension: str, path: Path) -> str:
    stream = archive.extractfile(entry)
    content = b"" if stream is None or entry.size > _LARGEST_LABEL else stream.read()
    if extension == ".cls":
        text = content.decode("utf-8", "replace").strip()
    else:
        document = json.loads(content)
        values = [document[name] for name in _FIELDS if name in document] if isinstance(document, dict) else []
        text = str(values[0]).strip() if values and isinstance(values[0], int | str) else ""
    if extension == ".cls" and not text:
        raise InputError(f"{path}: {entry.name} is empty or too long", "a number or the name of a class", "Correct it")
    return text


def _damaged(path: Path, reason: str) -> InputError:
    if _begins(path, b"\x1f\x8b"):
        return InputError(
            f"{path}, which is compressed: single images cannot be read from it",
            "a plain tar file",
            f"Unpack it first: gunzip {path.name}",
        )
    return InputError(
        f"{path}, which cannot be read to its end: {reason}", "a whole tar file", "Fetch or pack it again"
    )


def _begins(path: Path, magic: bytes) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(magic)) == magic


class TarImages:
    """Encoded images in tar files, each read in place.

    Args:
        files: the tar files.
        shards: int64 (N,), the file of each image by its position in `files`.
        offsets: int64 (N,), where its bytes begin.
        sizes: int64 (N,), how many they are.
        names: of the images within their files.
    """

    pixels = None

    def __init__(
        self, files: Sequence[Path], shards: Numbers, offsets: Numbers, sizes: Numbers, names: Sequence[str]
    ) -> None:
        self._files, self._names = tuple(files), list(names)
        self._shards, self._offsets, self._sizes = shards, offsets, sizes

    def __len__(self) -> int:
        return len(self._names)

    @property
    def shard_counts(self) -> Numbers | None:
        """Images per file, int64 (S,); None where they do not stand in the order of the files."""
        if np.any(np.diff(self._shards) < 0):
            return None
        return np.bincount(self._shards, minlength=len(self._files)).astype(np.int64)

    def prepare(self, shards: Numbers) -> None:
        """Do nothing: the files are there."""

    def read(self, index: int) -> Pixels:
        """See `ImageSource.read`."""
        return decode_bytes(self.encoded(index), self.where(index))

    def encoded(self, index: int) -> bytes:
        """See `ImageSource.encoded`."""
        size, name = int(self._sizes[index]), self.where(index)
        if size > MAX_FILE_BYTES:
            raise BadImage(name, f"{size:,} bytes; at most {MAX_FILE_BYTES:,} are read")
        try:
            with self._files[self._shards[index]].open("rb") as stream:
                stream.seek(int(self._offsets[index]))
                content: bytes = stream.read(size)
        except OSError as error:
            raise BadImage(name, f"cannot be read ({error.strerror})") from None
        if len(content) < size:
            raise BadImage(name, "its tar file ends within it")
        return content

    def where(self, index: int) -> str:
        """Return the path of the tar file with the name of image `index` behind it."""
        return f"{self._files[self._shards[index]]}{os.sep}{self._names[index]}"

    def least_bytes(self) -> int:
        """Return the size of all encoded images."""
        return int(self._sizes.sum())

    def key(self) -> str:
        """Return a hash of what identifies the content of each file, of the images' places, and of the decoder."""
        digest = hashlib.sha256(f"tar\0{decoding.VERSION}".encode())
        for identity in identities(self._files):
            digest.update(identity)
        for values in (self._shards, self._offsets, self._sizes):
            digest.update(values.astype("<i8").tobytes())
        return digest.hexdigest()

    def subset(self, indices: Indices) -> TarImages:
        """See `ImageSource.subset`."""
        names = [self._names[index] for index in indices]
        return TarImages(self._files, self._shards[indices], self._offsets[indices], self._sizes[indices], names)
