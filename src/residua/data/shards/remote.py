"""Packed data sets behind an address: http and https by ourselves, everything else through fsspec."""

from __future__ import annotations

import hashlib
import re
import urllib.parse
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from residua._base.errors import Damaged, InputError
from residua._base.files import atomic_path, sha256_file
from residua._base.packages import package
from residua._base.places import distrust, make_private
from residua._base.public import public_address
from residua._base.web.download import Pace, RemoteFile, fetch, missing_offline
from residua._base.web.http import ERRORS, Patience, is_offline, open_url
from residua.data.dataset import Dataset
from residua.data.shards.fetched import FETCHED_FOLDER, FetchedShards
from residua.data.shards.files import PARQUET, SUFFIX
from residua.data.shards.index import INDEX_FILE, Index, Shard, read_index
from residua.data.shards.members import IndexFile
from residua.data.shards.open_packed import open_packed
from residua.data.shards.packed import ShardFiles
from residua.specs.fields import BadPolicy

_LARGEST_INDEX = 64 << 20  # bytes; `read_json` takes no more
_PIECE = 1 << 20  # bytes per read: one request of a range where the file system of fsspec makes such
_EXTRA = "remote"
_ROOTED = ("file", "local")  # schemes without a host: a path follows


def open_remote_tars(
    folder: RemoteFolder, index: Index, on_bad: BadPolicy = "refuse", *, partial: bool = False
) -> Dataset:
    """Open a folder of tar files that `residua pack` wrote and that was put behind an address.

    A shard is fetched whole when an image of it is first asked for. It is checked against its hash, and kept in the
    cache of this machine: a data set that fits there is fetched once.

    Args:
        folder: behind the address.
        index: of it.
        on_bad: see `open_packed`. Shards that cannot be had come to light later, as images that cannot be read.
        partial: see `open_packed`.

    Raises:
        InputError: an index without labels and places of the images; as `open_packed`.
    """
    if not index.parts:
        raise InputError(
            f"{folder.location}/{INDEX_FILE}, which states no labels and places of the images",
            "an index that residua pack wrote",
            "Pack it: residua pack DATA --out FOLDER, and put that folder there",
        )
    return open_packed(folder.location, index, folder, on_bad, partial=partial)


class RemoteFolder:
    """A packed data set behind an address.

    Raises:
        InputError: the address is that of one file, or has a user, a query or a fragment; fsspec is not installed.
    """

    def __init__(self, url: str) -> None:
        text = _unmerged(str(url))
        text = text.removesuffix(INDEX_FILE)
        parts = urllib.parse.urlsplit(text)
        if parts.path.endswith((PARQUET, SUFFIX)):
            raise InputError(
                f"the address {public_address(text)} of one file, whose hash no index states",
                "the address of a folder that residua pack wrote",
                "Download the file and name it; or pack it, and put that folder there",
            )
        if parts.username or parts.query or parts.fragment:
            raise InputError(
                f"the address {public_address(text)} with a user, a query or a fragment",
                "the address of a folder of shards",
                "Leave it out: run records state the address, and secrets must not stand there",
            )
        self.location = text if text.endswith("://") else text.rstrip("/")
        web = parts.scheme in ("http", "https")
        source: Source = WebSource(self.location) if web else FileSystemSource(self.location)
        self._source, self._folder = source, FETCHED_FOLDER.of(self.location)
        self.shards: ShardFiles = FetchedShards(self.location, source, self._folder)

    def index(self) -> Index:
        """Fetch and read the index.

        Raises:
            InputError: it is not there, or is none by `residua pack`.
        """
        kept = self._folder / INDEX_FILE
        if is_offline() and not kept.is_file():
            raise missing_offline(f"{self.location}/{INDEX_FILE}", kept)
        try:
            content = None if is_offline() else self._source.read(INDEX_FILE, _LARGEST_INDEX)
        except InputError as error:
            offline = "; or set RESIDUA_OFFLINE=1 to use what was fetched before" * kept.is_file()
            raise InputError(error.given, error.wanted, error.remedy + offline) from None
        make_private(self._folder)
        if reason := distrust(self._folder):
            raise InputError(
                f"{self._folder}, which is not used: {reason}", "a folder of yours", "Set $RESIDUA_CACHE to one"
            )
        if content is not None:
            with atomic_path(kept) as path:
                path.write_bytes(content)
        try:
            index = read_index(self._folder)
        except Damaged as error:
            raise InputError(f"{self.location}/{INDEX_FILE}: {error.reason}", "an index", "Check the address") from None
        if index is None:
            raise InputError(
                f"{self.location}/{INDEX_FILE}, which is no index by residua pack",
                "shards that it wrote, tar or parquet",
                "Pack it: residua pack DATA --out FOLDER, and put that folder there",
            )
        return index

    def faults(self, shards: tuple[Shard, ...]) -> dict[str, str]:
        """Return {}: nothing is known before a shard is fetched."""
        return {}

    def index_file(self, file: IndexFile | Shard) -> Path:
        """See `PackedFolder.index_file`: a file that the index states, fetched whole."""
        return self._source.fetch(file, self._folder)


