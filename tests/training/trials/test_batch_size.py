"""The largest batch that fits: by the memory model, confirmed by a step, with enough steps left."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch

from residua._base.errors import InputError
from residua.cli.app import main
from residua.specs.catalog import get_spec
from residua.training.loop import train
from residua.training.recipe import Recipe
from residua.training.trials import batch_size, memory
from residua.training.trials.batch_size import find_batch_size, step_memory

SPEC = get_spec("cifar_resnet8")
RECIPE = Recipe(image_size=32, kernels="eager", device="cpu")


def test_memory_limits_it(monkeypatch: pytest.MonkeyPatch) -> None:
    free = 30_000_000
    monkeypatch.setattr(batch_size, "free_memory", lambda device: free)
    found = find_batch_size(SPEC, RECIPE, 2600)
    assert found.limit == "memory"
    assert found.bytes == step_memory(SPEC, RECIPE, found.batch_size).peak
    assert found.bytes <= 0.8 * free < step_memory(SPEC, RECIPE, 2 * found.batch_size).peak
    assert "as one step has confirmed; twice as many would not fit" in found.sentence


def test_a_step_that_does_not_fit_halves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def step(spec: object, recipe: object, size: int) -> None:
        tried.append(size)
        if size > 16:
            raise RuntimeError("[enforce fail] not enough memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(batch_size, "_step", step)
    monkeypatch.setattr(batch_size, "free_memory", lambda device: 10**10)
    assert find_batch_size(SPEC, RECIPE, 1300).batch_size == 16
    assert tried == [64, 32, 16]


def test_an_epoch_keeps_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_size, "free_memory", lambda device: None)
    for images, wanted in ((1300, 64), (1279, 32), (30, 2)):
        found = find_batch_size(SPEC, RECIPE, images)
        assert (found.batch_size, found.limit) == (wanted, "steps")
        assert ("the fewest that batch normalisation takes" in found.sentence) == (images == 30)


def test_too_little_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_size, "free_memory", lambda device: 1000)
    with pytest.raises(InputError, match="not even two images fit"):
        find_batch_size(SPEC, RECIPE, 1300)


def test_free_memory_is_that_of_the_machine_and_its_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = memory.free_memory(torch.device("cpu"))
    assert machine is not None
    assert machine > 100_000_000
    for name, value in (("limit", "5000000"), ("used", "1000000")):
        (tmp_path / name).write_text(value)
    monkeypatch.setattr(memory, "_GROUPS", ((str(tmp_path / "limit"), str(tmp_path / "used")),))
    assert memory.free_memory(torch.device("cpu")) == 4_000_000
    (tmp_path / "limit").write_text("max\n")
    assert abs((memory.free_memory(torch.device("cpu")) or 0) - machine) < 4_000_000_000


def test_the_run_records_a_number(small: dict[str, Any], tmp_path: Path) -> None:
    options = {**small, "batch_size": "auto", "train_images": 700, "epochs": 1, "min_steps": 0}
    run = train("digits", "cifar_resnet8", out=tmp_path / "a", progress=False, **options)
    assert run.recipe is not None
    assert run.recipe["batch_size"] == 32
    assert tomllib.loads((tmp_path / "a" / "recipe.toml").read_text())["batch_size"] == 32
    assert "trials" not in json.loads((tmp_path / "a" / "checkpoints" / "origin.json").read_text())


def test_the_command_takes_auto_and_numbers_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "digits", "--model", "cifar_resnet8", "--out", str(tmp_path / "a")]
    assert main([*words, "--batch-size", "large"]) == 2
    assert "Given: --batch-size large. Wanted: a whole number or 'auto'" in capsys.readouterr().err
    assert main([*words, "--batch-size", "auto", "--folds", "3"]) == 2
    assert main([*words, "--find-rate", "--learning-rate", "0.1"]) == 2
    assert "--find-rate" in capsys.readouterr().err
    assert main([*words, "--recipe", "probe", "--batch-size", "auto"]) == 2
    assert main([*words, "--recipe", "probe", "--dry-run"]) == 2
    assert not (tmp_path / "a").exists()
