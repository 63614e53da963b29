"""What a person names as images: files, folders, patterns, lists of paths, addresses."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from residua._base.errors import InputError, at_least_one
from residua._base.public import is_address, public_address
from residua._base.web.strangers import fetch
from residua.data.decode import BadImage
from residua.inference.answers.names import EVERY_FRAME
from residua.inference.image_files import BadFile, ImageFile
from residua.inference.video import frames, is_video

LIST_MARK = "@"
"""Begins the name of a file that lists paths, one per line; "@-" is the list on standard input."""
_MAGIC = frozenset("*?[")


def is_plain(words: Sequence[str]) -> bool:
    """Return whether each word names a file or folder itself: it can be counted, and asked for again."""
    return not any(is_address(word) or _is_list(word) or _is_pattern(word) or is_video(Path(word)) for word in words)


def each_source(
    words: Sequence[str], lines: Iterable[bytes] = (), *, allow_urls: bool = False, every_frame: int = EVERY_FRAME
) -> Iterator[Path | ImageFile | BadFile]:
    """Yield what words stand for, in their order: paths, frames of videos, images behind addresses.

    A word that is the name of a file or folder is that one, whatever characters are in it.

    Args:
        words: files, folders, patterns such as "a/**/*.jpg", "@FILE" for a file of such words, one per line; addresses.
        lines: of standard input, which "@-" reads.
        allow_urls: whether http and https addresses of public hosts are fetched.
        every_frame: of a video, one frame of so many.

    Raises:
        InputError: a list that cannot be read, or `every_frame` below 1; raised before the first word is yielded.
    """
    at_least_one(every_frame=every_frame)
    lists = {word: _read_list(word[1:]) for word in words if _is_list(word) and word != f"{LIST_MARK}-"}
    return _each(words, lists, lines, allow_urls, every_frame)


def _each(
    words: Iterable[str], lists: dict[str, list[str]], lines: Iterable[bytes], allow_urls: bool, every: int
) -> Iterator[Path | ImageFile | BadFile]:
    for word in words:
        if word in lists:
            yield from _each_listed(word, lists[word], allow_urls, every)
        elif word == f"{LIST_MARK}-":
            read = (os.fsdecode(line.rstrip(b"\r\n")) for line in lines if line.strip())
            yield from _each_listed("standard input", read, allow_urls, every)
        elif is_address(word):
            yield _remote(word) if allow_urls else BadFile(public_address(word), "an address; give allow_urls=True")
        elif _is_pattern(word):
            matches = sorted(glob.iglob(word, recursive=True))
            yield from _each(matches, {}, (), False, every)
            if not matches:
                yield BadFile(word, "a pattern that no file matches")
        elif is_video(Path(word)) and os.path.isfile(word):
            yield from frames(word, every)
        else:
            yield Path(word)


def _each_listed(name: str, words: Iterable[str], allow_urls: bool, every: int) -> Iterator[Path | ImageFile | BadFile]:
    empty = True
    for source in _each(words, {}, (), allow_urls, every):
        empty = False
        yield source
    if empty:
        yield BadFile(name, "a list without a path")


def _is_list(word: str) -> bool:
    return word.startswith(LIST_MARK) and len(word) > 1 and not os.path.lexists(word)


def _is_pattern(word: str) -> bool:
    return not _MAGIC.isdisjoint(word) and not os.path.lexists(word)


def _read_list(name: str) -> list[str]:
    try:
        content = Path(name).read_bytes()
    except OSError as error:
        raise InputError(
            f"{LIST_MARK}{name}, a list that cannot be read ({error.strerror})",
            "a text file with one path per line",
            "Check its name",
        ) from None
    return [os.fsdecode(line.rstrip(b"\r")) for line in content.split(b"\n") if line.strip()]


def _remote(address: str) -> ImageFile:
    return ImageFile(Path(address), Path(address), public_address(address), _fetcher(address))


def _fetcher(address: str) -> Callable[[], bytes]:
    def content() -> bytes:
        try:
            return fetch(address)
        except OSError as error:
            raise BadImage(public_address(address), f"cannot be fetched ({error})", "Download it first") from None

    return content
