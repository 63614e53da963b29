"""Evaluation: exact counts at any batch size, on the right images, with classes matched by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.runs import COLOURS, SIDE, colour_folder, colour_run, paint
from residua._base.errors import InputError
from residua.data.dataset import Split
from residua.data.image_source import ArrayImages
from residua.data.loader import Loader
from residua.data.open import open_data
from residua.evaluation.evaluate import evaluate, evaluate_model
from residua.evaluation.measures.metrics import NotFinite
from residua.evaluation.quick_metrics import quick_metrics
from residua.specs.preprocess import PreprocessSpec
from residua.weights.open import load

WRONG = (("red", "blue"), ("red", "blue"), ("green", "red"))


def test_every_image_is_counted_once(tmp_path: Path) -> None:
    run, data = colour_run(tmp_path / "run"), colour_folder(tmp_path / "data", WRONG)
    report = evaluate(run, data)
    assert (report.count, report.top1) == (33, 30 / 33)
    assert report.classes == ("red", "green", "blue"), "the run's order, not the folder's"
    assert report.confusion.tolist() == [[10, 0, 2], [1, 10, 0], [0, 0, 10]]
    assert report.split == "train", "a plain folder that the run has not seen is evaluated as a whole"
    assert report.baseline == 12 / 33
    assert report.top5 == 1
    assert {(mistake.true, mistake.predicted) for mistake in report.worst} == {("red", "blue"), ("green", "red")}
    assert {mistake.path for mistake in report.worst} == {
        "red/wrong0.png",
        "red/wrong1.png",
        "green/wrong2.png",
    }
    sure = report.worst[0]
    assert sure.probability == pytest.approx(np.exp(4) / (np.exp(4) + 2), rel=1e-3)
    assert sure.true_probability == pytest.approx(1 / (np.exp(4) + 2), rel=1e-2)
    assert sure.thumbnail.startswith("data:image/png;base64,")
    assert report.recipe == {"name": "fast", "epochs": 2, "augment": {"flip": True}}
    assert report.model["name"] == "cifar_resnet8"


@pytest.mark.parametrize("batch_size", [1, 7, 33, 256])
def test_the_batch_size_changes_nothing(tmp_path: Path, batch_size: int) -> None:
    run, data = colour_run(tmp_path / "run"), colour_folder(tmp_path / "data", WRONG)
    ours, whole = (evaluate(run, data, batch_size=size, cache=False).to_dict() for size in (batch_size, 1000))
    for name in ("count", "top1", "top5", "confusion", "per_class", "top1_interval"):
        assert ours[name] == whole[name]
    assert ours["loss"] == pytest.approx(whole["loss"], rel=1e-6)


def test_mistakes_are_named_relative_to_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, data = colour_run(tmp_path / "run"), colour_folder(tmp_path / "home" / "data" / "test", WRONG).parent
    (data / "train").symlink_to(data / "test")
    (tmp_path / "link").symlink_to(data)
    monkeypatch.chdir(tmp_path / "home")
    for given in (data, tmp_path / "link", "data", "./data"):
        paths = {mistake.path for mistake in evaluate(run, given).worst}
        assert paths == {"test/red/wrong0.png", "test/red/wrong1.png", "test/green/wrong2.png"}


def test_classes_are_matched_by_name(tmp_path: Path) -> None:
    data = colour_folder(tmp_path / "data", WRONG)
    for order in (("red", "green", "blue"), ("blue", "red", "green")):
        report = evaluate(colour_run(tmp_path / "-".join(order), order), data)
        assert report.classes == order
        assert report.top1 == 30 / 33
        recall = {row.name: row.recall for row in report.per_class}
        assert recall == {"red": 10 / 12, "green": 10 / 11, "blue": 1}


def test_other_classes_are_refused_with_both_lists(tmp_path: Path) -> None:
    run, data = colour_run(tmp_path / "run"), colour_folder(tmp_path / "data")
    (data / "blue").rename(data / "azure")
    with pytest.raises(InputError) as caught:
        evaluate(run, data)
    assert "azure, which the run does not know" in str(caught.value)
    assert "blue, which the data does not have" in str(caught.value)


def test_data_without_some_classes_is_counted_over_the_others(tmp_path: Path) -> None:
    """Rates are those over red and green; blue, which has no image but was predicted twice, is named."""
    run, data = colour_run(tmp_path / "run"), colour_folder(tmp_path / "data", WRONG)
    for file in (data / "blue").iterdir():
        file.unlink()
    (data / "blue").rmdir()
    report = evaluate(run, data)
    assert (report.count, report.top1) == (23, 20 / 23)
    assert report.confusion.tolist() == [[10, 0, 2], [1, 10, 0], [0, 0, 0]]
    assert report.balanced_accuracy == pytest.approx((10 / 12 + 10 / 11) / 2)
    assert report.absent == ("blue",)
    assert "blue" in report.to_html().split("Without images here")[1][:60]
    assert evaluate(run, data, views="flip").absent == ("blue",)
    assert [row.support for row in report.per_class] == [12, 11, 0]


def test_without_data_the_held_out_part(tmp_path: Path) -> None:
    data = colour_folder(tmp_path / "data", WRONG)
    run = colour_run(tmp_path / "run", data=data)
    report = evaluate(run)
    assert report.split == "val"
    assert report.count == 6
    assert report.data["val_fraction"] == 0.2
    assert "held out" in report.data["evaluated"]
    again = evaluate(run, data)
    assert (again.split, again.count, again.loss) == ("val", 6, report.loss), "its own data never means all of it"
    assert evaluate(run, split="train").count == 27
    assert "trained on" in evaluate(run, split="train").data["evaluated"]
    with pytest.raises(InputError, match="split 'test'"):
        evaluate(run, split="test")


def test_a_test_part_is_preferred(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        colour_folder(tmp_path / "data" / part, WRONG if part == "test" else ())
    run = colour_run(tmp_path / "run", data=tmp_path / "data")
    assert (evaluate(run).split, evaluate(run).count) == ("test", 33)
    assert evaluate(run, tmp_path / "data", split="val").top1 == 1


def test_data_that_changed_or_went(tmp_path: Path) -> None:
    data = colour_folder(tmp_path / "data")
    run = colour_run(tmp_path / "run", data=data)
    paint(data / "red" / "late.png", COLOURS["red"])
    with pytest.raises(InputError, match="has changed"):
        evaluate(run)
    data.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="not available") as caught:
        evaluate(run)
    assert f"residua evaluate {run} DATA" in str(caught.value)
    with pytest.raises(InputError, match="does not record"):
        evaluate(colour_run(tmp_path / "bare"))


def test_bad_files_are_refused_by_name_or_left_out(tmp_path: Path) -> None:
    run, data = colour_run(tmp_path / "run"), colour_folder(tmp_path / "data")
    (data / "red" / "broken.png").write_text("no picture")
    with pytest.raises(InputError, match=r"broken\.png"):
        evaluate(run, data)
    report = evaluate(run, data, on_bad="skip")
    assert (report.count, report.top1) == (30, 1)
    assert "1 of the train files does not decode" in report.data["notes"][-1]


def test_own_data_is_read_as_in_training(tmp_path: Path) -> None:
    for part in ("train", "val"):
        colour_folder(tmp_path / "data" / part)
    (tmp_path / "data" / "val" / "red" / "broken.png").write_text("no picture")
    strict = colour_run(tmp_path / "strict", data=tmp_path / "data")
    lenient = colour_run(tmp_path / "lenient", data=tmp_path / "data", recipe={"on_bad": "skip"})
    with pytest.raises(InputError, match=r"broken\.png"):
        evaluate(strict)
    assert evaluate(lenient).count == 30
    with pytest.raises(InputError, match=r"broken\.png"):
        evaluate(lenient, on_bad="refuse")


def test_skipping_reaches_what_cannot_be_listed(tmp_path: Path) -> None:
    run, data = colour_run(tmp_path / "run"), colour_folder(tmp_path / "data")
    (data / "red" / "gone.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="cannot be read"):
        evaluate(run, data)
    report = evaluate(run, data, on_bad="skip")
    assert report.count == 30
    assert any("cannot be read and was skipped" in note for note in report.data["notes"])


def test_data_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, other = colour_folder(tmp_path / "own"), colour_folder(tmp_path / "other", WRONG)
    run, opened = colour_run(tmp_path / "run", data=own), []

    def counting(data: object, table: object, **options: object) -> object:
        opened.append(data)
        return open_data(data, table, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("residua.evaluation.run_data.open_data", counting)
    assert evaluate(run, own).count == 6
    assert evaluate(run, other).count == 33
    assert opened == [own, other]
    moved = own.rename(tmp_path / "moved")
    assert evaluate(run, moved).split == "val", "known by its hash, wherever it lies"


def test_history_is_read(tmp_path: Path) -> None:
    run, data = colour_run(tmp_path / "run"), colour_folder(tmp_path / "data")
    lines = [json.dumps({"epoch": epoch, "val_top1": epoch / 4}) for epoch in (1, 2)]
    (run / "history.jsonl").write_text("\n".join(lines) + '\n{"epoch": 3, "val')
    assert [row["epoch"] for row in evaluate(run, data).history] == [1, 2]
    assert not any("history" in note for note in evaluate(run, data).data["notes"])


@pytest.mark.parametrize(
    "content",
    [
        b"broken\n",
        b"\xff\xfe\n",
        b"[1]\n",
        b'{"val_top1": 0.5}\n',
        b'{"epoch": "one"}\n',
        b'{"epoch": 1, "val_top1": "good"}\n',
        b'{"epoch": 1, "train_loss": 1' + b"0" * 400 + b"}\n",
        b'{"epoch": 1}\n{"epoch": 1}\n',
        b'{"epoch": NaN}\n',
        b"[" * 100_000 + b"\n",
        None,
    ],
    ids=lambda content: str(content)[:40],
)
def test_a_damaged_history_is_none(tmp_path: Path, content: bytes | None) -> None:
    run, data = colour_run(tmp_path / "run"), colour_folder(tmp_path / "data", count=2)
    path = run / "history.jsonl"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content + b'{"epoch": 2, "val_top1": 0.5}\n')
    report = evaluate(run, data)
    assert (report.count, report.history) == (6, ())
    assert "history.jsonl" in report.data["notes"][-1]
    assert "history.jsonl" in report.to_html()


def test_progress_ends_at_the_count(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    data = colour_folder(tmp_path / "data")
    evaluate(colour_run(tmp_path / "run"), data, batch_size=8, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(8, 30), (16, 30), (24, 30), (30, 30)]


def test_a_batch_size_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="batch_size"):
        evaluate(colour_run(tmp_path / "run"), colour_folder(tmp_path / "data"), batch_size=0)


def pixel_loader(count: int = 20, batch_size: int = 6) -> tuple[Split, Loader]:
    labels = np.arange(count) % 3
    pixels = np.zeros((count, SIDE, SIDE, 3), np.uint8)
    pixels[np.arange(count), :, :, labels] = 255
    pixels[0] = 255 - pixels[0]
    split = Split("val", labels.astype(np.int64), ArrayImages(pixels))
    preprocess = PreprocessSpec(SIDE, SIDE, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    return split, Loader(split, preprocess, batch_size=batch_size, num_classes=3, train=False)


def test_quick_metrics_agree_with_the_report(tmp_path: Path) -> None:
    run = load(colour_run(tmp_path / "run"))
    split, loader = pixel_loader()
    run.model.train()
    quick = quick_metrics(run.model, loader)
    assert run.model.training, "the mode is put back"
    report = evaluate_model(run.model, split, run.preprocess_spec, run.classes)
    assert (quick["top1"], quick["top5"], quick["count"]) == (report.top1, report.top5, report.count)
    assert quick["loss"] == pytest.approx(report.loss, rel=1e-6)
    assert report.top1 == 19 / 20
    assert report.worst[0].path == "val[0]"
    statistics = run.model.state_dict()["bn1.num_batches_tracked"]
    assert statistics == 0, "evaluation leaves batch-norm statistics alone"


def test_quick_metrics_in_reduced_precision(tmp_path: Path) -> None:
    run = load(colour_run(tmp_path / "run"))
    assert quick_metrics(run.model, pixel_loader()[1], autocast=torch.bfloat16)["top1"] == 19 / 20


def test_nan_weights_are_refused(tmp_path: Path) -> None:
    run = load(colour_run(tmp_path / "run"))
    with torch.no_grad():
        run.model.fc.bias.fill_(float("nan"))
    run.model.train()
    with pytest.raises(NotFinite):
        quick_metrics(run.model, pixel_loader()[1])
    assert run.model.training
    with pytest.raises(NotFinite):
        evaluate_model(run.model, pixel_loader()[0], run.preprocess_spec, run.classes)


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    run = load(colour_run(tmp_path / "run"))
    empty = Split("test", np.zeros(0, np.int64), ArrayImages(np.zeros((0, 8, 8, 3), np.uint8)))
    with pytest.raises(InputError, match="no images"):
        evaluate_model(run.model, empty, run.preprocess_spec, run.classes)
