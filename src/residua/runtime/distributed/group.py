"""The processes of a run as one value: what they share, gather, agree on."""

from __future__ import annotations

import contextlib
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeVar
from uuid import uuid4

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import PrefixStore, Store, TCPStore  # torch.distributed gives them no type

from residua._base.errors import AnswerNo, ResiduaError
from residua._base.signals import Stopped
from residua.runtime.distributed.launch import Launch, read_launch
from residua.runtime.distributed.watch import EndedElsewhere, Failure, Watch

T = TypeVar("T")
_STORE_SECONDS = 120.0  # for hosts to reach the store
_TIMEOUT = timedelta(days=7)  # of an exchange: others may decode for hours; `Watch` notices who is gone
_MEETING_SECONDS, _PAUSE_SECONDS = 300.0, 0.05
_WORD_SECONDS = 3.0  # for the word of a process that failed, once its connection broke
_SAME = ("Diverged", "Interrupted")  # what happens to all processes at once is stated once


class Lost(AnswerNo):
    """The connection to another process broke, and that process has not stated why."""


class Group:
    """The processes of a run.

    Attributes:
        launch: the place of this one.
    """

    def __init__(self, launch: Launch) -> None:
        self.launch = launch

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""
        return self.launch.rank

    @property
    def count(self) -> int:
        """Number of processes."""
        return self.launch.count

    @property
    def main(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.launch.main

    def shared(self, make: Callable[[], T]) -> T:
        """Return, in every process, what `make` returns in the first; the others do not call it."""
        if self.count == 1:
            return make()
        box: list[Any] = [make() if self.main else None]
        dist.broadcast_object_list(box, 0)
        made: T = box[0]
        return made

    def gathered(self, value: T | None) -> list[T]:
        """Return the values of all processes, by rank.

        Raises:
            Stopped: a process gave None: it was asked to stop.
        """
        values: list[T | None] = [value]
        if self.count > 1:
            values = [None] * self.count
            dist.all_gather_object(values, value)
        if any(each is None for each in values):
            raise Stopped
        return values  # type: ignore[return-value]

    def launchers(self) -> frozenset[str]:
        """Return the torchruns of all hosts, each as `Launch.launcher` names it; empty without torchrun."""
        return frozenset(self.gathered(self.launch.launcher)) - {""}

    def agreed(self, signal: int, due: bool) -> tuple[int, bool]:
        """Return a signal that any process got, 0 for none, and what the first process holds due."""
        if self.count == 1:
            return signal, due
        words = torch.tensor([signal, due and self.main], dtype=torch.int64)
        dist.all_reduce(words, dist.ReduceOp.MAX)
        return int(words[0]), bool(words[1])

    def wait(self) -> None:
        """Wait until every process is here."""
        self.agreed(0, False)

    def added(self, values: Tensor) -> dist.Work | None:
        """Begin to add `values` over all processes, in place; return what to wait for, None where it is done."""
        return None if self.count == 1 else dist.all_reduce(values, async_op=True)


ALONE = Group(Launch())
"""One process."""


@contextlib.contextmanager
def joined() -> Iterator[Group]:
    """Yield the group of this process; an error in one process ends all of them.

    Raises:
        InputError: the environment states part of a group.
        EndedElsewhere: another process ended the run, and has stated why.
        Lost: another process is gone without a word.
    """
    launch = read_launch()
    group = Group(launch)
    if launch.count == 1:
        yield group
        return
    store, prefix = _rendezvous(launch)
    watch = Watch(PrefixStore(prefix, store), launch.rank, launch.count)
    try:
        with warnings.catch_warnings():
            if not launch.main:
                warnings.simplefilter("ignore")
            _connect(launch, f"{prefix}/group")
            yield group
            group.wait()
        dist.destroy_process_group()
    except BaseException as error:
        verdict = _verdict(error, launch, watch)
        _disconnect()
        raise verdict from error
    finally:
        watch.leave(last=launch.main and not launch.agent_store)


def _store(launch: Launch) -> TCPStore:
    return TCPStore(
        launch.address,
        launch.port,
        None,
        launch.main and not launch.agent_store,
        timedelta(seconds=_STORE_SECONDS),
        wait_for_workers=False,
    )


def _rendezvous(launch: Launch) -> tuple[TCPStore, str]:
    """Wait for all processes of this start; return the store, and a prefix for it that no earlier start has used.

    Raises:
        Lost: some do not come, or the host of the store does not answer.
    """
    try:
        store = _store(launch)
        prefix = f"residua/{launch.job}"
        return store, f"{prefix}/{meet(PrefixStore(prefix, store), launch)}"
    except RuntimeError as error:
        raise Lost(
            f"Process {launch.rank} of {launch.count} cannot reach the store at {launch.address}:{launch.port} "
            f"({' '.join(str(error).split())[:200]}). Start all processes again"
        ) from error


def meet(store: Store, launch: Launch, seconds: float = _MEETING_SECONDS) -> str:
    """Wait for all processes of this start, and return a name for it that none of them has met before.

    The store may outlive a restart, and torchrun counts restarts for each host by itself. So the first process names
    the start. Once all have come it answers each by the word that this one gave: what an earlier start has left
    answers nobody.

    Args:
        store: that all reach.
        launch: the place of this process.
        seconds: that processes have to come: a slow disk may take minutes to import torch.

    Raises:
        Lost: some have not come.
    """
    deadline = time.monotonic() + seconds
    word = uuid4().hex
    if launch.main:
        store.set("start", word)
        absent = set(range(1, launch.count))
        while absent := {rank for rank in absent if not store.check([f"{word}/{rank}"])}:
            _pause(deadline, f"processes {', '.join(map(str, sorted(absent)))} of {launch.count} have not come")
        for rank in range(1, launch.count):
            store.set(f"{word}/answer/{rank}", store.get(f"{word}/{rank}").decode())
        return word
    while True:
        if store.check(["start"]):
            name = store.get("start").decode()
            store.set(f"{name}/{launch.rank}", word)
            answer = f"{name}/answer/{launch.rank}"
            if store.check([answer]) and store.get(answer).decode() == word:
                return name
        _pause(deadline, f"process 0 of {launch.count} has not answered process {launch.rank}")


def _pause(deadline: float, what: str) -> None:
    if time.monotonic() > deadline:
        raise Lost(f"The run does not start: {what}. Look at what it printed, and start all processes again")
    time.sleep(_PAUSE_SECONDS)


def _connect(launch: Launch, prefix: str) -> None:
    backend = "gloo"
    if torch.cuda.is_available():
        backend = "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(launch.local_rank % torch.cuda.device_count())
    store = PrefixStore(prefix, _store(Launch(**{**vars(launch), "agent_store": True})))
    dist.init_process_group(backend, store=store, rank=launch.rank, world_size=launch.count, timeout=_TIMEOUT)


def _disconnect() -> None:
    """Close the connections, so that those who wait for this process learn of its end; NCCL may never return."""
    closing = threading.Thread(target=dist.destroy_process_group, daemon=True)
    if dist.is_initialized():
        with contextlib.suppress(RuntimeError):
            closing.start()
            closing.join(_WORD_SECONDS)


def _verdict(error: BaseException, launch: Launch, watch: Watch) -> BaseException:
    """Return the error to raise in this process: its own, or that another one has stated the reason."""
    if _is_broken(error):
        if first := watch.failure(_WORD_SECONDS):
            return EndedElsewhere(first)
        error = Lost(
            f"Process {launch.rank} of {launch.count} lost the connection to another one, which ended without a word, "
            "as where memory runs out or a host is switched off. The last checkpoint stays: go on with resume=True"
        )
    code = getattr(error, "exit_code", 130 if isinstance(error, KeyboardInterrupt) else 70)
    mine = Failure(launch.rank, type(error).__name__, str(error), code)
    first = watch.fail(mine)
    same = first.kind == mine.kind and (first.message == mine.message or first.kind in _SAME)
    return EndedElsewhere(first) if first.rank != mine.rank and (same or mine.kind == "Lost") else error


def _is_broken(error: BaseException) -> bool:
    """Return whether an exchange failed because another process is gone."""
    if isinstance(error, ResiduaError) or not isinstance(error, RuntimeError):
        return False
    text = str(error)
    return isinstance(error, dist.DistError) or any(word in text for word in ("gloo", "Gloo", "NCCL", "by peer"))
