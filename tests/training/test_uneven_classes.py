"""Training with uneven classes: every way runs, resumes to the bit, and the best epoch is chosen by what is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from residua.data.open import open_dataset
from residua.evaluation.compare import compare
from residua.evaluation.evaluate import evaluate
from residua.training.loop import train
from residua.training.trainer import Trainer
from residua.weights.run import Run


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of real digits: 70 zeros, 12 eights, 12 threes, in files."""
    digits, folder = open_dataset("digits").splits["train"], tmp_path_factory.mktemp("uneven")
    for label, many in ((0, 70), (3, 12), (8, 12)):
        (folder / f"digit {label}").mkdir()
        for number, index in enumerate((digits.labels == label).nonzero()[0][:many]):
            Image.fromarray(digits.images.read(int(index))).save(folder / f"digit {label}" / f"{number:02}.png")
    return folder


def options(**changes: Any) -> dict[str, Any]:
    return {
        "epochs": 2,
        "batch_size": 8,
        "image_size": 16,
        "workers": 1,
        "kernels": "eager",
        "device": "cpu",
        "val_fraction": 0.3,
        "checkpoint_every_steps": 2,
        "progress": False,
        **changes,
    }


@pytest.fixture(scope="module")
def runs(uneven: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """A run by each way."""
    folder = tmp_path_factory.mktemp("balanced")
    return {
        kind: train(uneven, "cifar_resnet8", out=folder / kind, balance=kind, **options())
        for kind in ("none", "loss", "sampler", "logits")
    }


def test_the_classes_and_their_images_are_shown(
    uneven: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(uneven, "cifar_resnet8", out=tmp_path / "run", **options(max_steps=1, progress=True))
    shown = capsys.readouterr().err
    assert "Training images of each class: digit 0 (49), digit 8 (8), digit 3 (8); uneven: balance='logits'" in shown
    report = evaluate(tmp_path / "run")
    text = " ".join(shown.split())
    assert f"val balanced accuracy {report.balanced_accuracy:.2%} (95% interval" in text
    assert f"accuracy {report.top1:.2%}, and loss" in text
    assert "guessing: always answering digit 0 would have a balanced accuracy of 33.33%" in text


def test_every_way_gives_other_weights(runs: dict[str, Run]) -> None:
    assert len({run.weights_sha256 for run in runs.values()}) == 4


@pytest.mark.parametrize("kind", ["loss", "sampler", "logits"])
def test_a_stopped_run_resumes_to_the_bit(
    kind: str, uneven: Path, runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(Exception):
        pass

    step = Trainer.step

    def until_five(trainer: Trainer, group: Any) -> None:
        if trainer.global_step == 5:
            raise Killed
        step(trainer, group)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", until_five)
        with pytest.raises(Killed):
            train(uneven, "cifar_resnet8", out=tmp_path / "run", balance=kind, **options())
    resumed = train(uneven, out=tmp_path / "run", resume=True, progress=False)
    assert resumed.weights_sha256 == runs[kind].weights_sha256


def test_the_best_epoch_is_chosen_by_balanced_accuracy(uneven: Path, tmp_path: Path) -> None:
    run = train(
        uneven,
        "cifar_resnet8",
        out=tmp_path / "run",
        keep="best",
        keep_by="balanced_accuracy",
        **options(epochs=4, learning_rate=0.02),
    )
    lines = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    best = max(lines, key=lambda line: (line["val_balanced_accuracy"], -line["val_loss"]))
    assert run.metrics["best_epoch"] == best["epoch"]
    assert run.metrics["best_val_balanced_accuracy"] == best["val_balanced_accuracy"]
    assert run.metrics["balanced_accuracy"] == best["val_balanced_accuracy"]


def test_balanced_figures_come_first_and_are_scikit_learns(runs: dict[str, Run]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    report = evaluate(runs["none"])
    assert report.uneven
    truth, given = [], []
    for row, line in enumerate(report.confusion):
        for column, many in enumerate(line):
            truth += [row] * int(many)
            given += [column] * int(many)
    assert report.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(truth, given), rel=1e-12)
    assert report.macro_f1 == pytest.approx(metrics.f1_score(truth, given, average="macro"), rel=1e-12)
    recalls = metrics.recall_score(truth, given, average=None)
    assert [row.recall for row in report.per_class] == pytest.approx(recalls, rel=1e-12)
    low, high = report.balanced_accuracy_interval or (1, 0)
    assert low <= report.balanced_accuracy <= high
    page = report.to_html()
    summary = page[page.index('id="summary"') : page.index('id="curves"')]
    assert '<p class="big-label">balanced accuracy</p>' in summary
    assert '<th scope="row">digit 8</th>' in summary
    assert summary.index("macro F1") < summary.index("<dt>top-1</dt>")
    assert page.index('<section id="classes">') < page.index('<section id="confusion">')


def test_compare_has_recalls_of_each_class(runs: dict[str, Run], capsys: pytest.CaptureFixture[str]) -> None:
    from residua.cli.app import main as command

    folders = [str(runs[kind].folder) for kind in ("none", "logits")]
    compared = compare(folders)
    assert compared.uneven
    for row, folder in zip(compared.runs, folders, strict=True):
        report = evaluate(folder)
        assert row.recalls == tuple(each.recall for each in report.per_class)
        assert (row.balanced_accuracy, row.macro_f1) == (report.balanced_accuracy, report.macro_f1)
    assert command(["compare", *folders]) == 0
    printed = capsys.readouterr().out
    assert printed.index("balanced") < printed.index("top-1") < printed.index("recall of")
