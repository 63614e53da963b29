"""The place of this process among those that `torchrun` started, read from the environment; no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from residua._base.errors import InputError


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
        job: id of the launch, the same after a restart.
        attempt: differs between this start of the processes and an earlier one.
        agent_store: whether torchrun itself holds the store, so that it outlives a restart.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1
    address: str = ""
    port: int = 0
    job: str = ""
    attempt: str = ""
    agent_store: bool = False

    @property
    def main(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    @property
    def elastic(self) -> bool:
        """Whether there may be other processes, now or in an earlier attempt."""
        return self.count > 1 or self.agent_store


def read_launch(environment: Mapping[str, str] = os.environ) -> Launch:
    """Return the place of this process: torchrun's variables, or those that torch names `env://`.

    Without WORLD_SIZE there is one process.

    Raises:
        InputError: a variable is missing or no number.
    """
    if "WORLD_SIZE" not in environment:
        return Launch()
    agent_store = environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    count = _number(environment, "WORLD_SIZE", "1")
    if count == 1 and not agent_store:
        return Launch()
    rank = _number(environment, "RANK")
    return Launch(
        rank,
        count,
        _number(environment, "LOCAL_RANK", str(rank)),
        _number(environment, "LOCAL_WORLD_SIZE", str(count)),
        environment.get("MASTER_ADDR") or _missing("MASTER_ADDR"),
        _number(environment, "MASTER_PORT"),
        environment.get("TORCHELASTIC_RUN_ID", ""),
        # A host that joins later restarts the processes too, and is counted nowhere.
        f"{environment.get('TORCHELASTIC_RESTART_COUNT', '0')}.{count}",
        agent_store,
    )


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
