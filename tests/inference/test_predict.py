"""Prediction: the order given, bounded memory, bad files named and passed over."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from evaluation.runs import COLOURS, colour_run, noise, paint
from residua._base.errors import InputError
from residua.inference import predict as module
from residua.inference.predict import BadFile, Prediction, predict, predict_stream
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


def test_folders_are_searched_and_bad_files_named(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    paint(folder / "b" / "red.png", COLOURS["red"])
    paint(folder / "a.PNG", COLOURS["blue"])
    paint(folder / ".hidden" / "no.png", COLOURS["blue"])
    (folder / "notes.txt").write_text("not an image, and not said to be one")
    (folder / "broken.jpg").write_text("text")
    (folder / "empty.png").write_bytes(b"")
    (folder / "loop").symlink_to(folder)
    (tmp_path / "void").mkdir()
    found = list(predict_stream(run, [folder, tmp_path / "absent.png", tmp_path / "void", folder / "notes.txt"]))
    assert [Path(item.path).name for item in found] == [
        "a.PNG",
        "broken.jpg",
        "empty.png",
        "red.png",
        "absent.png",
        "void",
        "notes.txt",
    ]
    reasons = {Path(item.path).name: item.reason for item in found if isinstance(item, BadFile)}
    assert set(reasons) == {"broken.jpg", "empty.png", "absent.png", "void", "notes.txt"}
    assert "empty file" in reasons["empty.png"]
    assert reasons["absent.png"] == "no such file or folder"
    assert reasons["void"] == "a folder without images"
    with pytest.raises(InputError) as caught:
        predict(run, [folder])
    assert "2 of 4 files" in str(caught.value)
    assert "broken.jpg" in str(caught.value)


def test_a_path_that_cannot_be_is_a_bad_file(run: Run, tmp_path: Path) -> None:
    good = paint(tmp_path / "red.png", COLOURS["red"])
    found = list(predict_stream(run, [tmp_path / ("x" * 5000), tmp_path / "a\0b", good]))
    assert [type(item) for item in found] == [BadFile, BadFile, Prediction]


def test_workers_are_those_of_the_data(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(module, "default_workers", lambda: 3)
    monkeypatch.setattr(module, "_stream", lambda *arguments: asked.append(arguments[-1]))
    predict_stream(run, [])
    assert asked == [3]


def test_memory_is_bounded_and_nothing_is_read_ahead_for_long(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = paint(tmp_path / "red.png", COLOURS["red"])
    lock, alive, most, asked = threading.Lock(), 0, 0, 0
    prepare, answers = module.prepare, module._answers

    def counted(*args: object) -> object:
        nonlocal alive, most
        with lock:
            alive += 1
            most = max(most, alive)
        return prepare(*args)  # type: ignore[arg-type]

    def answered(given: Run, model: object, batch: list[object], *rest: object) -> Iterator[object]:
        nonlocal alive
        yield from answers(given, model, batch, *rest)  # type: ignore[arg-type]
        with lock:
            alive -= len(batch)

    def many() -> Iterator[Path]:
        nonlocal asked
        for _ in range(200):
            asked += 1
            yield path

    monkeypatch.setattr(module, "prepare", counted)
    monkeypatch.setattr(module, "_answers", answered)
    stream = predict_stream(run, many(), top=1, batch_size=16)
    assert asked == 0, "nothing happens before the first answer is asked for"
    assert next(stream).path == str(path)
    assert asked <= 2 * 16
    assert sum(isinstance(item, Prediction) for item in stream) == 199
    assert most <= 2 * 16


def test_a_stream_that_is_dropped_lets_its_threads_go(run: Run, tmp_path: Path) -> None:
    path = paint(tmp_path / "red.png", COLOURS["red"])
    stream = predict_stream(run, [path] * 50, batch_size=2, workers=2)
    next(stream)
    stream.close()
    alive = [thread for thread in threading.enumerate() if thread.name.startswith("residua-decode")]
    for thread in alive:
        thread.join(timeout=5)
    assert not any(thread.is_alive() for thread in alive)


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
