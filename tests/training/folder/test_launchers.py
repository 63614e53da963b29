"""A restart knows the run that the same torchrun began; another launch, under whatever id, does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from residua._base.errors import InputError
from residua._base.run_files import LAUNCHERS
from residua.training.folder.claim import claim, opening
from residua.training.folder.run_folder import is_begun
from residua.training.request import ask

BOTH = frozenset({"job on a, process 17, started at 5", "job on b, process 17, started at 6"})


def asked(folder: Path, **options: Any) -> Any:
    folder.mkdir(exist_ok=True)
    return ask("digits", "cifar_resnet8", None, folder, resume=False, **options)


def test_any_of_the_hosts_knows_its_run(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert not is_begun(folder, BOTH)
    claim(asked(folder), BOTH)
    assert all(is_begun(folder, frozenset({each})) for each in BOTH)
    assert is_begun(folder, BOTH | {"job on c, process 1, started at 9"}), "a host that has joined"
    assert not is_begun(folder, frozenset({"job on a, process 17, started at 7"})), (
        "ids of jobs and processes come again"
    )
    assert not is_begun(folder, frozenset())


def test_a_run_that_is_resumed_alone_is_no_longer_theirs(tmp_path: Path) -> None:
    claim(asked(tmp_path / "run"), BOTH)
    claim(ask("digits", None, None, tmp_path / "run", resume=True))
    assert not is_begun(tmp_path / "run", BOTH)


def test_what_is_refused_leaves_no_launcher(tmp_path: Path) -> None:
    request = asked(tmp_path / "run")
    claim(request, BOTH)
    with pytest.raises(InputError, match="cannot be used"), opening(request, new=True):
        raise InputError("data that cannot be used", "data", "Use others")
    assert not (tmp_path / "run" / LAUNCHERS).exists()
