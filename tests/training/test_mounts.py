"""Training on file systems that know no locks, no sync of folders and no modes: it goes on, and states that once."""

from __future__ import annotations

import errno
import fcntl
import os
import warnings
from pathlib import Path
from typing import Any

import pytest

from residua.training.loop import train
from residua.training.trainer import Trainer
from residua.weights.open import load

MODEL = "cifar_resnet8"


class Killed(BaseException):
    """Stands for SIGKILL."""


def unsupported(*_: object, **__: object) -> None:
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


def test_a_run_is_killed_and_resumed_where_nothing_is_supported(
    finished: Path, small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trainer.step

    def stopping(self: Trainer, group: Any) -> None:
        if self.global_step == 25:
            raise Killed
        step(self, group)

    for place, name in ((fcntl, "flock"), (os, "fsync"), (os, "chmod")):
        monkeypatch.setattr(place, name, unsupported)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "step", stopping)
            with pytest.raises(Killed):
                train("digits", MODEL, out=tmp_path / "run", progress=False, checkpoint_every_steps=5, **small)
        run = train("digits", out=tmp_path / "run", resume=True, progress=False)
    assert run.weights_sha256 == load(finished).weights_sha256
    said = [str(warning.message) for warning in shown if str(tmp_path / "run") in str(warning.message)]
    assert len(said) == len(set(said)), "each is stated once"
    for words in ("no locks", "sync", "modes"):
        assert any(words in line for line in said), words
