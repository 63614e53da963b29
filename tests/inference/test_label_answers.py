"""Answers where an image may have several labels: those over their thresholds, in every form, and explained."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import residua
from residua._base.errors import InputError
from residua.cli.app import main
from residua.evaluation.evaluate import evaluate
from residua.explanation import methods
from residua.inference.answers.on_ray import _row, _rows
from residua.inference.answers.predict_to import predict_to
from residua.inference.embedding.embed import embed
from residua.inference.explain import LabelExplanation, explain
from residua.inference.predict import predict
from residua.inference.sorting import UNLABELLED, Sorter, undo_sort
from residua.weights.open import load
from residua.weights.prediction import LabelPrediction


@pytest.fixture(scope="module")
def images(digit_pairs: Path) -> list[Path]:
    """Ten images of the test part, of which two show nothing."""
    return [digit_pairs / "PHOTOS" / f"test{number:03}.png" for number in range(10)]


@pytest.fixture(scope="module")
def answers(labels_run: Path, images: list[Path]) -> list[LabelPrediction]:
    """The answers for them."""
    found = predict(labels_run, images, top=1)
    assert all(isinstance(each, LabelPrediction) for each in found)
    return found


def test_labels_are_those_that_reach_their_thresholds(
    labels_run: Path, images: list[Path], answers: list[LabelPrediction]
) -> None:
    run = load(labels_run)
    thresholds = dict(zip(run.classes, run.multilabel.thresholds, strict=True))
    table = evaluate(labels_run).predictions
    for row, (answer, image) in enumerate(zip(answers, images, strict=True)):
        batch = run.preprocess(image)[None]
        with torch.inference_mode():
            expected = run.model(batch)[0].double().sigmoid().numpy()
        np.testing.assert_allclose(list(answer.all_probabilities.values()), expected, atol=1e-6)
        chosen = {name for name, share in answer.all_probabilities.items() if share >= thresholds[name]}
        assert set(answer.labels) == chosen
        assert list(answer.probabilities) == sorted(answer.probabilities, reverse=True)
        np.testing.assert_allclose(list(answer.all_probabilities.values()), table.probabilities[row], atol=1e-6)
    assert {len(each.labels) for each in answers} - {1}
    assert "no label" in LabelPrediction("a", (), (), None, {"x": 0.1})._repr_html_()


def test_files_of_answers(labels_run: Path, images: list[Path], answers: list[LabelPrediction], tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    (tmp_path / "bad.png").write_bytes(b"Dear Sir")
    every = [*images, tmp_path / "bad.png"]
    for ending in (".csv", ".jsonl", ".parquet"):
        written = predict_to(labels_run, every, tmp_path / f"a{ending}")
        assert (written.files, written.bad) == (11, 1)
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    table = parquet.read_table(tmp_path / "a.parquet").to_pylist()
    for row, line, column, answer in zip(rows[:10], lines, table, answers, strict=False):
        assert row["labels"].split(";") == (list(answer.labels) or [""])
        assert line["labels"] == column["labels"] == list(answer.labels)
        assert float(row["p(3)"]) == line["all_probabilities"]["3"] == column["p(3)"]
    assert rows[10]["labels"] == ""
    assert "not an image" in rows[10]["error"]
    assert lines[10]["labels"] is table[10]["labels"] is None
    # A table of answers is a table of labels.
    labels = residua.open_dataset(images[0].parent, labels=tmp_path / "a.csv", on_bad="skip", columns="label=labels")
    assert set(labels.classes) == {name for answer in answers for name in answer.labels}


def test_a_frame_and_what_crosses_machines(
    labels_run: Path, images: list[Path], answers: list[LabelPrediction], tmp_path: Path
) -> None:
    pytest.importorskip("pandas")
    frame = residua.predict_frame(labels_run, images, library="pandas")
    assert frame["labels"].tolist() == [";".join(each.labels) for each in answers]
    assert list(frame.columns) == ["path", "labels", *(f"p({name})" for name in range(10)), "error"]
    assert _rows(json.dumps([_row(each) for each in answers])) == answers


def test_a_file_goes_into_the_folder_of_each_label(answers: list[LabelPrediction], tmp_path: Path) -> None:
    sorter = Sorter.open(tmp_path / "out", "copy", None, [])
    for answer in answers:
        sorter.put(answer)
    empty = LabelPrediction(answers[0].path, (), (), None, {"1": 0.1})
    assert sorter.put(empty).parent.name == UNLABELLED
    sorter.close()
    for answer in answers:
        for label in answer.labels:
            assert (tmp_path / "out" / label / Path(answer.path).name).is_file()
    assert sorter.count == sum(len(each.labels) for each in answers) + 1
    assert undo_sort(sorter.log).kept == ()
    assert not (tmp_path / "out").exists()
    for way, threshold in (("move", None), ("copy", 0.5)):
        with pytest.raises(InputError, match="several labels"):
            Sorter.open(tmp_path / "x", way, threshold, []).put(answers[0])
    assert not (tmp_path / "x").exists()


def test_each_label_is_explained(
    labels_run: Path, images: list[Path], answers: list[LabelPrediction], tmp_path: Path
) -> None:
    pictures = explain(labels_run, images[:3], out=tmp_path / "sheet.png")
    expected = [(each.path, label) for each in answers[:3] for label in each.labels or ("?",)]
    assert len(pictures) == len(expected)
    for picture, (path, label) in zip(pictures, expected, strict=True):
        assert isinstance(picture, LabelExplanation)
        assert picture.path == path
        assert picture.target == label or label == "?"
        assert (picture.probability >= picture.threshold) == (label != "?")
    (one,) = explain(labels_run, images[1], target="4", out=tmp_path / "one.png")
    assert one.target == "4"
    assert (tmp_path / "one.png").is_file()
    run = load(labels_run)
    from residua.explanation.methods import attribute
    from residua.inference.stream import as_batch, prepared

    batch = as_batch([prepared(images[1], run.preprocess_spec)], run.preprocess_spec, torch.device("cpu"))
    own = attribute("gradcam", run.model, batch, run.preprocess_spec, torch.tensor([run.classes.index("4")]), None)
    np.testing.assert_allclose(own.maps[0].numpy(), one.map, atol=1e-5)


def test_embedding_needs_no_labels_and_what_ranks_classes_is_refused(
    labels_run: Path, images: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(embed(labels_run, images).paths) == 10
    assert main(["label-next", str(labels_run), str(images[0].parent)]) == 2
    assert "whose images may have several labels" in capsys.readouterr().err


def test_the_command(labels_run: Path, images: list[Path], answers: list[LabelPrediction], capsys: object) -> None:
    words = ["predict", str(labels_run), *map(str, images)]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    for line, answer in zip(lines, answers, strict=True):
        assert (f"  {answer.labels[0]} " if answer.labels else "no label  (most probable: ") in line
    assert main([*words, "--format", "csv"]) == 0
    assert capsys.readouterr().out.startswith("path,labels,p(0),")
    assert main([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [each["labels"] for each in document] == [list(each.labels) for each in answers]
    assert main([*words, "--threshold", "0.5"]) == 2
    assert "thresholds of its own" in capsys.readouterr().err


def test_a_frame_without_any_answer_has_the_columns_of_the_run(labels_run: Path, tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    (tmp_path / "bad.png").write_bytes(b"Dear Sir")
    frame = residua.predict_frame(labels_run, tmp_path / "bad.png", library="pandas")
    assert list(frame.columns) == ["path", "labels", *(f"p({name})" for name in range(10)), "error"]
    assert "not an image" in frame["error"][0]


def test_no_batch_of_labels_is_larger_than_asked_for(
    labels_run: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = load(labels_run)
    every = replace(run, bundle=replace(run.bundle, multilabel=replace(run.multilabel, thresholds=(0.0,) * 10)))
    whole = explain(every, images[:2], method="integrated-gradients")
    sizes: list[int] = []
    monkeypatch.setattr(methods, "METHODS", {**methods.METHODS, "gradcam": _noting(sizes, "gradcam")})
    parts = explain(every, images[:2], batch_size=4)
    assert sizes == [4, 4, 2, 4, 4, 2]
    monkeypatch.undo()
    assert [each.target for each in parts] == [each.target for each in whole]
    for picture, expected in zip(parts, explain(every, images[:2]), strict=True):
        np.testing.assert_allclose(picture.map, expected.map, atol=1e-5)
    few = explain(every, images[:2], method="integrated-gradients", batch_size=3)
    assert [each.delta for each in few] == pytest.approx([each.delta for each in whole], abs=1e-4)


def _noting(sizes: list[int], name: str) -> Callable[..., Any]:
    method = methods.METHODS[name]

    def noted(model: Any, images: torch.Tensor, *words: Any, **options: Any) -> Any:
        sizes.append(len(images))
        return method(model, images, *words, **options)

    return noted
