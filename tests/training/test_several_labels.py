"""Training where an image may have several labels: the loss, its weights, what is kept, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from residua._base.errors import InputError
from residua.cli.app import main
from residua.training.loop import train
from residua.training.recipe import Recipe
from residua.training.step.balance import EQUAL, choose_balance, positive_weights
from residua.training.step.label_kind import suited
from residua.training.step.loss import training_loss
from residua.training.trainer import Trainer
from residua.weights.bundle.signed import read_signed, write_signed
from residua.weights.open import load
from two_digits import SHORT

PROBE = {"probe_views": 2, "freeze": "backbone", "epochs": 1}


def test_the_loss_is_the_mean_binary_cross_entropy() -> None:
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 4, generator=random)
    labels = torch.randint(0, 2, (6, 4), generator=random)
    loss = training_loss(logits, labels, multilabel=True)
    p = logits.double().sigmoid()
    by_hand = -(labels * p.log() + (1 - labels) * (1 - p).log()).mean()
    assert float(loss) == pytest.approx(float(by_hand), abs=1e-6)
    smoothed = training_loss(logits, labels, label_smoothing=0.2, multilabel=True)
    expected = functional.binary_cross_entropy_with_logits(logits, labels * 0.8 + 0.1)
    assert float(smoothed) == pytest.approx(float(expected), abs=1e-7)
    bf16 = training_loss(logits.bfloat16(), labels, multilabel=True)
    assert bf16.dtype == torch.float32


def test_rare_labels_weigh_negatives_over_positives() -> None:
    counts = np.array([10, 50, 100])
    assert positive_weights(counts, 100, 1.0).tolist() == [9.0, 1.0, 0.01]
    assert positive_weights(counts, 100, 0.0).tolist() == [1.0, 1.0, 1.0]
    effective = (1 - 0.99**90) / (1 - 0.99**10)
    assert positive_weights(counts, 100, 0.99)[0] == pytest.approx(effective)
    device = torch.device("cpu")
    chosen = choose_balance(Recipe(balance="loss"), counts, device, images=100)
    assert chosen.positives.tolist() == pytest.approx([9.0, 1.0, 0.01])
    assert choose_balance(Recipe(), counts, device, images=100) == EQUAL
    logits, labels = torch.tensor([[0.0, 0.0, 0.0]]), torch.tensor([[1, 0, 0]])
    assert float(training_loss(logits, labels, balance=chosen, multilabel=True)) == pytest.approx(np.log(2) * 11 / 3)


def test_a_run_records_what_it_is(labels_run: Path) -> None:
    run = load(labels_run)
    assert run.data["multilabel"] is True
    assert run.recipe["keep_by"] == "mean_average_precision"
    lines = [json.loads(line) for line in (labels_run / "history.jsonl").read_text().splitlines()]
    assert len(lines) == 3
    assert "val_top1" not in lines[0]
    best = max(lines, key=lambda line: (line["val_mean_average_precision"], -line["val_loss"]))
    assert run.metrics["best_epoch"] == best["epoch"]
    assert run.metrics["best_val_mean_average_precision"] == best["val_mean_average_precision"]
    config = json.loads((labels_run / "config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"


def test_a_killed_run_goes_on_to_the_same_weights(
    labels_run: Path, digit_pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trainer.step

    def killed(self: Trainer, group: Any) -> None:
        if self.global_step == 12:
            raise KeyboardInterrupt
        step(self, group)

    monkeypatch.setattr(Trainer, "step", killed)
    arguments: dict[str, Any] = SHORT | {"labels": digit_pairs / "labels.csv", "checkpoint_every_steps": 5}
    with pytest.raises(KeyboardInterrupt):
        train(digit_pairs / "PHOTOS", "cifar_resnet8", out=tmp_path / "run", **arguments)
    monkeypatch.setattr(Trainer, "step", step)
    resumed = train(digit_pairs / "PHOTOS", out=tmp_path / "run", resume=True, progress=False)
    assert resumed.weights_sha256 == load(labels_run).weights_sha256
    assert resumed.multilabel == load(labels_run).multilabel


def test_recipes_without_meaning_are_refused(digit_pairs: Path, tmp_path: Path, capsys: Any) -> None:
    dataset = Recipe(val_fraction=0.2).open_data(digit_pairs / "PHOTOS", None, _table(digit_pairs))
    for fields in ({"balance": "sampler"}, {"balance": "logits"}, {"keep_by": "balanced_accuracy"}, PROBE):
        with pytest.raises(InputError, match="may have several labels"):
            suited(Recipe(**fields), dataset)
    assert suited(Recipe(keep_by="macro_f1"), dataset).keep_by == "macro_f1"
    with pytest.raises(InputError, match="one label each"):
        suited(Recipe(keep_by="mean_average_precision"), Recipe().open_data("digits"))
    words = ["train", str(digit_pairs / "PHOTOS"), "--labels", str(digit_pairs / "labels.csv")]
    for more in (["--folds", "3"], ["--folds", "3", "--fold", "1"]):
        assert main([*words, *more, "--out", str(tmp_path / "folds")]) == 2
        assert "for a cross-validation" in capsys.readouterr().err
    corrections = tmp_path / "corrections.csv"
    corrections.write_text("path,label\ntrain001.png,3\n")
    assert main([*words, "--corrections", str(corrections), "--out", str(tmp_path / "x")]) == 2
    assert "Correct the table of the labels itself" in capsys.readouterr().err


def test_weights_go_on_to_data_of_one_label(labels_run: Path, tmp_path: Path) -> None:
    options = SHORT | {"max_steps": 2, "epochs": 0, "train_images": 40, "keep": "last"}
    run = train("digits", "cifar_resnet8", out=tmp_path / "one", weights=labels_run, **options)
    assert run.multilabel is None


@pytest.mark.parametrize("change", [{"schema": 1}, {"multilabel": {"thresholds": [0.5]}}, {"multilabel": {"odd": 1}}])
def test_a_layout_of_its_own_keeps_older_versions_out(labels_run: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    """Versions that know layout 1 alone refuse layout 2; here a header that contradicts itself is refused."""
    document, tensors = read_signed(labels_run / "model.safetensors")
    assert document["schema"] == 2
    write_signed(tmp_path / "model.safetensors", tensors, document | change)
    with pytest.raises(InputError, match=r"layout 1|1 thresholds for 10 labels|thresholds that cannot be read"):
        load(tmp_path)


def _table(folder: Path) -> Any:
    from residua.data.tables.label_table import label_table

    return label_table(folder / "labels.csv")
