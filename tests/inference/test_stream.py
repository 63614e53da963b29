"""The stream of images: files found, decoded a bounded way ahead, answered in order, bad ones named."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from socket import AF_UNIX
from socket import socket as Socket
from typing import Any

import numpy as np
import pytest

from evaluation.runs import COLOURS, colour_run, noise, paint
from residua._base.errors import InputError
from residua.data.decode import Pixels
from residua.evaluation.evaluate import evaluate
from residua.inference import predict as predict_module
from residua.inference import stream
from residua.inference.explain import explain_stream
from residua.inference.image_files import BadFile
from residua.inference.predict import predict, predict_stream
from residua.weights.open import load
from residua.weights.prediction import Prediction
from residua.weights.run import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return load(colour_run(tmp_path / "run"))


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
    paths = [folder, tmp_path / "absent.png", tmp_path / "void", folder / "notes.txt"]
    with pytest.warns(UserWarning, match=r"1 \.txt \(such as notes\.txt\); left by systems or tools.*: \.hidden/"):
        found = list(predict_stream(run, paths))
    assert [Path(item.path).name for item in found] == [
        "a.PNG",
        "broken.jpg",
        "empty.png",
        "red.png",
        "loop",
        "absent.png",
        "void",
        "notes.txt",
    ]
    reasons = {Path(item.path).name: item.reason for item in found if isinstance(item, BadFile)}
    assert set(reasons) == {"broken.jpg", "empty.png", "loop", "absent.png", "void", "notes.txt"}
    assert "empty file" in reasons["empty.png"]
    assert reasons["absent.png"] == "no such file or folder"
    assert reasons["void"] == "a folder without images"
    with pytest.warns(UserWarning, match="no image by its ending"), pytest.raises(InputError) as caught:
        predict(run, [folder])
    assert "3 of 5 files" in str(caught.value)
    assert "broken.jpg" in str(caught.value)


def test_a_path_that_cannot_be_is_a_bad_file(run: Run, tmp_path: Path) -> None:
    good = paint(tmp_path / "red.png", COLOURS["red"])
    found = list(predict_stream(run, [tmp_path / ("x" * 5000), tmp_path / "a\0b", good]))
    assert [type(item) for item in found] == [BadFile, BadFile, Prediction]


def test_what_is_no_regular_file_is_a_bad_file_and_is_never_waited_for(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    paint(folder / "red.png", COLOURS["red"])
    os.mkfifo(folder / "pipe.png")
    socket = Socket(AF_UNIX)
    socket.bind(str(folder / "socket.png"))
    found = list(predict_stream(run, [folder, folder / "pipe.png", "/dev/null"]))
    socket.close()
    assert [(Path(item.path).name, type(item)) for item in found] == [
        ("pipe.png", BadFile),
        ("red.png", Prediction),
        ("socket.png", BadFile),
        ("pipe.png", BadFile),
        ("null", BadFile),
    ]


@pytest.mark.parametrize("ending", ["avif", "png", "jpg"])
def test_whatever_a_decoder_raises_is_that_files_fault(run: Run, tmp_path: Path, ending: str) -> None:
    """In each of forty copies of an image ten bytes are replaced by others."""
    noise(64).save(tmp_path / f"whole.{ending}")
    content = np.fromfile(tmp_path / f"whole.{ending}", np.uint8)
    random = np.random.default_rng(0)
    folder = tmp_path / "damaged"
    folder.mkdir()
    for index in range(40):
        damaged = content.copy()
        damaged[random.integers(0, min(len(content), 400), 10)] = random.integers(0, 256, 10)
        damaged.tofile(folder / f"{index:02}.{ending}")
    paint(folder / "red.png", COLOURS["red"])
    found = list(predict_stream(run, folder))
    bad = [item.path for item in found if isinstance(item, BadFile)]
    assert len(found) == 41
    assert bad
    assert isinstance(found[-1], Prediction)
    assert [item.path for item in explain_stream(run, folder) if isinstance(item, BadFile)] == bad
    shutil.copytree(folder, tmp_path / "data" / "red")
    paint(tmp_path / "data" / "blue" / "a.png", COLOURS["blue"])
    report = evaluate(run, tmp_path / "data", on_bad="skip")
    assert report.count == 42 - len(bad)


def test_an_engine_answers_as_eager_does(run: Run, tmp_path: Path) -> None:
    files = [paint(tmp_path / f"{name}.png", colour) for name, colour in COLOURS.items()]
    whole = list(predict_stream(run, files))
    half = list(predict_stream(run, files, precision="bf16"))
    for ours, theirs in zip(half, whole, strict=True):
        assert isinstance(ours, Prediction)
        assert isinstance(theirs, Prediction)
        assert ours.labels == theirs.labels
        assert ours.probabilities == pytest.approx(theirs.probabilities, abs=0.02)
    for options, message in (({"engine": "eagle"}, "engine='eagle'"), ({"precision": "fp8"}, "precision='fp8'")):
        with pytest.raises(InputError, match=message):
            predict_stream(run, files, **options)


def test_memory_is_bounded_and_nothing_is_read_ahead_for_long(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = paint(tmp_path / "red.png", COLOURS["red"])
    lock, alive, most, asked = threading.Lock(), 0, 0, 0
    prepared, answer = stream.prepared, stream.Predictor.answer

    def counted(*args: object) -> object:
        nonlocal alive, most
        with lock:
            alive += 1
            most = max(most, alive)
        return prepared(*args)  # type: ignore[arg-type]

    def answered(given: stream.Predictor, images: list[Pixels], top: int) -> list[stream.Ranking]:
        nonlocal alive
        with lock:
            alive -= len(images)
        return answer(given, images, top)

    def many() -> Iterator[Path]:
        nonlocal asked
        for _ in range(200):
            asked += 1
            yield path

    monkeypatch.setattr(stream, "prepared", counted)
    monkeypatch.setattr(stream.Predictor, "answer", answered)
    answers = predict_stream(run, many(), top=1, batch_size=16)
    assert asked == 0, "nothing happens before the first answer is asked for"
    assert next(answers).path == str(path)
    assert asked <= 2 * 16
    assert sum(isinstance(item, Prediction) for item in answers) == 199
    assert 16 <= most <= 2 * 16


def test_a_stream_that_is_dropped_lets_its_threads_go(run: Run, tmp_path: Path) -> None:
    path = paint(tmp_path / "red.png", COLOURS["red"])
    answers = predict_stream(run, [path] * 50, batch_size=2, workers=2)
    next(answers)
    answers.close()  # type: ignore[attr-defined]
    alive = [thread for thread in threading.enumerate() if thread.name.startswith("residua-decode")]
    for thread in alive:
        thread.join(timeout=5)
    assert not any(thread.is_alive() for thread in alive)


def test_workers_are_those_of_the_data(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    batches = stream.batches

    def counting(*args: Any, workers: int, **options: Any) -> Iterator[Any]:
        asked.append(workers)
        return batches(*args, workers=workers, **options)

    monkeypatch.setattr(predict_module, "default_workers", lambda: 3)
    monkeypatch.setattr(predict_module, "batches", counting)
    assert list(predict_stream(run, [])) == []
    assert asked == [3]
