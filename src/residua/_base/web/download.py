"""Fetch a file once: resumed after an interruption, used only when its hash is the expected one."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import time
import urllib.error
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from residua._base.console import Progress
from residua._base.errors import InputError
from residua._base.files import read_regular, sync
from residua._base.lock import waiting
from residua._base.public import public_address
from residua._base.web.http import ERRORS, Patience, Refused, is_offline, number_in, open_url, require_http

_PIECE = 1 << 18  # bytes per read: large enough for a fast line, small enough for a smooth bar
_LARGEST = 1 << 36  # 64 GiB: where a server announces no length, a download ends there
_ROOM = 1 << 20  # bytes left free, for notes and locks beside the file
_LONGEST_NAME = 200  # bytes: file systems allow 255, and ".part.etag" comes behind
_LONGEST_TAG = 1000  # bytes of an ETag; servers send some 70
# A slower download is given up: while single bytes arrive, no read of it ever times out.
_SLOWEST_BYTES_PER_SECOND = 1024
_SLOW_SECONDS = 60


@dataclass(frozen=True)
class RemoteFile:
    """A file on the network, and how to recognise it.

    Attributes:
        url: its address.
        digest: its hash, hexadecimal: all digits, or the first 8 or more.
        size: its length, bytes; None where that is not known.
        kind: "sha256" of the bytes, or "git": the SHA-1 that git names the file by.
        token: a bearer token for the host of `url`.
        remedy: what to do when it cannot be downloaded.
    """

    url: str
    digest: str
    size: int | None = None
    kind: Literal["sha256", "git"] = "sha256"
    token: str = field(default="", repr=False)
    remedy: str = "Repeat the command to continue"

    def __post_init__(self) -> None:
        require_http(self.url)
        most = 64 if self.kind == "sha256" else 40
        if not re.fullmatch(f"[0-9a-f]{{8,{most}}}", self.digest):
            raise InputError(
                f"the hash {self.digest!r} of {self.public_url}",
                f"8 to {most} hexadecimal digits, lower case",
                "Check the hash: `sha256sum FILE` prints it",
            )

    @property
    def public_url(self) -> str:
        """Return the address for messages: without user part and query, which may be secret."""
        return public_address(self.url)

    @property
    def file_name(self) -> str:
        """Return the last part of the address."""
        name = urllib.parse.unquote(urllib.parse.urlsplit(self.url).path).rsplit("/", 1)[-1]
        usable = name.isprintable() and name not in ("", ".", "..") and len(name.encode()) <= _LONGEST_NAME
        return name if usable else "download"


def verify(path: Path, remote: RemoteFile) -> None:
    """Compare the size and the hash of a file with those of `remote`.

    Raises:
        InputError: one of them differs.
    """
    if mismatch := _mismatch(path, remote):
        raise InputError(
            f"{path} is not the official {remote.file_name}: it has {mismatch[0]}",
            mismatch[1],
            f"Delete it; it is then downloaded again from {remote.public_url}",
        )


def fetch(remote: RemoteFile, folder: Path, progress: Progress | None = None) -> Path:
    """Download `remote` into `folder` and return its path; a file that is there is verified and used.

    A part left by an earlier attempt is continued, unless the file on the server has changed since. Where several
    processes ask at once, one downloads and the others wait.

    Raises:
        InputError: offline; no connection, or a very slow one; no space, or what arrived is not the file.
    """
    path = folder / remote.file_name
    # Before the lock: a folder on a read-only file system still serves what it holds.
    if path.exists() and not _mismatch(path, remote):
        return path
    folder.mkdir(parents=True, exist_ok=True)
    part = _Part(folder / f"{remote.file_name}.part")
    with waiting(folder / f"{remote.file_name}.lock"):
        if path.exists():
            if not _mismatch(path, remote):
                return path
            if is_offline():
                verify(path, remote)
            path.unlink()
        if is_offline():
            raise missing_offline(remote.public_url, path)
        try:
            _download(remote, part, progress)
        except ERRORS as error:
            raise _unavailable(remote, folder, error) from None
        sync(part.path)
        os.replace(part.path, path)
        part.remove()
        sync(folder)
    return path


def missing_offline(url: str, path: Path) -> InputError:
    """Return the error for a file that is not in the cache while the network is forbidden."""
    return InputError(
        f"{url} is not in the cache, and RESIDUA_OFFLINE or HF_HUB_OFFLINE forbids the network",
        f"the file at {path}",
        "Put it there, or repeat the command once with the network allowed",
    )


class _Part:
    """A file that has arrived in part, and the server's tag of that version of it."""

    def __init__(self, path: Path) -> None:
        self.path, self._note = path, path.with_name(path.name + ".etag")

    @property
    def held(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def validator(self) -> str:
        """The tag of the version, "" where none that a header can hold is noted."""
        try:
            text = read_regular(self._note, _LONGEST_TAG).decode("ascii")
        except ValueError:  # absent, or damaged: `Damaged` is one
            return ""
        return text if text.isprintable() else ""

    def begin(self, validator: str) -> None:
        """Start an empty file."""
        self.path.write_bytes(b"")
        if validator:
            self._note.write_text(validator)
        else:
            self._note.unlink(missing_ok=True)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)


