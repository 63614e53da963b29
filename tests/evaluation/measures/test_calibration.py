"""Calibration against torchmetrics, temperatures against an independent optimum, and the bundle that keeps one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from torchmetrics.functional.classification import multiclass_calibration_error

from evaluation.runs import COLOURS, colour_folder, colour_run, paint
from residua._base.errors import InputError
from residua.evaluation.calibrate import calibrate
from residua.evaluation.evaluate import evaluate
from residua.evaluation.measures.calibration import calibration, fit_temperature
from residua.evaluation.measures.metrics import from_logits, tally_of
from residua.inference.predict import predict
from residua.weights.bundle.calibration import store_calibration
from residua.weights.bundle.read import load_bundle, read_bundle
from residua.weights.open import load


def draw(
    classes: int, count: int, *, seed: int = 0, tied: bool = False, scale: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    logits = random.normal(size=(count, classes))
    logits[np.arange(count), labels] += 1
    return torch.tensor((logits.round() if tied else logits) * scale), torch.tensor(labels)


@pytest.mark.parametrize("bins", [1, 5, 15])
@pytest.mark.parametrize(
    ("classes", "count", "tied", "scale"),
    [(10, 1000, False, 1.0), (10, 1000, True, 1.0), (2, 400, True, 0.0), (3, 1, False, 1.0), (4, 300, False, 30.0)],
    ids=["random", "ties", "all on an edge", "one image", "very sure"],
)
def test_equal_to_torchmetrics(
    classes: int, count: int, tied: bool, scale: float, bins: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits, labels = draw(classes, count, tied=tied, scale=scale)
    outcome = tally_of(logits, labels).outcome()
    found = calibration(outcome.probability, outcome.correct, bins)
    # They cast to single precision, which moves probabilities across edges. A probability of exactly 1 they count in a
    # bin of its own, the papers in the last one.
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    probabilities = logits.softmax(1).clamp(max=1 - 2**-52)
    for norm, ours in (("l1", found.ece), ("max", found.mce)):
        theirs = multiclass_calibration_error(probabilities, labels, classes, bins, norm)
        assert ours == pytest.approx(float(theirs), abs=1e-9), norm
    assert sum(row.count for row in found.bins) == sum(row.count for row in found.bins_equal_mass) == count


def test_bins_of_equal_mass() -> None:
    logits, labels = draw(5, 1003, seed=2)
    outcome = tally_of(logits, labels).outcome()
    found = calibration(outcome.probability, outcome.correct)
    counts = [row.count for row in found.bins_equal_mass]
    assert max(counts) - min(counts) <= 1
    order = np.argsort(outcome.probability, kind="stable")
    gap, start = 0.0, 0
    for count in counts:
        chosen = order[start : start + count]
        gap += count / 1003 * abs(outcome.correct[chosen].mean() - outcome.probability[chosen].mean())
        start += count
    assert found.ece_equal_mass == pytest.approx(gap, abs=1e-12)
    assert len(calibration(np.array([0.3, 0.4]), np.array([True, False])).bins_equal_mass) == 2


def test_what_is_no_probability_is_refused() -> None:
    for values in ([0.5, np.nan], [0.5, 1.5], [-0.1, 0.5], []):
        with pytest.raises(InputError):
            calibration(np.array(values), np.ones(len(values), bool))
    with pytest.raises(InputError):
        calibration(np.array([0.5]), np.array([True]), 0)


@pytest.mark.parametrize("scale", [0.01, 0.3, 1.0, 7.0, 500.0])
@pytest.mark.parametrize("tied", [False, True])
def test_the_temperature_is_the_optimum(scale: float, tied: bool) -> None:
    logits, labels = draw(10, 500, seed=3, scale=scale, tied=tied)
    found = fit_temperature(logits, labels)

    def loss(log_temperature: float) -> float:
        return float(torch.nn.functional.cross_entropy(logits / np.exp(log_temperature), labels))

    wanted = minimize_scalar(loss, bounds=(-7, 9), method="bounded", options={"xatol": 1e-10})
    assert found.temperature == pytest.approx(np.exp(wanted.x), rel=1e-5)
    assert found.loss_after == pytest.approx(wanted.fun, abs=1e-9)
    assert found.loss_before == pytest.approx(from_logits(logits, labels).loss, abs=1e-9)
    assert found.loss_after <= found.loss_before


def test_a_known_temperature_is_found_again() -> None:
    random = np.random.default_rng(0)
    logits = torch.from_numpy(random.normal(size=(200_000, 4)) * 2)
    labels = torch.from_numpy((logits.softmax(1).numpy().cumsum(1) > random.random((200_000, 1))).argmax(1))
    assert fit_temperature(3 * logits, labels).temperature == pytest.approx(3, rel=0.02)


def test_where_there_is_no_optimum() -> None:
    logits, labels = torch.eye(3, dtype=torch.float64), torch.arange(3)
    with pytest.raises(InputError, match="all classified correctly"):
        fit_temperature(logits, labels)
    with pytest.raises(InputError, match="by chance"):
        fit_temperature(-logits, labels)
    with pytest.raises(InputError, match="by chance"):
        fit_temperature(torch.zeros(3, 3), labels)
    with pytest.raises(InputError):
        fit_temperature(logits[:0], labels[:0])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    for part in ("train", "val", "test"):
        colour_folder(tmp_path / "data" / part, [("red", "blue"), ("green", "red")])
    return colour_run(tmp_path / "run", data=tmp_path / "data")


def test_a_temperature_is_kept_and_used(run: Path, tmp_path: Path) -> None:
    (before, tensors), raw = read_bundle(run), evaluate(run)
    answer = predict(run, tmp_path / "data" / "test" / "red" / "00.png")[0]
    assert (load(run).calibration, load(run).temperature, raw.calibrated) == (None, 1.0, None)
    fitted = calibrate(run)
    assert fitted.count == 32
    # Two of 32 are wrong, and every right answer is equally sure: the best probability is the rate of right ones.
    after, kept = read_bundle(run)
    assert after.weights_sha256 == before.weights_sha256
    for name in ("spec", "classes", "preprocess", "metrics", "data", "recipe", "versions", "initial_weights"):
        assert getattr(after, name) == getattr(before, name), name
    assert all(torch.equal(kept[name], tensor) for name, tensor in tensors.items())
    calibrated = load(run)
    assert calibrated.temperature == fitted.temperature
    report = evaluate(calibrated)
    assert report.loss == raw.loss, "the network's own numbers stay"
    assert report.calibrated is not None
    assert report.calibrated.loss == pytest.approx(fitted.loss_after), "the parts hold the same pictures"
    assert report.calibrated.calibration.ece < 1e-6 < report.calibration.ece  # type: ignore[union-attr]
    assert report.calibrated.fitted["split"] == "val"
    assert [row.wanted for row in report.calibrated.thresholds] == [0.9, 0.95, 0.99]
    assert (report.calibrated.thresholds[0].coverage, report.calibrated.thresholds[0].accuracy) == (1, 30 / 32)
    assert report.calibrated.thresholds[2].probability is None
    now = predict(run, tmp_path / "data" / "test" / "red" / "00.png")[0]
    assert now.labels == answer.labels
    assert now.probabilities[0] == pytest.approx(30 / 32, abs=1e-4) != answer.probabilities[0]
    copy = calibrated.save_pretrained(tmp_path / "copy")
    assert load(copy).temperature == fitted.temperature
    with torch.no_grad():
        calibrated.model.state_dict()["fc.bias"].add_(1)
    assert load(calibrated.save_pretrained(tmp_path / "changed")).calibration is None, (
        "it does not belong to different weights"
    )
    assert any("flatters" in note for note in evaluate(run, split="val").remarks)


def test_what_cannot_be_calibrated(run: Path, tmp_path: Path) -> None:
    content = (run / "model.safetensors").read_bytes()
    other, clean = tmp_path / "other", tmp_path / "clean"
    for part in ("train", "val"):
        colour_folder(other / part, [("red", "blue")])
        colour_folder(clean / part)
    with pytest.raises(InputError, match="was not trained on"):
        calibrate(run, other)
    with pytest.raises(InputError, match="weights that differ"):
        store_calibration(run, {"temperature": 2.0}, "0" * 64)
    perfect = colour_run(tmp_path / "perfect", data=clean)
    with pytest.raises(InputError, match="all classified correctly"):
        calibrate(perfect)
    assert (run / "model.safetensors").read_bytes() == content
    assert [file.name for file in run.iterdir() if file.name.endswith(".part")] == []
    with pytest.raises(InputError, match="does not record what it was trained on"):
        calibrate(colour_run(tmp_path / "bare"))


@pytest.mark.parametrize("value", [0.0, -1.0, "hot", None, float("inf")])
def test_a_temperature_that_is_none_is_refused(run: Path, tmp_path: Path, value: object) -> None:
    content = (run / "model.safetensors").read_bytes()
    with pytest.raises(InputError, match="temperature"):
        store_calibration(run, {"temperature": value}, load_bundle(run).weights_sha256)
    assert (run / "model.safetensors").read_bytes() == content
    with pytest.raises(InputError, match="is calibrated with"):
        load(colour_run(tmp_path / "strange", calibration={"temperature": value}))


def test_answers_stay_the_same(tmp_path: Path, run: Path) -> None:
    pictures = [paint(tmp_path / f"{name}.png", colour) for name, colour in COLOURS.items()]
    before = [answer.labels for answer in predict(run, pictures)]
    calibrate(run)
    assert [answer.labels for answer in predict(run, pictures)] == before
