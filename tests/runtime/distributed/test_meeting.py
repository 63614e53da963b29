"""Processes meet before they connect: late ones, a store that an earlier start has used, one that never comes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from torch._C._distributed_c10d import HashStore, Store

from residua.runtime.distributed.group import Lost, meet
from residua.runtime.distributed.launch import Launch

COUNT = 3


def store() -> Store:
    made = HashStore()
    made.set_timeout(timedelta(seconds=10))
    return made


def met(
    shared: Store, ranks: range = range(COUNT), seconds: float = 10, late: Callable[[int], float] = lambda rank: 0
) -> list[str]:
    """Let these ranks meet, each in a thread after its delay; return the names that they got, or the errors."""
    answers = [""] * len(ranks)

    def one(place: int, rank: int) -> None:
        time.sleep(late(rank))
        try:
            answers[place] = meet(shared, Launch(rank, COUNT), seconds)
        except Lost as error:
            answers[place] = str(error)

    threads = [threading.Thread(target=one, args=pair) for pair in enumerate(ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return answers


@pytest.mark.parametrize("last", range(COUNT))
def test_all_get_one_name_whoever_comes_last(last: int) -> None:
    names = met(store(), late=lambda rank: 0.3 * (rank == last))
    assert len(set(names)) == 1
    assert names[0]


def test_a_start_has_another_name_than_those_before_it() -> None:
    shared = store()
    first = met(shared)
    # The first process comes last: until then the others see the earlier start alone.
    second = met(shared, late=lambda rank: 0.3 * (rank == 0))
    assert len(set(first)) == len(set(second)) == 1
    assert first[0] != second[0]


def test_those_that_do_not_come_are_named() -> None:
    shared = store()
    answers = met(shared, range(2), seconds=0.4)
    assert "processes 2 of 3 have not come" in answers[0]
    assert "process 0 of 3 has not answered process 1" in answers[1], "nobody goes on alone"
    assert "process 0 of 3 has not answered process 2" in met(store(), range(2, 3), seconds=0.2)[0]
    # The store serves the next start.
    assert len(set(met(shared))) == 1