def _unmerged(address: str) -> str:
    """Return an address with the slashes that a path merges into one: s3:/a of s3://a, file:/a of file:///a."""
    merged = re.match("([A-Za-z][A-Za-z0-9+.-]*):/(?!/)", address)
    if merged is None:
        return address
    slashes = "///" if merged[1].lower() in _ROOTED else "//"
    return f"{merged[1]}:{slashes}{address[merged.end() :]}"


class Source(ABC):
    """Files behind an address."""

    def __init__(self, base: str) -> None:
        self.base = base

    def read(self, name: str, most: int) -> bytes:
        """Return the content of a small file.

        Raises:
            InputError: it cannot be had, or is larger than `most` bytes.
        """
        patience = Patience()
        while True:
            try:
                content = self.once(name, most)
                break
            except ERRORS as error:
                try:
                    patience.endure(error)
                except ERRORS:
                    raise _unavailable(f"{self.base}/{name}", error) from None
        if len(content) > most:
            raise InputError(f"{self.base}/{name} of more than {most:,} bytes", "an index", "Check the address")
        return content

    @abstractmethod
    def once(self, name: str, most: int) -> bytes:
        """Return up to most + 1 bytes of a file, by one attempt."""

    @abstractmethod
    def fetch(self, file: IndexFile | Shard, folder: Path) -> Path:
        """Return a whole copy of a file, with the size and the hash that the index states, in a local folder.

        Raises:
            InputError: it cannot be had, is cut off, or has another hash.
        """


class WebSource(Source):
    """Files of a web server. A transfer that broke off goes on by a range; where there are none, it starts again."""

    def once(self, name: str, most: int) -> bytes:
        """See `Source.once`."""
        with open_url(f"{self.base}/{urllib.parse.quote(name)}") as answer:
            content: bytes = answer.read(most + 1)
            return content

    def fetch(self, file: IndexFile | Shard, folder: Path) -> Path:
        """See `Source.fetch`."""
        remote = RemoteFile(f"{self.base}/{urllib.parse.quote(file.url)}", file.sha256, file.filesize)
        return fetch(remote, folder)


class FileSystemSource(Source):
    """Files that fsspec opens: object stores and others, each by a package of its own."""

    def __init__(self, base: str) -> None:
        super().__init__(base)
        self._system: Any = None
        self._open()

    def __getstate__(self) -> dict[str, Any]:
        return {"base": self.base, "_system": None}

    def _open(self) -> Any:
        if self._system is None:
            fsspec = package("fsspec", _EXTRA)
            try:
                self._system, self._root = fsspec.core.url_to_fs(self.base)
            except (ImportError, ValueError, OSError) as error:
                raise InputError(
                    f"{self.base}, which fsspec cannot open: {error}",
                    "an address of http, https, or of a file system that fsspec has",
                    "Check the address; s3:// needs pip install s3fs, and gs:// pip install gcsfs",
                ) from None
        return self._system

    def once(self, name: str, most: int) -> bytes:
        """See `Source.once`."""
        with self._stream(name) as stream:
            content: bytes = stream.read(most + 1)
            return content

    def fetch(self, file: IndexFile | Shard, folder: Path) -> Path:
        """See `Source.fetch`."""
        path, patience = folder / file.url, Patience()
        if path.is_file() and path.stat().st_size == file.filesize and sha256_file(path) == file.sha256:
            return path
        if is_offline():
            raise missing_offline(f"{self.base}/{file.url}", path)
        while True:
            try:
                self._copy(file, path)
                return path
            except ERRORS as error:
                try:
                    patience.endure(error)
                except ERRORS:
                    raise _unavailable(f"{self.base}/{file.url}", error) from None

    def _copy(self, file: IndexFile | Shard, path: Path) -> None:
        with atomic_path(path) as beside:
            digest, size, pace = hashlib.sha256(), 0, Pace(0)
            with self._stream(file.url) as stream, beside.open("wb") as out:
                while piece := stream.read(_PIECE):
                    out.write(piece)
                    digest.update(piece)
                    size += len(piece)
                    pace.check(size)
            if (size, digest.hexdigest()) != (file.filesize, file.sha256):
                raise InputError(
                    f"{self.base}/{file.url} of {size:,} bytes with SHA-256 {digest.hexdigest()[:12]}",
                    f"{file.filesize:,} bytes with SHA-256 {file.sha256[:12]}, as the index states",
                    "Put the packed file there again",
                )

    def _stream(self, name: str) -> Any:
        system = self._open()
        try:
            return system.open(f"{self._root.rstrip('/')}/{name}", "rb")
        except (FileNotFoundError, PermissionError) as error:
            raise _unavailable(f"{self.base}/{name}", error) from None


def _unavailable(name: str, error: BaseException) -> InputError:
    return InputError(
        f"{name} could not be read ({error or type(error).__name__})",
        "a file that residua pack wrote",
        "Check the address, and that it can be read from here",
    )
