"""The search of a learning rate changes nothing but the rate, is drawn, and is not repeated."""

from __future__ import annotations

import json
import os
import signal
import tomllib
from pathlib import Path
from typing import Any

import pytest

from residua._base.errors import InputError
from residua._base.signals import Interrupted, StopRequest
from residua.training.loop import train
from residua.training.plan import open_plan
from residua.training.request import ask
from residua.training.trials.find_rate import RULE, find_rate


@pytest.fixture(autouse=True)
def _short_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("residua.training.trials.find_rate.STEPS", 40)


SHORT: dict[str, Any] = {"train_images": 256, "min_steps": 0, "batch_size": 32, "epochs": 2}


def test_the_run_is_that_of_the_rate_that_was_found(small: dict[str, Any], tmp_path: Path) -> None:
    options = {**small, **SHORT, "progress": False}
    found = train("digits", "cifar_resnet8", out=tmp_path / "a", find_rate=True, **options)
    recipe = tomllib.loads((tmp_path / "a" / "recipe.toml").read_text())
    rate = recipe["learning_rate"]
    named = train("digits", "cifar_resnet8", out=tmp_path / "b", learning_rate=rate, **options)
    assert found.weights_sha256 == named.weights_sha256
    search = json.loads((tmp_path / "a" / "report.json").read_text())["rate_search"]
    assert search["learning_rate"] == rate
    assert search["rule"] == RULE
    assert search["losses"][search["rates"].index(search["lowest_at"])] == min(search["losses"])
    assert rate == pytest.approx(search["lowest_at"] / 10, rel=0.06)
    assert search["rates"] == sorted(search["rates"])
    assert "search of a learning rate: smoothed loss" in (tmp_path / "a" / "report.html").read_text()
    assert json.loads((tmp_path / "b" / "report.json").read_text())["rate_search"] is None


def test_it_is_a_function_of_the_plan(small: dict[str, Any], tmp_path: Path) -> None:
    plan = open_plan(ask("digits", "cifar_resnet8", out=tmp_path, resume=False, **{**small, **SHORT}))
    stop = StopRequest("")
    first = find_rate(plan, stop)
    assert first is not None
    assert first == find_rate(plan, stop)
    assert first.learning_rate is not None
    assert 0.001 < first.learning_rate < 1
    assert len(first.rates) == len(first.losses) <= 40
    assert not list(tmp_path.iterdir())


def test_a_machine_short_of_memory_ends_the_search_and_another_error_does_not(
    small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = open_plan(ask("digits", "cifar_resnet8", out=tmp_path, resume=False, **{**small, **SHORT}))

    def failing(*_: object) -> None:
        raise RuntimeError(message)

    monkeypatch.setattr("residua.training.trials.range_test._swept", failing)
    message = "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"
    assert find_rate(plan, StopRequest("")) is None
    message = "size mismatch"
    with pytest.raises(RuntimeError, match="size mismatch"):
        find_rate(plan, StopRequest(""))


def test_a_resumed_run_keeps_its_rate(
    small: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Stopping:
        def start(self, config: object) -> None: ...
        def image(self, step: int, name: str, png: bytes) -> None: ...
        def finish(self, status: str) -> None: ...
        def log(self, step: int, numbers: object) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    options = {**small, **SHORT, "epochs": 8}
    with pytest.raises(Interrupted):
        train("digits", "cifar_resnet8", out=tmp_path / "a", find_rate=True, track=[Stopping()], **options)
    rate = tomllib.loads((tmp_path / "a" / "recipe.toml").read_text())["learning_rate"]
    assert f"Learning rate {rate:g}: in " in capsys.readouterr().err
    assert "trials" not in json.loads((tmp_path / "a" / "checkpoints" / "origin.json").read_text())
    run = train("digits", out=tmp_path / "a", resume=True, find_rate=True)
    assert run.recipe is not None
    assert run.recipe["learning_rate"] == rate
    assert "Learning rate" not in capsys.readouterr().err
    assert json.loads((tmp_path / "a" / "report.json").read_text())["rate_search"]["learning_rate"] == rate


def test_a_rate_and_a_search_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a rate, or a search for one"):
        train("digits", "cifar_resnet8", out=tmp_path / "a", find_rate=True, learning_rate=0.1)
    assert not (tmp_path / "a").exists()
