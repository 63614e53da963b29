"""The place of a process, read from torchrun's variables."""

from __future__ import annotations

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
    "TORCHELASTIC_RESTART_COUNT": "2",
    "TORCHELASTIC_USE_AGENT_STORE": "True",
}


def test_torchruns_variables() -> None:
    assert read_launch(TORCHRUN) == Launch(3, 4, 1, 2, "host", 29500, "job", "2.4", True)
    assert not read_launch(TORCHRUN).main


def test_one_process_needs_no_variables() -> None:
    assert read_launch({}) == Launch()
    assert read_launch({"RANK": "0", "WORLD_SIZE": "1"}) == Launch()
    assert not read_launch({}).elastic


def test_one_process_of_torchrun_may_have_had_others() -> None:
    assert read_launch(TORCHRUN | {"RANK": "0", "WORLD_SIZE": "1"}).elastic


@pytest.mark.parametrize("name", ["RANK", "MASTER_ADDR", "MASTER_PORT"])
def test_a_missing_variable_is_named(name: str) -> None:
    with pytest.raises(InputError, match=name):
        read_launch({key: value for key, value in TORCHRUN.items() if key != name})


def test_a_variable_that_is_no_number_is_named() -> None:
    with pytest.raises(InputError, match="WORLD_SIZE='two'"):
        read_launch(TORCHRUN | {"WORLD_SIZE": "two"})
