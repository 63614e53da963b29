"""The place of this process among those that `torchrun` started, read from the environment; no torch."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from residua._base.errors import InputError

_RUN_ID = "TORCHELASTIC_RUN_ID"


@dataclass(frozen=True)
class Launch:
    """The place of one process among those of a run.

    Attributes:
        rank: of this process, from 0. Rank 0 writes the run's folder.
        count: processes of the run, on all hosts.
        local_rank: of this process on its host: the number of its GPU.
        local_count: processes on this host.
        address: host of the store that all processes reach.
        port: of the store.
        job: id of the launch, the same on all hosts and after a restart.
        agent_store: whether torchrun itself holds the store, so that it outlives a restart.
        launcher: the torchrun that started this process, the same after a restart; "" without torchrun.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1
    address: str = ""
    port: int = 0
    job: str = ""
    agent_store: bool = False
    launcher: str = ""

    @property
    def main(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0


def read_launch(environment: Mapping[str, str] = os.environ) -> Launch:
    """Return the place of this process: torchrun's variables, or those that torch names `env://`.

    Without WORLD_SIZE there is one process.

    Raises:
        InputError: a variable is missing or no number.
    """
    if "WORLD_SIZE" not in environment:
        return Launch()
    job, launcher = environment.get(_RUN_ID, ""), _launcher(environment)
    count = _number(environment, "WORLD_SIZE", "1")
    if count == 1:
        return Launch(job=job, launcher=launcher)
    rank = _number(environment, "RANK")
    return Launch(
        rank,
        count,
        _number(environment, "LOCAL_RANK", str(rank)),
        _number(environment, "LOCAL_WORLD_SIZE", str(count)),
        environment.get("MASTER_ADDR") or _missing("MASTER_ADDR"),
        _number(environment, "MASTER_PORT"),
        job,
        environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
        launcher,
    )


def _launcher(environment: Mapping[str, str]) -> str:
    """Return what no other torchrun has: the id of its job alone may be given again, and so may a process id."""
    if _RUN_ID not in environment:
        return ""
    agent = os.getppid()
    while f"{_RUN_ID}=".encode() in _read_process(agent, "environ"):  # a script that torchrun starts, and that waits
        agent = int(_statistics(agent)[1])
    began = _statistics(agent)[19] if _statistics(agent) else "an unknown time"
    return f"{environment[_RUN_ID]} on {socket.gethostname()}, process {agent}, started at {began}"


def _statistics(process: int) -> list[str]:
    """Return the fields of proc(5)'s stat from the third on, [] where there is no /proc."""
    return _read_process(process, "stat").decode("utf-8", "replace").rpartition(")")[2].split()


def _read_process(process: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{process}/{name}").read_bytes()
    except OSError:
        return b""


def _number(environment: Mapping[str, str], name: str, default: str = "") -> int:
    text = environment.get(name, default) or _missing(name)
    if not (text.isascii() and text.isdecimal()):
        raise InputError(f"{name}={text!r} in the environment", "a whole number", "Start the processes with torchrun")
    return int(text)


def _missing(name: str) -> str:
    raise InputError(
        f"WORLD_SIZE in the environment without {name}",
        "RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT, as torchrun sets them",
        "Start the processes with torchrun, or unset WORLD_SIZE for one process",
    )
