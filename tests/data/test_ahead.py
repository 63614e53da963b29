"""The decode-ahead: in order, bounded, with errors in their places, and no thread left."""

from __future__ import annotations

import itertools
import threading
import time

import pytest
import torch

from residua.data.ahead import in_order, one_core_threads


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("residua-decode")]


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("in_flight", [1, 3, 64, 1000])
@pytest.mark.parametrize("seconds", [0.0, 0.0003])
def test_results_come_in_order(workers: int, in_flight: int, seconds: float) -> None:
    def work(number: int) -> int:
        time.sleep(seconds * (number % 3))
        return number * number

    assert list(in_order(range(300), work, workers, in_flight=in_flight)) == [n * n for n in range(300)]
    assert threads() == []


@pytest.mark.parametrize("in_flight", [1, 4, 50])
def test_no_more_is_under_way_than_allowed(in_flight: int) -> None:
    begun: list[int] = []
    running = in_order(range(1000), lambda number: begun.append(number) or number, 3, in_flight=in_flight)
    for place in running:
        assert len(begun) <= place + in_flight
    assert len(begun) == 1000


def test_items_are_asked_for_late_and_in_the_callers_thread() -> None:
    asked: list[str] = []

    def items() -> object:
        for number in range(100):
            asked.append(threading.current_thread().name)
            yield number

    running = in_order(items(), lambda number: number, 2, in_flight=8)
    next(running)
    assert len(asked) <= 8
    running.close()
    assert set(asked) == {threading.current_thread().name}


@pytest.mark.parametrize("place", [0, 1, 70, 99])
def test_an_error_comes_where_its_result_would_and_ends_the_threads(place: int) -> None:
    def work(number: int) -> int:
        if number == place:
            raise KeyError(number)
        return number

    running = in_order(range(100), work, 2, in_flight=40)
    assert [next(running) for _ in range(place)] == list(range(place))
    with pytest.raises(KeyError, match=str(place)):
        next(running)
    assert threads() == []


def test_an_error_of_the_items_ends_the_threads() -> None:
    def items() -> object:
        yield 1
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(in_order(items(), lambda number: number, 2, in_flight=4))
    assert threads() == []


def test_leaving_early_cancels_what_has_not_begun() -> None:
    begun: list[int] = []

    def work(number: int) -> None:
        begun.append(number)
        time.sleep(0.01)

    running = in_order(range(10_000), work, 2, in_flight=10_000)
    next(running)
    running.close()
    assert threads() == []
    assert len(begun) < 100


def test_small_items_are_handed_over_in_slices() -> None:
    names: list[int] = []
    list(in_order(range(5000), lambda number: names.append(threading.get_ident()), 2, in_flight=512))
    turns = sum(one != other for one, other in itertools.pairwise(names))
    assert turns < 1000


@pytest.mark.parametrize("workers", [1, 3])
def test_decoding_threads_use_one_core_each(workers: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        with one_core_threads(workers) as pool:
            images = torch.zeros(1, 3, 512, 512, dtype=torch.uint8)
            for _ in range(4):
                pool.submit(torch.nn.functional.interpolate, images, (300, 300), mode="bilinear").result()
                assert pool.submit(torch.get_num_threads).result() == 1
            assert torch.get_num_threads() == 4
        later: list[int] = []
        thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert later == [4]
    finally:
        torch.set_num_threads(before)
