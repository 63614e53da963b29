"""A tracker's calls come from one thread, in order; an outage warns once; nothing waits for it."""

from __future__ import annotations

import threading
import time

from residua.training.tracking.relay import Relay, are_left_behind
from training.tracking.fakes import Failing, Remembering


def _send(relay: Relay, steps: range) -> None:
    relay.call("start", {"id": "a"})
    for step in steps:
        relay.call("log", step, {"loss": 1.0})
    relay.call("finish", "finished")


def test_calls_come_in_order_from_one_other_thread() -> None:
    tracker, warnings = Remembering(), list[str]()
    relay = Relay("fake", tracker, warnings.append)
    _send(relay, range(50))
    relay.close()
    assert [name for name, _ in tracker.calls] == ["start", *["log"] * 50, "finish"]
    assert [step for step, _ in tracker.of("log")] == list(range(50))
    assert len(tracker.threads) == 1
    assert threading.get_ident() not in tracker.threads
    assert not warnings


def test_a_short_outage_loses_nothing_and_warns_once() -> None:
    tracker, warnings = Failing(times=2), list[str]()
    relay = Relay("fake", tracker, warnings.append)
    _send(relay, range(5))
    relay.close()
    assert [step for step, _ in tracker.of("log")] == list(range(5))
    assert [name for name, _ in tracker.calls] == ["start", *["log"] * 5, "finish"]
    assert len(warnings) == 1
    assert "ConnectionError: no route to host" in warnings[0]
    assert relay.lost == 0


def test_what_is_refused_thrice_is_left_out_and_counted() -> None:
    class Picky(Remembering):
        def image(self, step: int, name: str, png: bytes) -> None:
            raise ValueError("no pictures here")

    tracker, warnings = Picky(), list[str]()
    relay = Relay("fake", tracker, warnings.append)
    relay.call("start", {})
    relay.call("image", 0, "batch", b"")
    for step in range(4):
        relay.call("log", step, {})
    relay.close()
    assert [step for step, _ in tracker.of("log")] == [0, 1, 2, 3]
    assert relay.lost == 1
    assert len(warnings) == 2
    assert warnings[1] == "fake has missed 1 of the run's calls"


def test_without_a_start_nothing_else_is_called() -> None:
    class Down(Remembering):
        def start(self, config: object) -> None:
            raise SystemExit("down")

    tracker, warnings = Down(), list[str]()
    relay = Relay("fake", tracker, warnings.append, waiting=10)
    _send(relay, range(30))
    relay.close()
    assert not tracker.calls
    assert len(warnings) == 2
    assert relay.lost == 32


def test_a_tracker_that_hangs_is_left_behind() -> None:
    release = threading.Event()

    class Hanging(Remembering):
        def log(self, step: int, numbers: dict[str, float]) -> None:
            release.wait(20)

    warnings: list[str] = []
    relay = Relay("fake", Hanging(), warnings.append, waiting=5)
    started = time.monotonic()
    _send(relay, range(100))
    assert time.monotonic() - started < 1
    assert relay.lost >= 90
    assert len(warnings) == 1
    assert "does not keep up" in warnings[0]
    relay.close(0.2)
    assert time.monotonic() - started < 3
    assert len(warnings) == 2, "an earlier warning does not keep the end silent"
    assert relay.lost == 101, "all but `start`: what waits is lost too"
    assert warnings[1] == "fake has not answered for 0.2 seconds and has missed 101 of the run's calls"
    release.set()


def test_after_the_end_nothing_is_stated() -> None:
    release, raised = threading.Event(), threading.Event()

    class Hanging(Remembering):
        def start(self, config: object) -> None:
            release.wait(20)
            raised.set()
            raise ConnectionError("given up")

    warnings: list[str] = []
    relay = Relay("fake", Hanging(), warnings.append)
    _send(relay, range(3))
    relay.close(0.2)
    release.set()
    assert raised.wait(10)
    relay._thread.join(10)
    assert warnings == ["fake has not answered for 0.2 seconds and has missed 5 of the run's calls"]


def test_a_hang_is_stated_where_the_queue_was_long_enough() -> None:
    release = threading.Event()

    class Hanging(Remembering):
        def finish(self, status: str) -> None:
            release.wait(20)

    warnings: list[str] = []
    relay = Relay("fake", Hanging(), warnings.append)
    _send(relay, range(3))
    relay.close(0.2)
    assert len(warnings) == 1
    assert "has not answered" in warnings[0]
    assert relay.lost == 1
    assert are_left_behind()
    release.set()
    relay._thread.join(10)
    assert relay.name not in [thread.name.removeprefix("tracker ") for thread in threading.enumerate()]
