"""Checkpoints: the round trip, the newest few, and what is refused."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch

from residua._base.errors import InputError
from residua.training.folder import checkpoint
from residua.training.folder.checkpoint import (
    BadCheckpoint,
    Checkpoint,
    list_checkpoints,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
)


def point(step: int) -> Checkpoint:
    tensors = {
        "model.weight": torch.randn(3, 4, 5, 5).to(memory_format=torch.channels_last),
        "model.count": torch.tensor(step),
        "optimizer.0.step": torch.tensor(1.0),
        "empty": torch.zeros(0),
    }
    return Checkpoint(step, tensors, {"state": {"loss": 1 / 3, "step": step}})


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    saved = point(7)
    found = load_checkpoint(save_checkpoint(tmp_path, saved, keep=1))
    assert found.state == saved.state
    assert found.step == 7
    assert found.tensors.keys() == saved.tensors.keys()
    assert all(torch.equal(found.tensors[name], value) for name, value in saved.tensors.items())


def test_the_newest_are_kept_and_leftovers_go(tmp_path: Path) -> None:
    (tmp_path / ".step-0000000009.safetensors.x1.part").write_bytes(b"torn")
    beside = tmp_path / ".tracking.json.x2.part"
    beside.write_bytes(b"being written by the thread of a tracker")
    for step in (9, 10, 11, 100):
        save_checkpoint(tmp_path, point(step), keep=2)
    assert [path.stem for path in list_checkpoints(tmp_path)] == ["step-0000000011", "step-0000000100"]
    assert list(tmp_path.glob(".*")) == [beside]


@pytest.mark.parametrize("harm", ["flip", "truncate", "empty", "header", "text"])
def test_a_bad_one_is_never_loaded_and_the_one_before_is_taken(tmp_path: Path, harm: str) -> None:
    first = save_checkpoint(tmp_path, point(1), keep=5)
    second = save_checkpoint(tmp_path, point(2), keep=5)
    content = bytearray(second.read_bytes())
    if harm == "flip":
        content[-3] ^= 1
    elif harm == "header":
        content = content.replace(b'\\"step\\": 2', b'\\"step\\": 3')
    harmed = {"truncate": content[:-10], "empty": b"", "text": b"not a checkpoint"}.get(harm, content)
    assert bytes(harmed) != second.read_bytes()
    second.write_bytes(harmed)
    with pytest.raises(BadCheckpoint):
        load_checkpoint(second)
    found, warnings = newest_checkpoint(tmp_path)
    assert found is not None
    assert found.step == load_checkpoint(first).step == 1
    assert len(warnings) == 1
    assert second.name in warnings[0]


def test_a_full_disk_is_said_and_leaves_the_earlier_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = save_checkpoint(tmp_path, point(1), keep=1)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(InputError, match=r"disk is full.*resume=True"):
        save_checkpoint(tmp_path, point(2), keep=1)
    assert list(tmp_path.iterdir()) == [first]
    assert load_checkpoint(first).step == 1
