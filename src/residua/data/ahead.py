"""Work done in threads a bounded way ahead of the one who waits for it, with its results in order."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Generic, TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")

# Handing work over between threads costs some 50 µs, and on a busy machine the wait for a turn: small items go over
# in slices of about this long. Much longer slices would leave threads idle at the end.
_SLICE_SECONDS = 0.01


def in_order(items: Iterable[T], work: Callable[[T], R], workers: int, *, in_flight: int) -> Generator[R, None, None]:
    """Yield work(item) for each item, in the order of `items`.

    An exception is raised where its item's result would come; what comes later is cancelled. The threads end when
    the iterator is exhausted or closed.

    Args:
        items: asked for by the caller's thread, as late as `in_flight` allows.
        work: called in several threads at once; releases the interpreter lock in its heavy parts. torch uses
            one core per thread inside it.
        workers: threads, at least 1.
        in_flight: items under way or finished and not yet yielded, at most. It bounds the memory of the results.
    """
    workers = max(workers, 1)
    source = iter(items)
    slices: deque[tuple[int, Future[_Done[R]]]] = deque()
    # Until the first slice shows how long an item takes, each thread gets a few single items.
    size, limit, taken = 1, min(in_flight, 2 * workers), 0
    pool = one_core_threads(workers)
    try:
        while True:
            while taken < limit and (part := list(islice(source, min(size, limit - taken)))):
                slices.append((len(part), pool.submit(_Done, work, part)))
                taken += len(part)
            if not slices:
                return
            count, future = slices.popleft()
            done = future.result()
            yield from done.results
            if done.error is not None:
                raise done.error
            taken -= count
            # A slice that finished a whole batch on the side is no measure: the size at most halves.
            fitting = int(_SLICE_SECONDS / max(done.seconds / count, 1e-9))
            size = max(1, size // 2, min(fitting, in_flight // (2 * workers)))
            limit = in_flight
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Done(Generic[R]):
    """What became of a slice: results up to the first error, and the time that they took."""

    def __init__(self, work: Callable[[T], R], part: list[T]) -> None:
        self.results: list[R] = []
        self.error: BaseException | None = None
        start = time.perf_counter()
        try:
            for item in part:
                self.results.append(work(item))
        except BaseException as error:
            self.error = error
        self.seconds = time.perf_counter() - start


def one_core_threads(workers: int) -> ThreadPoolExecutor:
    """Return a started pool in whose threads torch does not split its operations further.

    Otherwise `workers` teams of threads compete for the same processors, and an epoch takes half as long again. torch's
    number of threads belongs to the calling thread, but is also the default of threads yet to come. So all start here,
    and the caller's number is then set again.
    """
    started = threading.Barrier(workers + 1)

    def begin() -> None:
        # Asking first marks the thread as set up; else its first operation would fetch the default again.
        torch.get_num_threads()
        torch.set_num_threads(1)
        started.wait()

    pool = ThreadPoolExecutor(workers, "residua-decode", initializer=begin)
    own = torch.get_num_threads()
    for _ in range(workers):
        pool.submit(int)
    started.wait()
    torch.set_num_threads(own)
    return pool
