"""A process that fails, is stopped or is killed ends all of them, and the run goes on from its checkpoint."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from torch.distributed import TCPStore

from training.distributed import processes

STEPS = 8  # of a run
AT = 3  # steps before something happens


def _at_step(happen: Any) -> None:
    """Let something happen in this process before optimizer step `AT`."""
    from residua.training.trainer import Trainer

    step = Trainer.step

    def changed(self: Trainer, group: Any) -> None:
        if self.global_step == AT:
            happen(group)
        step(self, group)

    Trainer.step = changed  # type: ignore[method-assign]


def _fails() -> None:
    def happen(group: Any) -> None:
        raise RuntimeError("a disk of this host is broken")

    _at_step(happen)


def _gets_nan() -> None:
    _at_step(lambda group: group[0].images.fill_(float("nan")))


def _is_stopped() -> None:
    _at_step(lambda group: os.kill(os.getpid(), signal.SIGTERM))


def _is_killed() -> None:
    _at_step(lambda group: os.kill(os.getpid(), signal.SIGKILL))


def train(folder: Path, prepare: Any, **fields: Any) -> tuple[list[int | None], list[str]]:
    """Train with two processes, of which the second prepares something; return exit codes and what each wrote."""
    started = time.monotonic()
    exits = processes.codes(processes.start(folder, 2, {1: {"prepare": prepare}}, **fields))
    assert time.monotonic() - started < processes.LIMIT_SECONDS
    return exits, [processes.output(folder, rank) for rank in (0, 1)]


def weights(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def test_an_exception_ends_all_with_its_message(tmp_path: Path) -> None:
    exits, written = train(tmp_path / "run", _fails)
    assert exits == [70, 70]
    assert "a disk of this host is broken" in written[1]
    assert "residua: " not in written[0]


def test_a_loss_that_is_not_finite_ends_all_and_is_stated_once(tmp_path: Path) -> None:
    exits, written = train(tmp_path / "run", _gets_nan)
    assert exits == [1, 1]
    assert sum("Training diverged: the training loss is nan" in each for each in written) == 1


def test_a_signal_to_one_stops_all_at_one_step(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    exits, written = train(folder, _is_stopped, sync_norm=True)
    assert exits == [143, 143]
    assert sum(f"Stopped by SIGTERM after step {AT + 1}" in each for each in written) == 1
    assert [path.stem for path in (folder / "checkpoints").glob("step-*")] == [f"step-{AT + 1:010d}"]
    # One process goes on with what two began.
    assert processes.codes(processes.start(folder, 1, resume=True, sync_norm=True)) == [0]
    assert "processes 2 then, 1 now" in processes.output(folder, 0)


@pytest.mark.slow
def test_a_killed_process_goes_on_to_the_same_bytes(tmp_path: Path, loose: Path) -> None:
    """As torchrun does: its agent keeps the store, and starts all processes again."""
    folder, port = tmp_path / "run", processes.free_port()
    store = TCPStore("127.0.0.1", port, is_master=True, timeout=timedelta(seconds=30), wait_for_workers=False)
    launch = {
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_RUN_ID": "test",
        "TORCHELASTIC_RESTART_COUNT": "0",
    }
    exits = processes.codes(processes.start(folder, 2, {1: {"prepare": _is_killed}}, launch, checkpoint_every_steps=1))
    assert exits == [1, -signal.SIGKILL]
    assert "lost the connection to another one" in processes.output(folder, 0)
    again = launch | {"TORCHELASTIC_RESTART_COUNT": "1"}
    assert processes.codes(processes.start(folder, 2, launch=again, checkpoint_every_steps=1)) == [0, 0]
    assert f"Resumed after step {AT} of {STEPS}" in processes.output(folder, 0)
    assert weights(folder) == weights(loose)
    # Another launch may not go on with it: only its own processes are started again.
    other = launch | {"TORCHELASTIC_RUN_ID": "another"}
    assert processes.codes(processes.start(folder, 1, launch=other, checkpoint_every_steps=1)) == [2]
    assert "already holds a run" in processes.output(folder, 0)
