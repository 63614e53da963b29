"""Prediction: the order given, bounded memory, bad files named and passed over."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from evaluation.runs import COLOURS, colour_run, noise, paint
from residua._base.errors import InputError
from residua.inference.predict import predict, predict_stream
from residua.weights.open import load
from residua.weights.run import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return load(colour_run(tmp_path / "run"))


def test_labels_and_probabilities(run: Run, tmp_path: Path) -> None:
    files = [paint(tmp_path / f"{name}.png", colour) for name, colour in COLOURS.items()]
    found = predict(run, files, top=2)
    assert [item.labels[0] for item in found] == list(COLOURS)
    assert [item.path for item in found] == [str(path) for path in files]
    assert all(len(item.labels) == len(item.probabilities) == 2 for item in found)
    # Ties go to the class that comes first.
    assert [item.labels[1] for item in found] == ["green", "red", "red"]


def test_it_is_the_softmax_of_the_network(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "noise.png"
    noise(40).save(path)
    with torch.no_grad():
        wanted = run.model(run.preprocess(path)[None])[0].double().softmax(dim=0)
    (found,) = predict(run, path)
    assert len(found.labels) == 3, "no more classes than there are"
    assert sum(found.probabilities) == pytest.approx(1)
    for label, probability in zip(found.labels, found.probabilities, strict=True):
        assert probability == pytest.approx(float(wanted[run.classes.index(label)]), rel=1e-5)
    assert list(found.probabilities) == sorted(found.probabilities, reverse=True)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_the_order_is_the_one_given(run: Run, tmp_path: Path, batch_size: int) -> None:
    names = list(COLOURS) * 5
    files = [paint(tmp_path / f"{index}.png", COLOURS[name]) for index, name in enumerate(names)]
    found = predict(run.folder, iter(files), top=1, batch_size=batch_size)
    assert [item.labels[0] for item in found] == names


@pytest.mark.parametrize("argument", ["top", "batch_size", "workers"])
def test_arguments_out_of_range(run: Run, argument: str) -> None:
    with pytest.raises(InputError, match=f"{argument}=0"):
        predict_stream(run, [], **{argument: 0})


def test_a_diverged_network_is_refused(run: Run, tmp_path: Path) -> None:
    with torch.no_grad():
        run.model.fc.bias.fill_(float("nan"))
    with pytest.raises(InputError, match="NaN"):
        predict(run, paint(tmp_path / "red.png", COLOURS["red"]))


@pytest.mark.parametrize("device", ["banana", "cuda:99", "mps:0", "meta"])
def test_devices_that_are_not_there(run: Run, device: str) -> None:
    with pytest.raises(InputError, match=device):
        predict_stream(run, [], device=device)
