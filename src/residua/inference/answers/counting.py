"""How many images there are in all, counted on the side while the first are answered."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from residua._base.console import Progress
from residua.data.listing import NO_DATA, walk
from residua.inference.image_files import listed


@contextlib.contextmanager
def counting(paths: object, progress: Progress | None) -> Iterator[Callable[[int], None]]:
    """Yield a function of the images done that calls `progress` with the total beside them.

    The paths of an iterator cannot be counted before they are answered: their total stays 0.
    """
    if progress is None:
        yield lambda done: None
        return
    totals: list[int] = []
    ended = threading.Event()

    def count() -> None:
        # What is wrong with a path is for the one who answers it.
        with contextlib.suppress(OSError, ValueError, TypeError):
            total = sum(1 for path in listed(paths) for _ in _images(Path(path), ended))
            if not ended.is_set():
                totals.append(total)

    thread = threading.Thread(target=count, name="residua-count", daemon=True)
    thread.start()
    try:
        yield lambda done: progress(done, totals[0] if totals else 0)
    finally:
        ended.set()
        thread.join()


def _images(path: Path, ended: threading.Event) -> Iterator[None]:
    """Yield once per image, as `image_files` yields files, until it is no longer of use."""
    if not os.path.isdir(path):
        yield
        return
    for entry in walk(path):
        if ended.is_set():
            return
        if entry.kind not in NO_DATA:
            yield
