"""One run by one process, and the same by two."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.distributed import processes


@pytest.fixture(scope="session", autouse=True)
def loaded() -> None:
    """Processes start with their modules imported."""
    processes.load()


@pytest.fixture(scope="session")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process."""
    folder = tmp_path_factory.mktemp("one") / "run"
    assert processes.codes(processes.start(folder, 1)) == [0], processes.output(folder, 0)
    return folder


@pytest.fixture(scope="session")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run of two processes, with synchronised batch normalisation."""
    folder = tmp_path_factory.mktemp("two") / "run"
    assert processes.codes(processes.start(folder, 2, sync_norm=True)) == [0, 0], processes.output(folder, 0)
    return folder


@pytest.fixture(scope="session")
def loose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run of two processes, each with its own statistics, and a checkpoint after each step."""
    folder = tmp_path_factory.mktemp("loose") / "run"
    assert processes.codes(processes.start(folder, 2, checkpoint_every_steps=1)) == [0, 0]
    return folder


@pytest.fixture(scope="session")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of `two`, of which each process holds a share of the parameters."""
    folder = tmp_path_factory.mktemp("sharded") / "run"
    exits = processes.codes(processes.start(folder, 2, sync_norm=True, shard=True))
    assert exits == [0, 0], processes.output(folder, 0) + processes.output(folder, 1)
    return folder
