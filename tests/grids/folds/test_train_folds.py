"""Three folds of a table with groups: stopped after one, taken up again, judged beside scikit-learn."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import metrics

from data.pictures import picture
from residua._base.errors import AnswerNo, Damaged, InputError
from residua._base.subprocesses import processors
from residua.cli.app import main
from residua.evaluation.evaluate import evaluate
from residua.grids import processes
from residua.grids.folds import train_folds as module
from residua.grids.folds.out_of_fold import OUT_OF_FOLD, read_out_of_fold
from residua.grids.folds.outcome import CrossValidation, mean_of
from residua.grids.folds.train_folds import train_folds
from residua.grids.jobs import Job
from residua.inference.predict import predict
from residua.training.loop import train
from residua.weights.open import load

SHORT: dict[str, Any] = {
    "recipe": "fast",
    "epochs": 1,
    "min_steps": 0,
    "batch_size": 8,
    "image_size": 16,
    "workers": 1,
    "kernels": "eager",
    "device": "cpu",
    "learning_rate": 0.01,
}


class Cut(Exception):
    """The grid was killed after its first job."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with PHOTOS, 36 pictures, and labels.csv with twelve groups."""
    root = tmp_path_factory.mktemp("folds")
    (root / "PHOTOS").mkdir()
    lines = ["path,label,patient"]
    for number in range(36):
        picture(number).save(root / "PHOTOS" / f"{number:02}.png")
        lines.append(f"{number:02}.png,{('cat', 'dog', 'dog')[number % 3]},{number // 3}")
    (root / "labels.csv").write_text("\n".join(lines))
    return root


def arguments(photos: Path) -> dict[str, Any]:
    """Return the keywords of the folds."""
    return {"labels": photos / "labels.csv", "groups": "patient", "progress": False, **SHORT}


@pytest.fixture(scope="module")
def outcome(photos: Path) -> CrossValidation:
    """The folds, of which the first was trained before the rest was killed."""

    def first_alone(jobs: Sequence[Job], **options: Any) -> dict[str, str]:
        processes.run_jobs(jobs[:1], **options)
        raise Cut

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESIDUA_CACHE", str(photos / "cache"))
        patch.setattr(module, "run_jobs", first_alone)
        with pytest.raises(Cut):
            train_folds(photos / "PHOTOS", "cifar_resnet8", out=photos / "cv", folds=3, jobs=3, **arguments(photos))
        patch.undo()
        patch.setenv("RESIDUA_CACHE", str(photos / "cache"))
        before = (photos / "cv/fold-1/model.safetensors").stat().st_mtime_ns
        # All that is not named is the folder's own.
        result = train_folds(photos / "PHOTOS", out=photos / "cv", resume=True, jobs=3, progress=False)
        assert (photos / "cv/fold-1/model.safetensors").stat().st_mtime_ns == before
    return result


def test_every_image_is_judged_once_and_groups_stay_whole(outcome: CrossValidation, photos: Path) -> None:
    answers = read_out_of_fold(photos / "cv" / OUT_OF_FOLD)
    assert answers.paths == tuple(f"{number:02}.png" for number in range(36))
    assert answers.classes == ("cat", "dog")
    assert answers.labels.tolist() == [0, 1, 1] * 12
    assert answers.logits.shape == (36, 2)
    assert answers.logits.dtype == np.float32
    for group in range(12):
        assert len(set(answers.folds[3 * group : 3 * group + 3].tolist())) == 1
    assert np.bincount(answers.folds).tolist() == [0, 12, 12, 12]


