"""The place of a process, read from torchrun's variables."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from residua._base.errors import InputError
from residua.runtime.distributed.launch import Launch, read_launch

TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "host",
    "MASTER_PORT": "29500",
    "TORCHELASTIC_RUN_ID": "job",
    "TORCHELASTIC_USE_AGENT_STORE": "True",
}


def test_torchruns_variables() -> None:
    launch = read_launch(TORCHRUN)
    assert launch == Launch(3, 4, 1, 2, "host", 29500, "job", True, launch.launcher)
    assert not launch.main


def test_a_launcher_is_the_process_that_started_this_one() -> None:
    """Its start is stated too: ids of jobs and of processes are given again. A script in between is no launcher."""
    launcher = read_launch(TORCHRUN).launcher
    assert re.fullmatch(rf"job on .+, process {os.getppid()}, started at \d+", launcher) or not Path("/proc").exists()
    code = "from residua.runtime.distributed.launch import read_launch; print(read_launch().launcher)"
    here, there = (
        subprocess.run(words, capture_output=True, text=True, check=True, env={**os.environ, **TORCHRUN}).stdout.strip()
        for words in ([sys.executable, "-c", code], ["sh", "-c", f"{shlex.join([sys.executable, '-c', code])}; true"])
    )
    assert f"process {os.getpid()}, started at" in here
    assert here == there
    assert read_launch(TORCHRUN | {"WORLD_SIZE": "1", "RANK": "0"}).launcher == launcher
    assert read_launch({"WORLD_SIZE": "1", "RANK": "0"}).launcher == ""


def test_one_process_needs_no_variables() -> None:
    assert read_launch({}) == Launch()
    assert read_launch({"RANK": "0", "WORLD_SIZE": "1"}) == Launch()


@pytest.mark.parametrize("name", ["RANK", "MASTER_ADDR", "MASTER_PORT"])
def test_a_missing_variable_is_named(name: str) -> None:
    with pytest.raises(InputError, match=name):
        read_launch({key: value for key, value in TORCHRUN.items() if key != name})


def test_a_variable_that_is_no_number_is_named() -> None:
    with pytest.raises(InputError, match="WORLD_SIZE='two'"):
        read_launch(TORCHRUN | {"WORLD_SIZE": "two"})
