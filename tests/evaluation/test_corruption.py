"""`evaluate --corrupt` and `--shift`: numbers that follow from known answers, the cache, the page, the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evaluation.runs import COLOURS, colour_run, paint
from residua._base.errors import InputError
from residua.cli.app import main
from residua.data.corruptions.corrupt import corrupt
from residua.data.corruptions.names import CORRUPTIONS
from residua.evaluation.evaluate import evaluate
from residua.evaluation.measures.significance import independent_score_interval
from residua.evaluation.scores import corrupted
from residua.specs.preprocess import PreprocessSpec

SIDE = 32


def folder_of(folder: Path, counts: dict[str, int], wrong: int = 0) -> Path:
    """Write pictures of one colour, dim and with a little of the others; `wrong` of the reds are blue."""
    random = np.random.default_rng(len(counts))
    for name, count in counts.items():
        for index in range(count):
            colour = COLOURS["blue"] if name == "red" and index < wrong else COLOURS[name]
            level = random.integers(60, 160)
            pixels = np.clip(np.array(colour) // 255 * level + random.integers(0, 50, (SIDE, SIDE, 3)), 0, 255)
            paint(folder / name / f"{index:02}.png", (0, 0, 0), SIDE)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{index:02}.png")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    preprocess = PreprocessSpec(SIDE, SIDE, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    return colour_run(tmp_path_factory.mktemp("runs") / "run", preprocess=preprocess)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(tmp_path_factory.mktemp("data"), {"red": 8, "green": 6, "blue": 6}, wrong=1)


def test_every_corruption_is_counted_and_cached(run: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = evaluate(run, data, corrupt=True, severities=[1, 5], device="cpu")
    found = report.corruptions
    assert found is not None
    assert [row.name for row in found.rows] == list(CORRUPTIONS)
    assert (found.severities, found.published_side, found.count) == ((1, 5), 32, 20)
    assert found.clean_error == pytest.approx(1 / 20)
    cells = [1 - cell.top1 for row in found.rows for cell in row.cells]
    assert found.mean_error == pytest.approx(np.mean(cells))
    assert found.relative_error == pytest.approx(found.mean_error - found.clean_error)
    low, high = found.mean_error_interval
    assert 0 <= low <= found.mean_error <= high <= 1
    # This network compares means of channels: what keeps them keeps its answers.
    assert {row.name: row.error for row in found.rows}["pixelate"] == pytest.approx(1 / 20)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("an image was corrupted again")

    monkeypatch.setattr(corrupted, "corrupt", never)
    again = evaluate(run, data, corrupt=["fog", "snow"], severities=[5], device="cpu").corruptions
    assert again is not None
    assert [row.cells[0].top1 for row in again.rows] == [
        row.cells[1].top1 for row in found.rows if row.name in ("fog", "snow")
    ]


def test_the_answers_are_those_to_the_corrupted_pixels(run: Path, data: Path) -> None:
    report = evaluate(run, data, corrupt=["impulse_noise"], severities=[5], cache=False, batch_size=3, device="cpu")
    files = sorted(data.glob("*/*.png"))
    images = np.stack([np.asarray(Image.open(file)).transpose(2, 0, 1) for file in files])
    means = corrupt(images, "impulse_noise", 5, np.arange(len(files))).astype(np.float64).mean(axis=(2, 3))
    right = [list(COLOURS)[mean.argmax()] == file.parent.name for mean, file in zip(means, files, strict=True)]
    assert report.corruptions is not None
    assert report.corruptions.rows[0].cells[0].top1 == pytest.approx(np.mean(right))


def test_the_page_and_the_document(run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", str(run), str(data), "--corrupt", "--corruption", "fog,jpeg_compression", "--severity", "1,3"]
    other = folder_of(tmp_path / "other", {"red": 5, "green": 9}, wrong=3)
    assert main([*words, "--device", "cpu", "--shift", str(other), "--report", str(tmp_path / "report")]) == 0
    out = capsys.readouterr().out
    assert "mean corruption error" in out
    assert "jpeg_compression" in out
    assert "red taken for blue" in out or "recall here" in out
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count('alt="fog, severity') == 2
    assert 'href="#corruption"' in page
    assert 'href="#shift"' in page
    document = json.loads((tmp_path / "report" / "report.json").read_text())
    assert document["corruptions"]["rows"][0]["name"] == "fog"
    assert set(document["corruptions"]["rows"][0]["cells"][0]) == {"severity", "top1", "top1_interval"}
    assert document["shift"]["count"] == 14


def test_a_second_set(run: Path, data: Path, tmp_path: Path) -> None:
    other = folder_of(tmp_path / "other", {"red": 40, "green": 10}, wrong=30)
    shift = evaluate(run, data, shift=other, device="cpu").shift
    assert shift is not None
    assert (shift.count, shift.top1) == (50, pytest.approx(20 / 50))
    assert shift.difference == pytest.approx(20 / 50 - 19 / 20)
    assert shift.interval == pytest.approx(independent_score_interval((20, 50), (19, 20)))
    assert shift.interval[1] < 0
    assert shift.by_shares is None, "the other set has no blue"
    red = shift.classes[0]
    assert (red.name, red.first_recall, red.second_recall) == ("red", pytest.approx(7 / 8), pytest.approx(10 / 40))
    assert [(each.true, each.predicted) for each in shift.moved] == [("red", "blue")]
    assert {row.name for row in shift.classes if row.difference is None} == {"blue"}
    even = folder_of(tmp_path / "even", {"red": 2, "green": 20, "blue": 2})
    shift = evaluate(run, data, shift=even, device="cpu").shift
    assert shift is not None
    assert shift.by_shares is not None
    assert shift.by_recalls is not None
    assert shift.by_shares + shift.by_recalls == pytest.approx(shift.difference)
    assert shift.by_shares == pytest.approx((2 / 24 - 8 / 20) * 7 / 8 + (20 / 24 - 6 / 20) + (2 / 24 - 6 / 20))


def test_the_interval_of_independent_rates() -> None:
    # Newcombe 1998, table II, examples (a) and (b), method 10.
    assert independent_score_interval((56, 70), (48, 80)) == pytest.approx((0.0524, 0.3339), abs=1e-4)
    assert independent_score_interval((9, 10), (3, 10)) == pytest.approx((0.1705, 0.8090), abs=1e-4)


def test_what_is_refused(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="members, views or reestimate"):
        evaluate(run, data, corrupt=True, views="flip", device="cpu")
    with pytest.raises(InputError, match="other images"):
        evaluate(run, data, shift=data, device="cpu")
    with pytest.raises(InputError, match="32 to 512"):
        evaluate(colour_run(tmp_path / "small"), data, corrupt=True, device="cpu")
    assert main(["evaluate", str(run), str(data), "--corrupt", "--corruption", "glas_blur"]) == 2
    assert "glass_blur" in capsys.readouterr().err
    assert main(["evaluate", str(run), str(data), "--corrupt", "--severity", "7"]) == 2
    assert "1 (slight) to 5 (severe)" in capsys.readouterr().err
    assert main(["evaluate", str(run), str(data), "--severity", "3"]) == 2
    assert "Add --corrupt" in capsys.readouterr().err


def test_older_definitions_of_the_corruptions_are_scored_again(
    run: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate(run, data, corrupt=["contrast"], severities=[1], device="cpu")
    made: list[int] = []

    def counted(*words: Any, **options: Any) -> Any:
        made.append(len(words[0]))
        return corrupt(*words, **options)

    monkeypatch.setattr(corrupted, "corrupt", counted)
    evaluate(run, data, corrupt=["contrast"], severities=[1], device="cpu")
    assert not made
    monkeypatch.setattr(corrupted, "VERSION", corrupted.VERSION + 1)
    evaluate(run, data, corrupt=["contrast"], severities=[1], device="cpu")
    assert sum(made) == 20


def test_neither_names_a_place_on_this_machine(run: Path, data: Path, tmp_path: Path) -> None:
    photos = folder_of(tmp_path / "elsewhere", {"red": 3, "green": 3})
    table = tmp_path / "tables" / "labels.csv"
    table.parent.mkdir()
    (tmp_path / "tables" / "empty").mkdir()
    rows = [f"{file},{file.parent.name}" for file in sorted(photos.glob("*/*.png"))]
    table.write_text("\n".join(["path,label", *rows]) + "\n")
    options: dict[str, Any] = {"corrupt": ["contrast"], "severities": [1], "device": "cpu", "cache": False}
    report = evaluate(run, table.parent / "empty", labels=table, shift=data, **options)
    assert report.corruptions is not None
    assert report.corruptions.picture == "green/00.png"
    assert report.shift is not None
    assert report.shift.folder == data.name
    document = json.loads(report.to_json())
    assert str(tmp_path) not in json.dumps(document["corruptions"])
    assert str(data) not in json.dumps(document["shift"])
