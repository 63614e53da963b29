"""Images in memory: paths, bytes, open files, Pillow images and arrays, mixed; bad ones named and passed over."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import residua
from evaluation.runs import COLOURS, colour_folder, colour_run, paint
from residua._base.errors import InputError
from residua.inference.frame import predict_frame
from residua.inference.image_files import BadFile
from residua.weights.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return residua.load(colour_run(tmp_path_factory.mktemp("memory") / "run"))


def _array(name: str) -> np.ndarray:
    return np.full((8, 8, 3), COLOURS[name], np.uint8)


def test_images_of_every_kind(run: Run, tmp_path: Path) -> None:
    red = paint(tmp_path / "red.png", COLOURS["red"])
    green = Image.fromarray(_array("green"))
    with red.open("rb") as stream:
        images = [red, str(red), red.read_bytes(), stream, io.BytesIO(red.read_bytes()), green, _array("blue")]
        answers = run.predict(images, top=1)
    assert [each.labels[0] for each in answers] == ["red"] * 5 + ["green", "blue"]
    names = [str(red), str(red), "image 2", str(red), "image 4", "image 5", "image 6"]
    assert [each.path for each in answers] == names
    for image, label in ((green, "green"), (_array("blue"), "blue"), (red.read_bytes(), "red"), (red, "red")):
        (answer,) = residua.predict(run, image)
        assert answer.labels[0] == label
    batch = np.stack([_array("blue"), _array("red")])
    assert [each.labels[0] for each in run.predict(batch)] == ["blue", "red"]
    grey = np.full((5, 9), 7, np.uint8)
    assert len(run.predict(grey)) == 1


def test_a_bad_image_does_not_fail_a_list(run: Run, tmp_path: Path) -> None:
    images = [_array("red"), b"no image", tmp_path / "nowhere.png", _array("blue")]
    with pytest.raises(InputError, match="image 1: not an image") as caught:
        run.predict(images)
    # The remedy names a function that is public.
    assert "residua.predict_stream" in caught.value.remedy
    assert "predict_stream" in residua.__all__
    first, second, third, last = residua.predict_stream(run, images)
    assert isinstance(second, BadFile)
    assert isinstance(third, BadFile)
    assert (second.path, third.reason) == ("image 1", "no such file or folder")
    assert (first.labels[0], last.labels[0]) == ("red", "blue")


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((8, 8, 3), np.float32), "array of float32"),
        (np.zeros((3, 8, 8), np.uint8), r"shape \(3, 8, 8\)"),
        (io.StringIO("text"), "mode 'rb'"),
        ([5], "path 5"),
        (None, "path None"),
    ],
)
def test_what_is_no_image_is_refused(run: Run, image: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        run.predict(image)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_table_of_answers(run: Run, library: str) -> None:
    pytest.importorskip(library, reason=f"{library} is not installed")
    table = run.predict_frame([_array("red"), b"no image"], top=2, library=library)
    assert list(table.columns) == ["path", "label", "probability", "label2", "probability2", "error"]
    assert type(table).__module__.partition(".")[0] == library
    rows = table.to_dict("list") if library == "pandas" else table.to_dict(as_series=False)
    (answer,) = run.predict(_array("red"), top=2)
    assert rows["path"] == ["image 0", "image 1"]
    assert (rows["label"][0], rows["probability"][0], rows["label2"][0]) == (
        answer.labels[0],
        answer.probabilities[0],
        answer.labels[1],
    )
    assert str(rows["error"][1]).startswith("not an image")
    assert rows["label"][1] != rows["label"][0]
    assert str(rows["error"][0]) in ("nan", "None")


def test_a_library_that_is_not_there(run: Run) -> None:
    with pytest.raises(InputError, match="'pandas' or 'polars'"):
        predict_frame(run, _array("red"), library="duckdb")  # type: ignore[arg-type]


def test_a_notebook_shows_a_report_as_a_table(run: Run, tmp_path: Path) -> None:
    report = residua.evaluate(run, colour_folder(tmp_path / "data"))
    assert f'<td style="text-align:left">{report.count}</td>' in report._repr_html_()
    assert "top-1" in report._repr_html_()


def test_notebooks_show_values_as_tables(run: Run) -> None:
    (answer,) = run.predict(_array("red"))
    assert '<td style="text-align:left">red</td>' in answer._repr_html_()
    assert "<b>" not in residua.Prediction("<b>", ("<i>",), (1.0,))._repr_html_()
    assert "cifar_resnet8" in residua.get_spec("cifar_resnet8")._repr_html_()
    assert '<td style="text-align:left">32</td>' in residua.get_spec("cifar_resnet8")._repr_html_()
    shown = run._repr_html_()
    assert "red, green, blue" in shown
    assert shown.startswith("<table>")
