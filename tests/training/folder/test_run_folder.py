"""What a run records of its beginning, read back whole or refused with the reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from residua._base.errors import Damaged, InputError
from residua.training.folder.claim import record
from residua.training.folder.run_folder import origin_path, read_origin
from residua.training.loop import train
from residua.training.request import ask

MODEL = "cifar_resnet8"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    record(ask("digits", MODEL, None, tmp_path, resume=False), None, None)
    return tmp_path


def test_what_is_written_is_read(folder: Path) -> None:
    asked, found = ask("digits", MODEL, None, folder, resume=True), read_origin(folder)
    assert found is not None
    assert (found.spec.name, found.data, found.initial_weights) == (MODEL, None, None)
    assert (asked.recipes.large, asked.recipes.small) == (found.recipes.large, found.recipes.small)
    assert found.recipes.of(100) == found.recipes.small != found.recipes.of(10_000) == found.recipes.large
    assert read_origin(folder / "nothing") is None


def test_the_former_names_of_recipes_and_kernels_are_read(folder: Path) -> None:
    document = json.loads(origin_path(folder).read_text())
    large, small = document["recipe"]["large"], document["recipe"]["small"]
    for recipe in (large, small):
        del recipe["kernels"]
        recipe["engine"] = "native"
    origin_path(folder).write_text(json.dumps({**document, "recipe": {"many": large, "few": small}}))
    found = read_origin(folder)
    assert found is not None
    assert (found.recipes.large.kernels, found.recipes.small.kernels) == ("native", "native")


def _without(name: str) -> Any:
    return lambda document: {key: value for key, value in document.items() if key != name}


DAMAGES: dict[str, Any] = {
    "null": lambda document: None,
    "a list": lambda document: [document],
    "a number": lambda document: 3,
    "no recipe": _without("recipe"),
    "no model": _without("model"),
    "no data": _without("data"),
    "data a list": lambda document: {**document, "data": []},
    "data without classes": lambda document: {**document, "data": {"given": "digits", "hash": "a", "images": 3}},
    "classes of numbers": lambda document: {
        **document,
        "data": {"given": "digits", "hash": "a", "images": 3, "classes": [1]},
    },
    "one recipe": lambda document: {**document, "recipe": {"large": document["recipe"]["large"]}},
    "a recipe that is null": lambda document: {**document, "recipe": {"large": None, "small": None}},
    "a recipe of an unknown field": lambda document: {
        **document,
        "recipe": {**document["recipe"], "small": {"epoks": 3}},
    },
    "a recipe out of range": lambda document: {
        **document,
        "recipe": {**document["recipe"], "small": {"batch_size": -1}},
    },
    "an augmentation that is a list": lambda document: {
        **document,
        "recipe": {**document["recipe"], "small": {"augment": []}},
    },
    "an unknown family": lambda document: {**document, "model": {"family": "abacus"}},
    "a model of lists": lambda document: {**document, "model": {**document["model"], "depths": "deep"}},
    "weights without a hash": lambda document: {**document, "weights": {"given": "a"}},
    "weights of a foreign preprocessing": lambda document: {
        **document,
        "weights": {"given": "a", "sha256": "b", "preprocess": {"zoom": 3}, "classes": []},
    },
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_record_is_refused_with_the_reason(damage: str, folder: Path) -> None:
    changed = DAMAGES[damage](json.loads(origin_path(folder).read_text()))
    origin_path(folder).write_text(json.dumps(changed))
    with pytest.raises(Damaged, match=r"origin\.json"):
        read_origin(folder)
    with pytest.raises(InputError, match=r"origin\.json"):
        train("digits", out=folder, resume=True, progress=False)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"model": 1' + b"0" * 5000])
def test_a_record_that_is_no_json_is_refused(content: bytes, folder: Path) -> None:
    origin_path(folder).write_bytes(content)
    with pytest.raises(Damaged, match=r"origin\.json"):
        read_origin(folder)
