"""The file of published weights: in the cache, or fetched from the first of its locations that has it."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from residua._base.errors import InputError
from residua._base.places import cache_root
from residua._base.run_files import MODEL_FILE
from residua._base.web.download import RemoteFile
from residua._base.web.http import is_offline
from residua._base.web.reach import unreachable
from residua.weights.named.hub import Repository, endpoint, fetch_to_cache
from residua.weights.published.catalog import Location, PublishedWeights, default_weights


def fetch_published(row: PublishedWeights, *, patient: bool = True) -> Path:
    """Return the file of published weights, whose hash is checked; an absent one is downloaded, once.

    Its locations are tried in order. What is in the cache from any of them is used without asking a server.

    Args:
        row: of the catalog.
        patient: whether a server that does not answer is waited for and asked again; else a location that takes no
            connection within seconds is left out.

    Raises:
        InputError: no location has it: each is named, with its reason.
    """
    for location in row.locations:
        if _path_of(location) is not None and (kept := _known(location)) is not None:
            return fetch_to_cache(kept)
    if is_offline():
        raise InputError(
            f"{row.name} of {row.network} is not in the cache, {cache_root() / 'weights'}, and RESIDUA_OFFLINE or "
            "HF_HUB_OFFLINE forbids the network",
            "weights that were fetched before",
            _remedy(row),
        )
    silent = {} if patient else unreachable(_server(location) for location in row.locations)
    reasons: list[str] = []
    for location in row.locations:
        if reason := silent.get(_server(location), ""):
            reasons.append(reason)
            continue
        try:
            return _fetch(location)
        except InputError as error:
            reasons.append(error.given)
    raise InputError(
        f"{row.name} of {row.network} could not be fetched: {'; '.join(dict.fromkeys(reasons))}",
        f"a connection to {' or '.join(_server(location) for location in row.locations)}",
        _remedy(row),
    )


def fetch_command(row: PublishedWeights) -> str:
    """Return the command that fetches published weights."""
    source = () if row == default_weights(row.network) else ("--from", row.name)
    return shlex.join(["residua", "weights", "get", row.network, *source])


def cached_published(row: PublishedWeights) -> Path | None:
    """Return the file of published weights where it is in the cache, its hash unchecked; nothing is asked."""
    for location in row.locations:
        if (path := _path_of(location)) is not None:
            return path
    return None


def remove_published(row: PublishedWeights) -> list[Path]:
    """Remove the files of published weights from the cache; return those that were there."""
    removed = []
    for location in row.locations:
        if (path := _path_of(location)) is not None:
            # The folder bears the hash of the file, and holds nothing else but its lock.
            shutil.rmtree(path.parent)
            removed.append(path)
    return removed


def _fetch(location: Location) -> Path:
    if not location.repository:
        return fetch_to_cache(RemoteFile(location.address, location.sha256))
    if (path := Repository(location.repository).fetch(MODEL_FILE)) is None:
        raise InputError(
            f"{location.address} holds no {MODEL_FILE}", "the file of its weights", "Check the repository on the Hub"
        )
    return path


def _path_of(location: Location) -> Path | None:
    remote = _known(location)
    if remote is None:
        return None
    path = cache_root() / "weights" / remote.digest / remote.file_name
    return path if path.is_file() else None


def _known(location: Location) -> RemoteFile | None:
    """Return the file of a location as far as its hash is known here; None for a repository never asked."""
    if location.repository:
        return Repository(location.repository).known(MODEL_FILE)
    return RemoteFile(location.address, location.sha256)


def _server(location: Location) -> str:
    return endpoint() if location.repository else "/".join(location.address.split("/")[:3])


def _remedy(row: PublishedWeights) -> str:
    return f"Fetch them where there is a network: {fetch_command(row)}; then copy {cache_root() / 'weights'}"
