"""Runs opened by name: the true cause where a name leads to no run."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.runs import COLOURS, colour_folder, colour_run, paint
from residua._base.errors import InputError
from residua.evaluation.compare import compare
from residua.evaluation.evaluate import evaluate
from residua.evaluation.run_data import open_run
from residua.inference.explain import explain
from residua.inference.predict import predict


def test_a_run_that_comes_last_was_swapped(tmp_path: Path) -> None:
    run, data = colour_run(tmp_path / "run"), colour_folder(tmp_path / "data", count=1)
    image = paint(tmp_path / "a.png", COLOURS["red"])
    for call in (
        lambda: predict(image, run),
        lambda: predict(data, [run]),
        lambda: explain(image, [str(run)]),
        lambda: evaluate(data, run),
        lambda: compare([data, run]),
        lambda: predict(image, run / "model.safetensors"),
    ):
        with pytest.raises(InputError, match=r"which is no run, before .*run.*Did you swap them"):
            call()


def test_the_cause_is_named_where_nothing_was_swapped(tmp_path: Path) -> None:
    run, data = colour_run(tmp_path / "run"), colour_folder(tmp_path / "data", count=1)
    image = paint(tmp_path / "a.png", COLOURS["red"])
    with pytest.raises(InputError, match="an image and no run"):
        predict(image, data)
    with pytest.raises(InputError, match=r"holds no model\.safetensors"):
        evaluate(data)
    with pytest.raises(InputError, match=r"holds no model\.safetensors"):
        compare([tmp_path / "nowhere", run])
    with pytest.raises(InputError, match=r"holds no model\.safetensors"):
        compare([run, data])
    damaged = colour_run(tmp_path / "damaged")
    content = bytearray((damaged / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (damaged / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError) as caught:
        compare([damaged, run])
    assert "swap" not in str(caught.value)
    assert open_run(run).classes == tuple(COLOURS)
