"""Batches: images of several requests in one forward pass; a bounded queue that knows deadlines."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from residua._base.errors import ResiduaError
from residua.serving.networks.network import Floats, Images
from residua.serving.refusal import Refusal

Compute = Callable[[Sequence[Images]], Floats]
"""Images of several requests -> their logits (B, K), in order."""

_SMOOTHING = 0.2
_FATAL = 3


class Observer(Protocol):
    """Whoever counts what a batcher does."""

    def batch(self, images: int, seconds: float) -> None:
        """Count a forward pass."""

    def waited(self, images: int, seconds: float) -> None:
        """Count the time that images waited for their pass."""

    def depth(self, images: int) -> None:
        """Show how many images wait."""


@dataclass(eq=False)
class _Job:
    images: Images
    deadline: float
    future: asyncio.Future[Floats]
    arrived: float = field(default_factory=time.monotonic)

    @property
    def size(self) -> int:
        return len(self.images)


class Batcher:
    """Groups images into forward passes, one at a time, as soon as the engine is free.

    It never waits for a batch to fill: batches form while the engine is at work. Sizes are counted in images.

    Args:
        compute: computes the logits; called in one thread of the batcher's own.
        max_batch: images per pass.
        most_waiting: images that may wait.
        observer: counts what happens.
        broken: called after several passes in a row failed, once.
        hung: called when a pass has not returned after `stall` seconds.
        stall: seconds.

    Attributes:
        waiting: images that were admitted and whose pass has not begun.
        is_hung: whether a pass has not returned in time.
    """

    def __init__(
        self,
        compute: Compute,
        *,
        max_batch: int,
        most_waiting: int,
        observer: Observer,
        broken: Callable[[], None],
        hung: Callable[[], None],
        stall: float,
    ) -> None:
        self.waiting = 0
        self.is_hung = False
        self._compute, self._max_batch, self._most_waiting = compute, max_batch, most_waiting
        self._observer, self._broken, self._hung, self._stall = observer, broken, hung, stall
        self._jobs: deque[_Job] = deque()
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "residua-engine")
        self._seconds_per_image = 0.0
        self._failures = 0
        self._computing = 0
        self._task = asyncio.create_task(self._run())

    @property
    def expected_wait(self) -> float:
        """Seconds until an image that comes now is computed, by the passes before; 0 where none was measured."""
        return (self.waiting + self._computing) * self._seconds_per_image

    def admit(self, images: int, deadline: float) -> None:
        """Count images in, before they are decoded; `leave` or their pass counts them out.

        Raises:
            Refusal: the queue is full, or their deadline would pass in it. It states when to retry.
        """
        if self.waiting + images > self._most_waiting:
            raise self._busy(f"{self.waiting} images wait; at most {self._most_waiting} may", "queue_full")
        if self.waiting and time.monotonic() + self.expected_wait > deadline:
            raise self._busy("the queue is longer than the time that the request has", "deadline")
        self.waiting += images
        self._observer.depth(self.waiting)

    def check_open(self) -> None:
        """Refuse early, before a body is read, where the queue is full already.

        Raises:
            Refusal: it is.
        """
        if self.waiting >= self._most_waiting:
            raise self._busy(f"{self.waiting} images wait; more may not", "queue_full")

    def leave(self, images: int) -> None:
        """Count out images that were admitted and do not come."""
        self.waiting -= images
        self._observer.depth(self.waiting)

    async def submit(self, images: Images, deadline: float) -> Floats:
        """Return the logits (N, K) of images that were admitted; the caller's cancellation drops them.

        Args:
            images: of one request; more than a batch are computed in several passes.
            deadline: of `time.monotonic`; work that has not begun by then is dropped.

        Raises:
            Refusal: the deadline passed, or the engine failed on these images.
        """
        loop = asyncio.get_running_loop()
        size = self._max_batch
        jobs = [
            _Job(images[start : start + size], deadline, loop.create_future()) for start in range(0, len(images), size)
        ]
        self._jobs.extend(jobs)
        self._wake.set()
        try:
            async with asyncio.timeout_at(loop.time() + max(0.0, deadline - time.monotonic())):
                return np.concatenate(await asyncio.gather(*(job.future for job in jobs)))
        except TimeoutError:
            raise _late() from None
        finally:
            for job in jobs:
                job.future.cancel()
            self._drop_cancelled()

    async def close(self) -> None:
        """Let what is queued end, then stop."""
        while (self._jobs or self._computing) and not self.is_hung:
            await asyncio.sleep(0.01)
        self._task.cancel()
        self._thread.shutdown(wait=False)

    def _drop_cancelled(self) -> None:
        gone = [job for job in self._jobs if job.future.done()]
        if gone:
            self._jobs = deque(job for job in self._jobs if not job.future.done())
            self.leave(sum(job.size for job in gone))

    def _take(self) -> list[_Job]:
        """Return the jobs of the next pass, first come, first served."""
        jobs: list[_Job] = []
        now = time.monotonic()
        size = 0
        while self._jobs and size + self._jobs[0].size <= self._max_batch:
            job = self._jobs.popleft()
            self.leave(job.size)
            if job.future.done():
                continue
            if job.deadline <= now:
                job.future.set_exception(_late())
                continue
            self._observer.waited(job.size, now - job.arrived)
            jobs.append(job)
            size += job.size
        return jobs

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._jobs:
                if jobs := self._take():
                    await self._pass(jobs)

    async def _pass(self, jobs: list[_Job]) -> None:
        size = self._computing = sum(job.size for job in jobs)
        start = time.monotonic()
        try:
            logits = await self._logits(jobs)
        except Exception as error:
            if len(jobs) > 1:
                # One of them may be the cause: each alone, so that the others are answered.
                for job in jobs:
                    await self._pass([job])
            else:
                self._failed(jobs[0], error)
            return
        finally:
            self._computing = 0
        seconds = time.monotonic() - start
        self._failures = 0
        self._observer.batch(size, seconds)
        weight = _SMOOTHING if self._seconds_per_image else 1.0
        self._seconds_per_image += weight * (seconds / size - self._seconds_per_image)
        at = 0
        for job in jobs:
            _answer(job, logits[at : at + job.size])
            at += job.size

    async def _logits(self, jobs: list[_Job]) -> Floats:
        images: list[Any] = [job.images for job in jobs]
        loop = asyncio.get_running_loop()
        # A thread cannot be broken off: whoever owns the process has to know.
        watchdog = loop.call_later(self._stall, self._give_up)
        try:
            logits = await loop.run_in_executor(self._thread, self._compute, images)
        finally:
            watchdog.cancel()
        if len(logits) != sum(job.size for job in jobs):
            raise RuntimeError(f"{len(logits)} answers for {sum(job.size for job in jobs)} images")
        return logits

    def _give_up(self) -> None:
        self.is_hung = True
        self._hung()

    def _failed(self, job: _Job, error: Exception) -> None:
        self._failures += 1
        if not job.future.done():
            text = str(error) if isinstance(error, ResiduaError) else type(error).__name__
            job.future.set_exception(Refusal(500, f"the engine failed: {text}", "fault"))
        if self._failures == _FATAL:
            self._broken()

    def _busy(self, message: str, reason: Any) -> Refusal:
        return Refusal(503, message, reason, {"Retry-After": str(max(1, math.ceil(self.expected_wait)))})


def _answer(job: _Job, logits: Floats) -> None:
    if job.future.done():
        return
    if np.isfinite(logits).all():
        job.future.set_result(logits)
    else:
        # Prepared values are the client's own, and may be as large as float32 can hold; decoded images are bounded.
        prepared = isinstance(job.images, np.ndarray)
        reason = Refusal(400, "the network gives NaN or infinity for these values", "malformed")
        fault = Refusal(500, "the network gives NaN or infinity for these images", "fault")
        job.future.set_exception(reason if prepared else fault)


def _late() -> Refusal:
    return Refusal(504, "the deadline passed before the answer was computed", "deadline")