class Pace:
    """How fast bytes arrive, measured once a minute."""

    def __init__(self, held: int) -> None:
        self._held, self._since = held, time.monotonic()

    def check(self, held: int) -> None:
        """Note how many bytes are held now.

        Raises:
            Refused: too little has arrived for too long.
        """
        seconds = time.monotonic() - self._since
        if seconds < _SLOW_SECONDS:
            return
        if (rate := (held - self._held) / seconds) < _SLOWEST_BYTES_PER_SECOND:
            raise Refused(
                f"the server sent {rate:,.0f} bytes per second for {seconds:,.0f} seconds; what arrived is kept"
            )
        self._held, self._since = held, time.monotonic()


def _download(remote: RemoteFile, part: _Part, progress: Progress | None) -> None:
    patience, most, mixed = Patience(), part.held, False
    while True:
        try:
            pieced = _continue(remote, part, progress)
        except ERRORS as error:
            beyond = (
                isinstance(error, urllib.error.HTTPError)
                and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
            )
            # The server has no more to send, though it announced more: what arrived may be the whole file.
            if (beyond or remote.size is None) and part.held and not _mismatch(part.path, remote):
                return
            if beyond and part.held and not mixed:
                mixed, most = True, 0
                part.remove()
                continue
            if part.held > most:
                most = part.held
                patience.progress()
            patience.endure(error)
            continue
        mismatch = _mismatch(part.path, remote)
        if not mismatch:
            return
        part.remove()
        if mixed or not pieced:
            raise InputError(
                f"what {remote.public_url} sent has {mismatch[0]}",
                mismatch[1],
                "The file has changed on the server, or the hash is mistyped; nothing was kept",
            )
        # Pieces of two versions, from a server that tags neither: download once more from the start.
        mixed, most = True, 0


def _continue(remote: RemoteFile, part: _Part, progress: Progress | None) -> bool:
    """Receive what is missing; return whether a part was there before."""
    held = part.held
    if remote.size is not None and held > remote.size:
        part.remove()
        held = 0
    if held and held == remote.size:
        return True
    headers = {"Range": f"bytes={held}-"} if held else {}
    if held and part.validator:
        headers["If-Range"] = part.validator
    with open_url(remote.url, headers=headers, token=remote.token) as answer:
        resumed = held > 0 and answer.status == http.HTTPStatus.PARTIAL_CONTENT and _continues(answer, held, part)
        if answer.status == http.HTTPStatus.PARTIAL_CONTENT and not resumed:
            part.remove()
            raise http.client.HTTPException("the server sent a different part than the one requested")
        if not resumed:
            # A server that ignores the range, or has a new version, sends everything from the start.
            held = 0
            part.begin(_validator(answer))
        total = remote.size if remote.size is not None else _announced(answer, held)
        _require_room(part.path, (total or held) - held)
        pace = Pace(held)
        # Not `read`, which waits for a whole piece, however long that takes.
        with part.path.open("ab") as stream:
            while piece := answer.read1(_PIECE):
                stream.write(piece)
                held += len(piece)
                pace.check(held)
                if progress is not None:
                    progress(held, total or 0)
                if held > (_LARGEST if total is None else total):
                    break
    if total is not None and held < total:
        raise http.client.IncompleteRead(b"", total - held)
    return resumed


def _continues(answer: Any, held: int, part: _Part) -> bool:
    """Return whether a response continues where the part ends, with the same version of the file."""
    content_range = re.match(r"bytes ([0-9]{1,18})-", answer.headers.get("Content-Range") or f"bytes {held}-")
    same = not part.validator or not _validator(answer) or _validator(answer) == part.validator
    return content_range is not None and int(content_range[1]) == held and same


def _announced(answer: Any, held: int) -> int | None:
    length = number_in(answer.headers.get("Content-Length"))
    return None if length is None else held + length


def _validator(answer: Any) -> str:
    """Return the value for If-Range: a strong tag or the time of the last change (RFC 9110, section 13.1.5)."""
    tag = answer.headers.get("ETag") or ""
    return tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified") or ""


def _require_room(path: Path, wanted: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if free < wanted + _ROOM:
        raise Refused(f"it needs {wanted / 1e6:,.1f} MB more, and {free / 1e6:,.1f} MB are free")


def _mismatch(path: Path, remote: RemoteFile) -> tuple[str, str] | None:
    """Return (found, wanted) of the first property that differs, None where the file is the right one."""
    size = path.stat().st_size
    if remote.size is not None and size != remote.size:
        return f"{size} bytes", f"{remote.size} bytes"
    digest = _digest(path, size, remote.kind)
    name = "SHA-256" if remote.kind == "sha256" else "git's SHA-1"
    return None if digest.startswith(remote.digest) else (f"{name} {digest}", f"{name} {remote.digest}")


def _digest(path: Path, size: int, kind: str) -> str:
    digest = hashlib.sha256() if kind == "sha256" else hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _unavailable(remote: RemoteFile, folder: Path, error: BaseException) -> InputError:
    size = "" if remote.size is None else f", {remote.size / 1e6:.0f} MB,"
    # What Residua records of an address lacks its user and its query, without which a private file is refused.
    refused = isinstance(error, urllib.error.HTTPError) and error.code in (401, 403, 404)
    remedy = "Give the whole address again, its query included" if refused else remote.remedy
    return InputError(
        f"{remote.public_url} could not be downloaded ({error or type(error).__name__})",
        f"{remote.file_name}{size} in {folder}",
        f"{remedy}, or put the file there",
    )
