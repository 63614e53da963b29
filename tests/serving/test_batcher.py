"""The batcher: counts images, never lets a request touch its neighbours, drops what nobody waits for."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from residua.serving.batcher import Batcher
from residua.serving.refusal import Refusal


class Counts:
    """An observer that keeps what it is given."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.depths: list[int] = []

    def batch(self, images: int, seconds: float) -> None:
        self.batches.append(images)

    def waited(self, images: int, seconds: float) -> None:
        assert seconds >= 0

    def depth(self, images: int) -> None:
        assert images >= 0
        self.depths.append(images)


def rows(first: float, count: int = 1) -> np.ndarray:
    """Return images whose logits are their number."""
    return (first + np.arange(count, dtype=np.float32)).reshape(count, 1, 1, 1)


def identity(parts: Any) -> np.ndarray:
    """Return each image's number as its logit."""
    return np.concatenate(parts).reshape(-1, 1)


def run(work: Callable[..., Coroutine[Any, Any, Any]], compute: Any = identity, **options: Any) -> Any:
    """Run a coroutine function on a batcher."""

    async def whole() -> Any:
        counts, broken = Counts(), threading.Event()
        settings = {"max_batch": 4, "most_waiting": 100} | options
        batcher = Batcher(compute, observer=counts, broken=broken.set, hung=broken.set, stall=60.0, **settings)
        try:
            return await work(batcher, counts, broken)
        finally:
            await asyncio.wait_for(batcher.close(), 10)

    return asyncio.run(whole())


async def ask(batcher: Batcher, images: np.ndarray, seconds: float = 10.0) -> np.ndarray:
    """Admit and submit."""
    deadline = time.monotonic() + seconds
    batcher.admit(len(images), deadline)
    return await batcher.submit(images, deadline)


def test_batches_form_while_the_engine_works() -> None:
    free = threading.Event()

    def compute(parts: Any) -> np.ndarray:
        assert free.wait(10)
        return identity(parts)

    async def work(batcher: Batcher, counts: Counts, broken: Any) -> None:
        tasks = [asyncio.create_task(ask(batcher, rows(number))) for number in range(9)]
        await asyncio.sleep(0.05)
        free.set()
        assert [float(each[0, 0]) for each in await asyncio.gather(*tasks)] == list(range(9))
        assert counts.batches == [4, 4, 1]
        assert counts.depths[-1] == 0

    run(work, compute)


def test_sizes_are_images_not_requests() -> None:
    async def work(batcher: Batcher, counts: Counts, broken: Any) -> None:
        answers = await asyncio.gather(ask(batcher, rows(0, 3)), ask(batcher, rows(3, 3)), ask(batcher, rows(6, 9)))
        assert np.concatenate(answers).ravel().tolist() == list(range(15))
        assert max(counts.batches) <= 4
        assert sum(counts.batches) == 15

    run(work)


def test_a_batch_of_one() -> None:
    async def work(batcher: Batcher, counts: Counts, broken: Any) -> None:
        answers = await asyncio.gather(*(ask(batcher, rows(number, 2)) for number in range(5)))
        assert [each.ravel().tolist() for each in answers] == [[n, n + 1] for n in range(5)]
        assert set(counts.batches) == {1}

    run(work, max_batch=1)


def test_the_queue_is_bounded_and_states_when_to_come_again() -> None:
    free = threading.Event()

    def compute(parts: Any) -> np.ndarray:
        assert free.wait(10)
        return identity(parts)

    async def work(batcher: Batcher, counts: Counts, broken: Any) -> None:
        tasks = [asyncio.create_task(ask(batcher, rows(0, 4)))]
        await asyncio.sleep(0.05)
        tasks += [asyncio.create_task(ask(batcher, rows(4 * n, 4))) for n in (1, 2)]
        await asyncio.sleep(0.05)
        with pytest.raises(Refusal) as caught:
            await ask(batcher, rows(0, 3))
        assert caught.value.status == 503
        assert int(caught.value.headers["Retry-After"]) >= 1
        free.set()
        await asyncio.gather(*tasks)
        assert (await ask(batcher, rows(7)))[0, 0] == 7

    run(work, compute, most_waiting=10)


def test_a_request_that_fails_leaves_its_neighbours_alone() -> None:
    free = threading.Event()

    def compute(parts: Any) -> np.ndarray:
        assert free.wait(10)
        if any((part == 13).any() for part in parts):
            raise ValueError("thirteen")
        return identity(parts)

    async def work(batcher: Batcher, counts: Counts, broken: Any) -> None:
        tasks = [asyncio.create_task(ask(batcher, rows(number))) for number in (1, 2, 13, 3)]
        await asyncio.sleep(0.05)
        free.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [float(answers[at][0, 0]) for at in (0, 1, 3)] == [1, 2, 3]
        assert isinstance(answers[2], Refusal)
        assert answers[2].status == 500
        assert not broken.is_set()

    run(work, compute)


def test_answers_that_are_not_finite_are_refused_alone() -> None:
    async def work(batcher: Batcher, counts: Counts, broken: Any) -> None:
        answers = await asyncio.gather(*(ask(batcher, rows(n)) for n in (1, float("nan"), 2)), return_exceptions=True)
        assert isinstance(answers[1], Refusal)
        assert answers[1].status == 400, "the values are the client's"
        assert [answers[0][0, 0], answers[2][0, 0]] == [1, 2]

    run(work)


def test_what_nobody_waits_for_is_dropped() -> None:
    free, computed = threading.Event(), []

    def compute(parts: Any) -> np.ndarray:
        assert free.wait(10)
        computed.extend(identity(parts).ravel().tolist())
        return identity(parts)

    async def work(batcher: Batcher, counts: Counts, broken: Any) -> None:
        first = asyncio.create_task(ask(batcher, rows(0)))
        await asyncio.sleep(0.05)
        gone = asyncio.create_task(ask(batcher, rows(1)))
        late = asyncio.create_task(ask(batcher, rows(2), seconds=0.1))
        stays = asyncio.create_task(ask(batcher, rows(3)))
        await asyncio.sleep(0.05)
        gone.cancel()
        with pytest.raises(Refusal, match="deadline") as caught:
            await late
        assert caught.value.status == 504
        assert batcher.waiting == 1
        free.set()
        await asyncio.gather(first, stays)
        assert computed == [0, 3]

    run(work, compute)


def test_a_deadline_that_the_queue_exceeds_is_refused_at_once() -> None:
    def compute(parts: Any) -> np.ndarray:
        time.sleep(0.1)
        return identity(parts)

    async def work(batcher: Batcher, counts: Counts, broken: Any) -> None:
        await ask(batcher, rows(0))
        tasks = [asyncio.create_task(ask(batcher, rows(number))) for number in range(20)]
        await asyncio.sleep(0.02)
        start = time.monotonic()
        with pytest.raises(Refusal) as caught:
            await ask(batcher, rows(1), seconds=0.05)
        assert (caught.value.status, caught.value.reason) == (503, "deadline")
        assert time.monotonic() - start < 0.04
        for task in tasks:
            task.cancel()

    run(work, compute, max_batch=1)


def test_an_engine_that_fails_again_and_again_is_broken() -> None:
    def compute(parts: Any) -> np.ndarray:
        raise RuntimeError("dead")

    async def work(batcher: Batcher, counts: Counts, broken: Any) -> None:
        for _ in range(3):
            with pytest.raises(Refusal, match="engine failed"):
                await ask(batcher, rows(0))
        assert broken.is_set()

    run(work, compute)
