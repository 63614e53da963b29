"""A run of several labels is judged by its own measures, in every form; what is for one label is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as oracle

from residua._base.errors import InputError
from residua.cli.app import main
from residua.evaluation.calibrate import calibrate
from residua.evaluation.compare import compare
from residua.evaluation.evaluate import evaluate
from residua.evaluation.multilabel.report import MultilabelReport
from residua.weights.open import load


@pytest.fixture(scope="module")
def report(labels_run: Path) -> MultilabelReport:
    """The report of the test part."""
    found = evaluate(labels_run)
    assert isinstance(found, MultilabelReport)
    return found


def test_the_report_agrees_with_scikit_learn_on_its_own_table(report: MultilabelReport, tmp_path: Path) -> None:
    assert (report.split, report.count, len(report.classes)) == ("test", 40, 10)
    table = report.predictions.write(tmp_path / "p.csv")
    rows = list(csv.DictReader(table.read_text().splitlines()))
    truth = np.array([[name in row["labels"].split(";") for name in report.classes] for row in rows])
    decided = np.array([[name in row["predicted"].split(";") for name in report.classes] for row in rows])
    scores = np.array([[float(row[f"p({name})"]) for name in report.classes] for row in rows])
    assert report.mean_average_precision == pytest.approx(oracle.average_precision_score(truth, scores), abs=1e-9)
    assert report.micro_f1 == pytest.approx(oracle.f1_score(truth, decided, average="micro"), abs=1e-9)
    assert report.exact_match == pytest.approx(np.mean([row["correct"] == "true" for row in rows]), abs=1e-9)
    assert (scores >= np.array(report.thresholds.thresholds)).tolist() == decided.tolist()
    assert report.loss == pytest.approx(np.mean([float(row["loss"]) for row in rows]), abs=1e-9)
    assert sum(row["labels"] == "" for row in rows) == 5
    low, high = report.mean_average_precision_interval
    assert low < report.mean_average_precision < high
    assert report.mean_average_precision > report.baseline


def test_the_bundle_holds_thresholds_of_the_validation(labels_run: Path, report: MultilabelReport) -> None:
    run = load(labels_run)
    assert run.multilabel == report.thresholds
    assert (run.multilabel.split, run.multilabel.count) == ("val", run.data["counts"]["val"])
    assert len(set(run.multilabel.thresholds)) > 1
    assert run.metrics["mean_average_precision"] == pytest.approx(report.mean_average_precision, abs=1e-6)
    on_val = evaluate(labels_run, split="val")
    assert any("F1 and exact match flatter" in note for note in on_val.remarks)
    assert not report.remarks
    best = load(labels_run / "checkpoints" / "best.safetensors")
    assert best.multilabel.thresholds == (0.5,) * 10
    assert "mAP" in run._repr_html_()


def test_page_and_document_have_what_counts(labels_run: Path, report: MultilabelReport) -> None:
    page = report.to_html()
    assert "mean average precision" in page
    assert "Label by label" in page
    assert "Confusion" not in page
    assert "top-1" not in page
    assert f"after epoch {load(labels_run).metrics['best_epoch']}." in page
    assert "guessing by the share of each label</text>" in page
    assert "always the most frequent class" not in page
    assert "Best validation mean average precision" in page
    document = json.loads(report.to_json())
    assert document["thresholds"]["split"] == "val"
    assert len(document["per_label"]) == 10
    assert "thumbnail" not in document["missed"][0]
    assert json.loads((labels_run / "report.json").read_text())["mean_average_precision"] == pytest.approx(
        report.mean_average_precision, abs=1e-6
    )
    assert {row.path.split(".")[0][:4] for row in report.missed} == {"test"}


def test_views_average_sigmoids(labels_run: Path, report: MultilabelReport) -> None:
    flipped = evaluate(labels_run, views="flip")
    again = evaluate(labels_run, views="1,flip")
    one, two = report.predictions.probabilities, flipped.predictions.probabilities
    assert not np.allclose(one, two)
    np.testing.assert_allclose(again.predictions.probabilities, (one + two) / 2, atol=1e-9)


def test_two_runs_are_compared_by_their_ranking(labels_run: Path, tmp_path: Path) -> None:
    same = compare([labels_run, labels_run / "checkpoints" / "last.safetensors"])
    first, second = same.runs
    assert first.mean_average_precision == evaluate(labels_run).mean_average_precision
    pair = same.differences[0]
    assert pair.difference == pytest.approx(first.mean_average_precision - second.mean_average_precision, abs=1e-12)
    assert (pair.p < 0.05) == (pair.interval[0] > 0 or pair.interval[1] < 0)
    assert json.loads(json.dumps(same.to_dict()))["classes"] == list(load(labels_run).classes)


def test_other_data_needs_a_table_of_all_labels(labels_run: Path, digit_pairs: Path) -> None:
    with pytest.raises(InputError, match="one label each by their folders"):
        evaluate(labels_run, "digits")
    other = digit_pairs / "other.csv"
    other.write_text("path,label\ntest001.png,3\ntest002.png,5\ntest008.png,\n")
    judged = evaluate(labels_run, digit_pairs / "PHOTOS", labels=other)
    assert judged.count == 3
    assert judged.predictions.columns()["labels"][2] == ""
    other.write_text("path,label\ntest001.png,3;cat\n")
    with pytest.raises(
        InputError, match=r"1 row with labels that .* does not know: row 2 \(test001.png\): cat"
    ) as caught:
        evaluate(labels_run, digit_pairs / "PHOTOS", labels=other)
    assert "folder" not in caught.value.remedy
    assert "does not have" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"members": ["OTHER"]},
        {"neighbours": True},
        {"unknown": Path("FOLDER")},
        {"reestimate": True},
        {"select": "greedy"},
    ],
)
def test_what_is_for_one_label_is_refused(labels_run: Path, options: dict[str, object]) -> None:
    name = next(iter(options))
    with pytest.raises(
        InputError, match=f"images may have several labels.* no {name}=…, which is not measured"
    ) as caught:
        evaluate(labels_run, **options)
    assert "Path(" not in str(caught.value)


def test_a_temperature_is_refused(labels_run: Path) -> None:
    with pytest.raises(InputError, match="images may have several labels"):
        calibrate(labels_run)


def test_the_commands_print_it(labels_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(labels_run)]) == 0
    text = capsys.readouterr().out
    assert "mean average precision" in text
    assert (
        "from the label's own threshold on: the probability with the greatest F1 on 18 images of the val part" in text
    )
    assert main(["compare", str(labels_run), str(labels_run / "checkpoints" / "last.safetensors")]) == 0
    assert "average precision of" in capsys.readouterr().out
    assert main(["doubt", str(labels_run)]) == 2
    assert "whose images may have several labels" in capsys.readouterr().err