def test_a_fold_is_the_run_that_is_trained_alone(outcome: CrossValidation, photos: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, processors() // 3))
    try:
        alone = train(photos / "PHOTOS", "cifar_resnet8", out=photos / "two", folds=3, fold=2, **arguments(photos))
    finally:
        torch.set_num_threads(threads)
    assert alone.weights_sha256 == load(photos / "cv/fold-2").weights_sha256
    answers = read_out_of_fold(photos / "cv" / OUT_OF_FOLD)
    report = evaluate(alone)
    own = answers.folds == 2
    assert report.count == own.sum()
    assert report.top1 == (answers.logits[own].argmax(1) == answers.labels[own]).mean()


def test_what_is_pooled_is_what_scikit_learn_counts(outcome: CrossValidation, photos: Path) -> None:
    answers = read_out_of_fold(photos / "cv" / OUT_OF_FOLD)
    predicted = answers.logits.argmax(1)
    report = outcome.report
    assert np.array_equal(report.confusion, metrics.confusion_matrix(answers.labels, predicted))
    assert report.top1 == pytest.approx(metrics.accuracy_score(answers.labels, predicted), abs=1e-12)
    balanced = metrics.balanced_accuracy_score(answers.labels, predicted)
    assert report.balanced_accuracy == pytest.approx(balanced, abs=1e-12)
    probabilities = torch.from_numpy(answers.logits).double().softmax(1).numpy()
    assert report.loss == pytest.approx(metrics.log_loss(answers.labels, probabilities), abs=1e-9)
    for result in outcome.folds:
        own = answers.folds == result.fold
        assert result.top1 == pytest.approx((predicted == answers.labels)[own].mean(), abs=1e-12)
    page = (photos / "cv/report.html").read_text()
    assert "3 runs, each trained on all but one of 3 folds of 36 images" in " ".join(page.split())
    assert "Each image is judged by the run of 3 that had it held out" in page
    assert str(photos) not in page
    document = json.loads((photos / "cv/cross_validation.json").read_text())
    assert document["pooled"]["count"] == 36
    assert [each["fold"] for each in document["folds"]] == [1, 2, 3]


def test_the_interval_of_the_mean_is_students() -> None:
    values = [0.9, 0.95, 0.85, 0.92]
    mean = mean_of(values, 0.0, 1.0)
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert (mean.value, mean.low, mean.high) == pytest.approx((np.mean(values), low, high))
    assert mean_of([0.99, 0.9], 0.0, 1.0).high == 1.0


def test_folds_answer_as_an_ensemble(
    outcome: CrossValidation, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = photos / "other.csv"
    other.write_text("path,label\n00.png,cat\n01.png,dog\n02.png,dog\n")
    report = evaluate(photos / "cv", photos / "PHOTOS", labels=other)
    assert report.count == 3
    assert [member.name for member in report.ensemble.members] == ["fold-1", "fold-2", "fold-3"]
    with pytest.raises(InputError, match="its folds have learnt from"):
        evaluate(photos / "cv")
    image = photos / "PHOTOS/00.png"
    own = [predict(photos / f"cv/fold-{fold}", [image])[0] for fold in (1, 2, 3)]
    shares = [dict(zip(each.labels, each.probabilities, strict=True)) for each in own]
    (together,) = predict(photos / "cv", [image])
    assert len(together.labels) == len(shares[0])
    for label, probability in zip(together.labels, together.probabilities, strict=True):
        assert probability == pytest.approx(np.mean([share[label] for share in shares]), abs=1e-6)
    for words in (
        ["export", str(photos / "cv"), "--format", "onnx", "--out", str(photos / "ex")],
        ["serve", str(photos / "cv")],
        ["embed", str(photos / "cv"), str(image), "--out", str(photos / "vectors.npy")],
        ["explain", str(photos / "cv"), str(image), "--out", str(photos / "map.png")],
    ):
        assert main(words) == 2
        assert "cv/fold-1" in capsys.readouterr().err
    (photos / "cv/cross_validation.json").rename(photos / "away.json")
    with pytest.raises(InputError, match="folds are not all trained"):
        predict(photos / "cv", [image])
    (photos / "away.json").rename(photos / "cv/cross_validation.json")
    with pytest.raises(InputError, match="seed 0 and fold 2 of 3, this one with seed 0 and fold 1 of 3"):
        evaluate(photos / "cv/fold-1", members=[photos / "cv/fold-2"])


def test_what_changes_in_the_recipe_is_stated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def cut(jobs: Sequence[Job], **options: Any) -> dict[str, str]:
        raise Cut

    monkeypatch.setattr(module, "run_jobs", cut)
    with pytest.raises(Cut):
        train_folds("digits", "cifar_resnet8", out=tmp_path / "cv", folds=2, **SHORT)
    assert capsys.readouterr().err.count("flip=False in place of the recipe's: mirrored images of digits") == 1


def test_a_folder_of_folds_goes_on_with_its_own_alone(
    outcome: CrossValidation, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="resume=True"):
        train_folds(photos / "PHOTOS", "cifar_resnet8", out=photos / "cv", folds=3, **arguments(photos))
    with pytest.raises(InputError, match="epochs"):
        train_folds(photos / "PHOTOS", out=photos / "cv", resume=True, progress=False, epochs=2)
    with pytest.raises(InputError, match="no folds to resume"):
        train_folds(photos / "PHOTOS", out=photos / "none", resume=True)
    assert main(["train", str(photos / "PHOTOS"), "--out", str(photos / "cv"), "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pooled"]["top1"] == outcome.top1


def test_what_no_fold_can_do_is_refused_before_any_work(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", str(photos / "PHOTOS"), "--labels", str(photos / "labels.csv"), "--out", str(photos / "x")]
    for flags, wanted in (
        (["--jobs", "2"], "--folds 5"),
        (["--folds", "1"], "--folds 5"),
        (["--folds", "13", "--groups", "patient"], "--folds 12"),
        (["--folds", "3", "--fold", "4"], "--fold 4"),
    ):
        assert main([*words, *flags]) == 2
        assert wanted in capsys.readouterr().err
    assert not (photos / "x").exists()
    with pytest.raises(InputError, match="train_folds trains them all"):
        train(photos / "PHOTOS", "cifar_resnet8", out=photos / "x", folds=3, **arguments(photos))


def test_a_fold_that_fails_is_named(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "run_jobs", lambda jobs, **options: {"fold-2": "out of memory"})
    with pytest.raises(AnswerNo, match="1 of 3 folds failed: fold-2: out of memory"):
        train_folds(photos / "PHOTOS", "cifar_resnet8", out=photos / "bad", folds=3, **arguments(photos))


def test_damaged_answers_are_refused(outcome: CrossValidation, photos: Path) -> None:
    content = (photos / "cv" / OUT_OF_FOLD).read_bytes()
    (photos / "cut.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(Damaged, match="no archive of answers"):
        read_out_of_fold(photos / "cut.npz")
