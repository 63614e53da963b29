"""Files of the Hugging Face Hub, or of a server in its place: named by content, kept by content.

The protocol is that of the Hub's own documentation: `GET {endpoint}/{repo}/resolve/{revision}/{file}`. The headers of
the answer, or of its redirect to a store, state the commit (X-Repo-Commit) and what the file must hash to. Large files
have X-Linked-Etag, a SHA-256, and X-Linked-Size; small ones ETag, the SHA-1 that git names them by.
"""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.parse
from pathlib import Path
from typing import Literal, TypedDict

from residua._base.console import BYTES, progress_bar
from residua._base.errors import Damaged, InputError
from residua._base.files import write_text
from residua._base.json_file import read_json
from residua._base.lock import waiting
from residua._base.places import cache_root
from residua._base.public import public_address
from residua._base.web.download import RemoteFile, fetch
from residua._base.web.http import ERRORS, Head, head, is_offline, number_in, require_http

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_ADDRESS = re.compile(rf"({_NAME}/{_NAME}|{_NAME})(?:@([A-Za-z0-9._/-]+))?")


class _Known(TypedDict):
    digest: str
    kind: Literal["sha256", "git"]
    size: int | None


class _Notes(TypedDict):
    commit: str
    files: dict[str, _Known | None]


class Repository:
    """A repository of the Hub at one revision: all its files are taken from one commit.

    Args:
        text: "org/repo" or "org/repo@revision", a branch, a tag or a commit.

    Raises:
        InputError: `text` is neither.
    """

    def __init__(self, text: str) -> None:
        match = _ADDRESS.fullmatch(text.rstrip("/"))
        if match is None or ".." in text:
            raise InputError(
                f"the repository {text!r}", "hf://ORG/REPO or hf://ORG/REPO@REVISION", "Check the name on the Hub"
            )
        self.name, self.revision = match[1], match[2] or "main"
        self._commit = ""

    def fetch(self, name: str) -> Path | None:
        """Return the file of that name in the cache, downloaded where absent; None: the repository has none.

        Raises:
            InputError: no such repository or revision; a private one without a token; offline and never fetched;
                no connection; what arrived is not the file.
        """
        if is_offline():
            return self._from_cache(name)
        response = self._head(name)
        if response is None:
            self._note(name, None)
            return None
        self._commit = self._commit or response.headers.get("X-Repo-Commit") or ""
        remote = self._remote(response)
        path = fetch_to_cache(remote)
        self._note(name, remote)
        return path

    def known(self, name: str) -> RemoteFile | None:
        """Return what was noted of a file when it was fetched, None where nothing was; no server is asked."""
        try:
            known = self._noted().get(name)
        except Damaged:
            return None
        return None if known is None else RemoteFile(self._url(name), **known, token=_token())

    def _from_cache(self, name: str) -> Path | None:
        url, why = self._url(name), ""
        try:
            noted = self._noted()
            if name in noted:
                known = noted[name]
                return None if known is None else fetch_to_cache(RemoteFile(url, **known))
        except Damaged as error:
            why = "" if error.absent else f" ({error})"
        raise InputError(
            f"{public_address(url)} is not in the cache, {cache_root() / 'weights'}{why}, and RESIDUA_OFFLINE or "
            "HF_HUB_OFFLINE forbids the network",
            "a repository that was fetched before, or its files in a folder of yours",
            "Repeat the command once with the network allowed, or give the folder's path as the weights",
        )

    def _note(self, name: str, remote: RemoteFile | None) -> None:
        """Write down what the file is, or that the repository has none, for when the network is forbidden."""
        known: _Known | None = None
        if remote is not None:
            known = {"digest": remote.digest, "kind": remote.kind, "size": remote.size}
        self._notes.parent.mkdir(parents=True, exist_ok=True)
        with waiting(self._notes.with_suffix(".lock")):
            try:
                noted = self._noted() | {name: known}
            except Damaged:  # what is lost costs a question to the Hub, no download
                noted = {name: known}
            write_text(self._notes, json.dumps({"commit": self._commit, "files": noted}, indent=1))

    def _noted(self) -> dict[str, _Known | None]:
        """Return what is noted of this commit's files.

        Raises:
            Damaged: the notes are absent or damaged.
        """
        notes = read_json(self._notes, _Notes)
        for known in notes["files"].values():
            if known and not re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", known["digest"]):
                raise Damaged(self._notes, "it holds a digest that is none")
        return notes["files"] if self._commit in ("", notes["commit"]) else {}

    @property
    def _notes(self) -> Path:
        host = urllib.parse.quote(public_address(endpoint()).split("://", 1)[1], safe="")
        name = urllib.parse.quote(f"{self.name}@{self.revision}", safe="@")
        return cache_root() / "weights" / "hub" / host / f"{name}.json"

    def _head(self, name: str) -> Head | None:
        url = self._url(name)
        try:
            return head(url, token=_token(), final="X-Linked-Etag")
        except urllib.error.HTTPError as error:
            code = error.headers.get("X-Error-Code") or ""
            if error.code == 404 and code in ("", "EntryNotFound"):
                return None
            if error.code in (401, 403) or code == "GatedRepo":
                raise InputError(
                    f"{public_address(url)} is private, gated, or not there (HTTP {error.code} {code or error.reason})",
                    "a public repository, or a token that may read it",
                    f"Check the name {self.name!r}, or set HF_TOKEN" + (" to a different token" if _token() else ""),
                ) from None
            raise InputError(
                f"{public_address(url)} could not be asked for (HTTP {error.code} {code or error.reason})",
                "a repository of the Hub, and a branch, tag or commit of it",
                f"Check {self.name}@{self.revision}",
            ) from None
        except ERRORS as error:
            raise InputError(
                f"{public_address(url)} could not be asked for ({error})",
                "a connection to the Hub (HF_ENDPOINT names another server)",
                "Repeat the command, or download the repository's files elsewhere and give their folder",
            ) from None

    def _remote(self, response: Head) -> RemoteFile:
        linked = response.headers.get("X-Linked-Etag")
        tag = (linked or response.headers.get("ETag") or "").removeprefix("W/").strip('"')
        length = response.headers.get("X-Linked-Size") or (None if linked else response.headers.get("Content-Length"))
        if not re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", tag):
            raise InputError(
                f"{public_address(response.url)} does not say what its content is (ETag {tag[:80]!r})",
                "a SHA-256 or git's SHA-1 in X-Linked-Etag or ETag, as the Hub sends",
                "Check HF_ENDPOINT",
            )
        return RemoteFile(
            response.url,
            tag,
            number_in(length),
            "sha256" if len(tag) == 64 else "git",
            token=_token(),
        )

    def _url(self, name: str) -> str:
        revision = urllib.parse.quote(self._commit or self.revision, safe="")
        return f"{endpoint()}/{self.name}/resolve/{revision}/{urllib.parse.quote(name)}"


def endpoint() -> str:
    """Return the address of the server: $HF_ENDPOINT, else the Hub."""
    return require_http(os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def fetch_to_cache(remote: RemoteFile) -> Path:
    """Return a file of weights in the cache, in a folder named by its hash; an absent file is downloaded.

    Raises:
        InputError: as `fetch`.
    """
    with progress_bar(remote.file_name, BYTES) as progress:
        return fetch(remote, _folder(remote.digest), progress)


def _folder(digest: str) -> Path:
    return cache_root() / "weights" / digest


def _token() -> str:
    token = (os.environ.get("HF_TOKEN") or "").strip()
    if not re.fullmatch("[!-~]*", token):
        raise InputError(
            "HF_TOKEN with spaces or characters outside ASCII", "a token as the Hub shows it", "Set it again"
        )
    return token
