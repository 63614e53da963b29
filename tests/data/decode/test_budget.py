"""Threads that decode share one budget of memory, in order, and never wait for each other in a circle."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from data.pictures import encoded, picture
from residua.data.decode import BadImage, decode, images
from residua.data.decode.budget import BUDGET, LIMIT_BYTES, Budget
from residua.data.preprocess.resize import read_uint8
from residua.specs.preprocess import PreprocessSpec


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "waited ten seconds"
        time.sleep(0.001)


def test_no_more_than_the_limit_is_taken() -> None:
    budget, most, lock, running = Budget(100), 0, threading.Lock(), 0

    def work(size: int) -> None:
        nonlocal most, running
        for _ in range(50):
            with budget.lease(size):
                with lock:
                    running += size
                    most = max(most, running)
                time.sleep(0)
                with lock:
                    running -= size

    threads = [threading.Thread(target=work, args=(size,)) for size in (10, 20, 30, 40, 70, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0 < most <= 100
    assert budget.taken == 0


def test_what_is_above_the_limit_goes_alone_and_in_its_turn() -> None:
    budget, order = Budget(100), []

    def work(size: int) -> None:
        with budget.lease(size):
            order.append((size, budget.taken))

    with budget.lease(60):
        large, small = (threading.Thread(target=work, args=(size,)) for size in (500, 10))
        large.start()
        wait_for(lambda: len(budget._waiting) == 1)
        small.start()
        wait_for(lambda: len(budget._waiting) == 2)
        # The small one would fit, but came later.
        assert order == []
    large.join()
    small.join()
    assert order == [(500, 500), (10, 10)]


def test_an_error_gives_its_share_back() -> None:
    budget = Budget(100)
    with pytest.raises(ZeroDivisionError), budget.kept(), budget.lease(80):
        raise ZeroDivisionError
    assert budget.taken == 0


def test_what_is_kept_counts_until_the_end_and_never_waits() -> None:
    budget = Budget(100)
    with budget.kept():
        with budget.lease(80):
            pass
        assert budget.taken == 80
        with budget.kept(), budget.lease(80):
            assert budget.taken == 160
        assert budget.taken == 160
    assert budget.taken == 0


def test_a_forked_child_begins_empty() -> None:
    with BUDGET.lease(LIMIT_BYTES):
        child = os.fork()
        if child == 0:
            os._exit(BUDGET.taken != 0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_decoded_image_counts_until_it_is_resized(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    shared = Budget()
    monkeypatch.setattr(images, "BUDGET", shared)
    monkeypatch.setattr("residua.data.preprocess.resize.BUDGET", shared)
    data = encoded(picture(1, 1000, 1500), "PNG")

    def read() -> np.ndarray:
        pixels = decode(data)
        taken.append(shared.taken)
        return pixels

    assert read_uint8(read, PreprocessSpec(32, 32)).shape == (32, 32, 3)
    assert taken == [1000 * 1500 * 7]
    assert shared.taken == 0
    decode(data)
    assert shared.taken == 0


@pytest.mark.parametrize(
    ("height", "had", "error"), [(24, True, BadImage), (24, False, MemoryError), (5000, False, BadImage)]
)
def test_running_out_of_memory(height: int, had: bool, error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the image's fault where it is large, or where it asks for more than its size explains."""

    def fail(*arguments: object) -> None:
        raise MemoryError

    data = encoded(picture(1).resize((5000, height)), "PNG")
    monkeypatch.setattr(images, "rgb_of", fail)
    monkeypatch.setattr(images, "_to_be_had", lambda size: had)
    with pytest.raises(error):
        decode(data)


@pytest.mark.parametrize(("form", "each"), [("WEBP", 19), ("PNG", 7)])
def test_an_image_that_takes_more_than_all_may_is_refused(
    form: str, each: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(picture(1, 1000, 1500), form)
    monkeypatch.setattr(images, "BUDGET", Budget(1_500_000 * each))
    assert decode(data).shape == (1000, 1500, 3)
    monkeypatch.setattr(images, "BUDGET", Budget(1_500_000 * each - 1))
    with pytest.raises(BadImage, match=rf"1.5 million pixels, which take .* from this {form}; at most 1.4 million"):
        decode(data)


def test_the_largest_webp_of_the_budget() -> None:
    error = images._too_large(98_000_000, 19, "WEBP", "a.webp")
    assert error.reason == (
        "98.0 million pixels, which take 1,775 MiB to decode from this WEBP; at most 56.5 million are decoded from one"
    )
