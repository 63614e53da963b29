"""Fetch an archive once: resumed after an interruption, used only when its SHA-256 is the expected one."""

from __future__ import annotations

import fcntl
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from residua._base.errors import InputError
from residua._base.files import sha256_file

Progress = Callable[[int, int], None]
"""Called with (bytes so far, bytes in all)."""

_PIECE = 1 << 18
_TIMEOUT_SECONDS = 30
_ATTEMPTS = 4


@dataclass(frozen=True)
class Archive:
    """A file on the network.

    Attributes:
        url: where it is.
        sha256: what it must hash to, hexadecimal.
        size: its length, bytes.
    """

    url: str
    sha256: str
    size: int

    @property
    def file_name(self) -> str:
        """The last part of the address."""
        return self.url.rsplit("/", 1)[-1]


def data_folder(given: Path | None = None) -> Path:
    """Return `given`, else $RESIDUA_DATA, else ~/.cache/residua/data."""
    return given or Path(os.environ.get("RESIDUA_DATA") or Path.home() / ".cache/residua/data")


def verify(path: Path, archive: Archive) -> None:
    """Compare a file with what it should be.

    Raises:
        InputError: its size or its hash is another.
    """
    size = path.stat().st_size
    found = sha256_file(path) if size == archive.size else ""
    if found != archive.sha256:
        what = f"SHA-256 {found}" if found else f"{size} bytes"
        wanted = f"SHA-256 {archive.sha256}" if found else f"{archive.size} bytes"
        raise InputError(
            f"{path} is not the official {archive.file_name}: it has {what}",
            f"{wanted}",
            f"Delete it; it is then downloaded again from {archive.url}",
        )


def fetch(archive: Archive, folder: Path, progress: Progress | None = None) -> Path:
    """Download `archive` into `folder` and return its path; a part left by an earlier attempt is continued.

    Raises:
        InputError: no connection, no space, or what arrived is not the archive.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, part = folder / archive.file_name, folder / f"{archive.file_name}.part"
    with (folder / f"{archive.file_name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return path
        for attempt in range(_ATTEMPTS):
            try:
                _continue(archive, part, progress)
                break
            except (
                urllib.error.HTTPError,
                urllib.error.URLError,
                OSError,
                http.client.HTTPException,
            ) as error:
                lasting = isinstance(error, urllib.error.HTTPError) and error.code < 500
                if lasting or attempt == _ATTEMPTS - 1 or _no_space(error):
                    raise InputError(
                        f"{archive.url} could not be downloaded ({error})",
                        f"{archive.file_name}, {archive.size / 1e6:.0f} MB, in {folder}",
                        "Repeat the command to continue, or put the file there (--data-dir names the folder)",
                    ) from None
                time.sleep(2**attempt / 4)
        try:
            verify(part, archive)
        except InputError:
            # Continuing a wrong part could never succeed.
            part.unlink()
            raise
        os.replace(part, path)
    return path


def _continue(archive: Archive, part: Path, progress: Progress | None) -> None:
    held = part.stat().st_size if part.exists() else 0
    if held > archive.size:
        part.unlink()
        held = 0
    if held == archive.size:
        return
    request = urllib.request.Request(archive.url, headers={"Range": f"bytes={held}-"} if held else {})
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
        # A server that ignores the range sends everything from the start.
        resumed = held > 0 and answer.status == http.HTTPStatus.PARTIAL_CONTENT
        held = held if resumed else 0
        with part.open("ab" if resumed else "wb") as stream:
            while piece := answer.read(_PIECE):
                stream.write(piece)
                held += len(piece)
                if progress is not None:
                    progress(held, archive.size)
                if held > archive.size:
                    break
    if held < archive.size:
        raise http.client.IncompleteRead(b"", archive.size - held)


def _no_space(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno is not None and error.errno in (28, 122)
