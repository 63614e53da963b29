"""A checkpoint that is whole and yet not what a trainer wrote is refused with the reason."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from residua._base.errors import Damaged
from residua.training.folder.checkpoint import Checkpoint
from residua.training.resume import _read
from residua.training.state import State

STATE = asdict(State())
WHOLE: dict[str, Any] = {"state": STATE, "computed_with": {"kernels": "eager"}, "left_out": {"train": [3]}}


def test_what_a_trainer_writes_is_read(tmp_path: Path) -> None:
    assert _read(Checkpoint(1, {"a": torch.ones(1)}, WHOLE), tmp_path)[1] == State()


@pytest.mark.parametrize(
    "change",
    [
        {"state": None},
        {"state": []},
        {"state": {}},
        {"state": STATE | {"epoch": "3"}},
        {"state": STATE | {"epoch": True}},
        {"state": STATE | {"history": {}}},
        {"state": STATE | {"history": [3]}},
        {"state": STATE | {"more": 3}},
        {"left_out": [3]},
        {"left_out": {"train": ["a"]}},
        {"computed_with": None},
    ],
    ids=str,
)
def test_a_state_of_a_different_kind_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(Damaged, match=r"step-0000000007\.safetensors"):
        _read(Checkpoint(7, {}, WHOLE | change), tmp_path)
