"""A connection to a Ray cluster that leaves the signals, the screen and the connection of the caller as they were."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Iterator
from typing import Any

from residua._base.errors import InputError
from residua._base.packages import package

_ANSWER_SECONDS = 10.0


@contextlib.contextmanager
def cluster(address: str | None = None) -> Iterator[Any]:
    """Connect to a cluster, or start one of this machine alone, which ends with the block; yield the module `ray`.

    A connection that the caller has stays.

    Args:
        address: of the cluster, as `ray.init` takes it; None for that of $RAY_ADDRESS, and without it this machine.

    Raises:
        InputError: the extra `ray` is not installed; no cluster answers at the address.
    """
    # Without this Ray reports its use to its makers.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with _signals_kept():
        ray = package("ray", "ray")
    logging.getLogger("ray").setLevel(logging.WARNING)
    logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)  # states that tokens are checked
    if ray.is_initialized():
        yield ray
        return
    if address is not None:
        _check_reachable(address)
    options = {} if address is None else {"address": address}
    if address is None and not os.environ.get("RAY_ADDRESS"):
        # By default 15: beside other work of a machine such processes hardly run.
        os.environ.setdefault("RAY_worker_niceness", "0")
    with warnings.catch_warnings(), _signals_kept():
        warnings.simplefilter("ignore")
        try:
            ray.init(log_to_driver=False, include_dashboard=False, logging_level=logging.WARNING, **options)
        except (ConnectionError, ValueError, RuntimeError) as error:
            if address is None:
                raise
            raise _unreachable(address, error) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Raise InputError where nothing listens at HOST:PORT: Ray itself tries for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():  # such as "auto"
        return
    try:
        socket.create_connection((host, int(port)), _ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, error) from None


def _unreachable(address: str, error: Exception) -> InputError:
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return InputError(
        f"address={address!r}, where no cluster answers ({reason})",
        "the address of a Ray cluster, such as 10.0.0.1:6379",
        "Start one with ray start, or leave address out for this machine alone",
    )


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Put back what Ctrl-C and SIGTERM do here: Ray sets handlers of its own, which end this process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # None: of a library in another language
                signal.signal(number, handler)
