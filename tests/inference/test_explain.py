"""`residua explain` and `residua.explain`: answers, files, refusals, bad files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evaluation.runs import COLOURS, colour_folder, colour_run, noise, paint
from residua import explain, load, predict
from residua._base.errors import InputError
from residua.cli.app import main
from residua.evaluation.evaluate import evaluate
from residua.explanation.methods import METHODS
from residua.inference.explain import Explanation, explain_stream
from residua.inference.image_files import BadFile
from residua.weights.run import Run

Output = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return colour_run(tmp_path / "run")


@pytest.fixture
def run(folder: Path) -> Run:
    return load(folder)


@pytest.fixture
def half_red(tmp_path: Path) -> Path:
    """A picture whose left half is red, on black."""
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, :4, 0] = 255
    Image.fromarray(pixels).save(tmp_path / "half.png")
    return tmp_path / "half.png"


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_the_red_half(run: Run, half_red: Path, method: str) -> None:
    """The network weighs each channel alike everywhere, so that nothing but the red half speaks for red."""
    (found,) = explain(run, half_red, method=method)
    assert (found.target, found.labels[0], found.method, found.file, found.true) == ("red", "red", method, None, None)
    assert found.map.shape == (8, 8)
    assert found.evidence == pytest.approx(float(found.map.max()))
    if method == "smoothgrad":
        # What such a function is sensitive to hardly depends on the image. Its shortcuts read every fourth pixel.
        assert (found.map[::4, ::4] > 0).all()
        assert (found.map > 0).sum() == 4
    else:
        assert found.map[:, :4].sum() > 3 * found.map[:, 4:].sum()
    assert (found.delta is not None) == (method == "integrated-gradients")
    if found.delta is not None:
        assert abs(found.delta) < 1e-4
    assert (found.layer == "layer3.0") == method.startswith("gradcam")


@pytest.mark.parametrize("temperature", [None, 3.0])
def test_answers_are_those_of_predict(folder: Path, tmp_path: Path, temperature: float | None) -> None:
    noise(20).save(tmp_path / "a.png")
    plain = load(folder)
    calibration = temperature and {"temperature": temperature}
    run = replace(plain, bundle=replace(plain.bundle, calibration=calibration))
    assert (explain(run, tmp_path / "a.png") == explain(plain, tmp_path / "a.png")) is (temperature is None)
    (found,), (wanted,) = explain(run, tmp_path / "a.png", top=2), predict(run, tmp_path / "a.png", top=2)
    assert found.labels == wanted.labels
    assert found.probabilities == pytest.approx(wanted.probabilities, rel=1e-5)


def test_another_class_can_be_asked_for(run: Run, half_red: Path) -> None:
    (found,) = explain(run, half_red, target="green")
    assert (found.target, found.labels[0]) == ("green", "red")
    assert found.evidence == 0, "nothing there is green"


def test_true_classes_are_those_of_folders(run: Run, tmp_path: Path) -> None:
    # A folder above the one given has the name of a class, too, and does not count.
    data = colour_folder(tmp_path / "green" / "data", wrong=[("red", "blue")], count=1)
    paint(data / "elsewhere" / "x.png", COLOURS["red"])
    paint(data / "red" / "deeper" / "y.png", COLOURS["red"])
    found = {Path(item.path).relative_to(data).as_posix(): item.true for item in explain(run, data)}
    assert found == {
        "blue/00.png": "blue",
        "elsewhere/x.png": None,
        "green/00.png": "green",
        "red/00.png": "red",
        "red/deeper/y.png": "red",
        "red/wrong0.png": "red",
    }
    assert explain(run, data / "red" / "00.png")[0].true == "red"


@pytest.mark.parametrize("batch_size", [1, 3])
def test_bad_files_are_passed_over_in_order(run: Run, tmp_path: Path, batch_size: int) -> None:
    paths = [paint(tmp_path / "a.png", COLOURS["red"]), tmp_path / "gone.png", paint(tmp_path / "b.png", (0, 0, 255))]
    (tmp_path / "c.png").write_bytes(b"")
    paths += [tmp_path / "c.png", paint(tmp_path / "d.png", COLOURS["green"])]
    found = list(explain_stream(run, paths, batch_size=batch_size, out=tmp_path / "sheet.png"))
    assert [Path(item.path).name for item in found] == ["a.png", "gone.png", "b.png", "c.png", "d.png"]
    assert [type(item) for item in found] == [Explanation, BadFile, Explanation, BadFile, Explanation]
    assert {item.file for item in found if isinstance(item, Explanation)} == {str(tmp_path / "sheet.png")}
    with pytest.raises(InputError, match=r"2 of 5 files.*gone\.png"):
        explain(run, paths)


def test_a_sheet_that_answers_name_is_written(run: Run, tmp_path: Path) -> None:
    paths = [paint(tmp_path / f"{name}.png", COLOURS["red"]) for name in "ab"]
    stream = explain_stream(run, paths, batch_size=1, out=tmp_path / "sheet.png")
    answer = next(stream)
    assert isinstance(answer, Explanation)
    with pytest.raises(KeyboardInterrupt):
        stream.throw(KeyboardInterrupt)  # type: ignore[attr-defined]
    assert answer.file is not None
    assert Path(answer.file).exists()


def said(output: Output) -> dict[str, Any]:
    out, _ = output.readouterr()
    document: dict[str, Any] = json.loads(out)
    return document


def test_the_command(folder: Path, half_red: Path, tmp_path: Path, capsys: Output) -> None:
    out = tmp_path / "map.png"
    words = ["explain", str(folder), str(half_red), "--out", str(out), "--top", "2"]
    assert main(words) == 0
    text, err = capsys.readouterr()
    assert "red" in text
    assert "gradcam of layer3.0" in text
    assert f"Wrote {out}" in err
    assert main([*words, "--json", "--method", "integrated-gradients", "--target", "blue"]) == 0
    document = said(capsys)
    (answer,) = document.pop("answers")
    assert document == {"run": str(folder), "method": "integrated-gradients", "files": [str(out)], "bad": []}
    assert answer["labels"] == ["red", "green"]
    assert answer["target"] == "blue"
    assert answer["layer"] is None
    assert abs(answer["delta"]) < 1e-4
    assert "map" not in answer
    with Image.open(out) as picture:
        assert picture.width > 900


def test_a_folder_gets_sheets_and_bad_files_the_exit_code(folder: Path, tmp_path: Path, capsys: Output) -> None:
    data = colour_folder(tmp_path / "data", count=11)
    (data / "red" / "broken.png").write_text("no picture")
    assert main(["explain", str(folder), str(data), "--out", str(tmp_path / "sheet.png"), "--json"]) == 1
    document = said(capsys)
    assert document["files"] == [str(tmp_path / name) for name in ("sheet.png", "sheet-2.png")]
    assert [answer["file"] for answer in document["answers"]].count(document["files"][1]) == 1
    assert [Path(row["path"]).name for row in document["bad"]] == ["broken.png"]
    assert all(Path(file).exists() for file in document["files"])


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["PICTURE"], "the PNG to write"),
        (["--out", "OUT"], "no image"),
        (["PICTURE", "--out", "map.jpg"], "FILE.png"),
        (["PICTURE", "--out", "nowhere/map.png"], "in a folder that exists"),
        (["PICTURE", "--out", "OUT", "--method", "grad-cam"], "residua explain --help"),
        (["PICTURE", "--out", "OUT", "--target", "rad"], "Did you mean red?"),
        (["PICTURE", "--out", "OUT", "--layer", "layer3.1"], "Did you mean layer3.0"),
        (["PICTURE", "--out", "OUT", "--layer", "layer3", "--method", "occlusion"], "for gradcam or gradcam++"),
        (["PICTURE", "--out", "OUT", "--top", "0"], "--top 0"),
        (["PICTURE", "--out", "OUT", "--batch-size", "0"], "--batch-size 0"),
        (["PICTURE", "--out", "OUT", "--device", "nonsense"], "nonsense"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_refusals(
    folder: Path,
    half_red: Path,
    tmp_path: Path,
    capsys: Output,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    wanted: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    given = [{"PICTURE": str(half_red), "OUT": "map.png"}.get(word, word) for word in words]
    assert main(["explain", str(folder), *given]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert wanted in err
    assert len(err.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before, "nothing is written"


def test_the_report_explains_its_mistakes(tmp_path: Path) -> None:
    data = colour_folder(tmp_path / "data", wrong=[("red", "blue")], count=4)
    report = evaluate(colour_run(tmp_path / "run"), data)
    (mistake,) = report.worst
    assert mistake.explanation.startswith("data:image/jpeg;base64,")
    assert mistake.explanation in report.to_html()
    assert "The evidence for blue" in report.to_html()
    assert "explanation" not in report.to_json()


def test_the_training_images_most_like_it(tmp_path: Path, capsys: Output) -> None:
    data = colour_folder(tmp_path / "data")
    folder = colour_run(tmp_path / "run", data=data)
    query = paint(tmp_path / "query.png", (200, 10, 10))
    (answer,) = explain(folder, query, neighbours=3, out=tmp_path / "with.png")
    assert [each.label for each in answer.neighbours] == ["red"] * 3
    assert all(each.path.startswith("red/") for each in answer.neighbours)
    assert answer.neighbours[0].cosine == pytest.approx(1, abs=0.01)
    explain(folder, query, out=tmp_path / "without.png")
    with Image.open(tmp_path / "with.png") as shown, Image.open(tmp_path / "without.png") as plain:
        assert shown.height > plain.height + 150
        assert shown.width == plain.width
    words = ["explain", str(folder), str(query), "--out", str(tmp_path / "a.png"), "--device", "cpu"]
    assert main(words) == 0
    assert "most like the training images red 0.998 (red/" in capsys.readouterr().out
    assert main([*words, "--no-neighbours", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["answers"][0]["neighbours"] == []
    assert main([*words, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["answers"][0]["neighbours"]) == 4


def test_training_images_that_are_gone(tmp_path: Path, capsys: Output) -> None:
    data = colour_folder(tmp_path / "data")
    folder = colour_run(tmp_path / "run", data=data)
    query = paint(tmp_path / "query.png", (200, 10, 10))
    data.rename(tmp_path / "moved")
    assert main(["explain", str(folder), str(query), "--out", str(tmp_path / "a.png"), "--device", "cpu"]) == 0
    printed = capsys.readouterr()
    assert "most like" not in printed.out
    assert "training images most like each file are left out" in printed.err
    with pytest.raises(InputError, match="not available"):
        explain(folder, query, neighbours=2)
    with pytest.raises(InputError, match="neighbours=-1"):
        explain(folder, query, neighbours=-1)
