"""Training images that are measured after each epoch, and a part of them to train on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from residua.data.open import open_dataset
from residua.data.splitting import balanced
from residua.evaluation.evaluate import evaluate, evaluate_model
from residua.training.loop import train
from residua.weights.open import load


def test_measuring_training_images_moves_no_weight_and_is_what_evaluation_finds(
    finished: Path, tmp_path: Path, small: dict[str, Any]
) -> None:
    run = train("digits", "cifar_resnet8", out=tmp_path / "run", progress=False, **small, measure_train=200)
    assert run.weights_sha256 == load(finished).weights_sha256
    rows = [json.loads(line) for line in (tmp_path / "run/history.jsonl").read_text().splitlines()]
    split = open_dataset("digits").splits["train"]
    chosen = split.subset(balanced(split.labels, 200, 0))
    found = evaluate_model(run.model, chosen, run.preprocess_spec, run.classes)
    assert rows[-1]["train_top1"] == found.top1
    assert all("train_top1" not in json.loads(line) for line in (finished / "history.jsonl").read_text().splitlines())


def test_a_run_on_a_part_is_evaluated_on_that_part(tmp_path: Path, small: dict[str, Any]) -> None:
    asked = {**small, "epochs": 1, "train_images": 100}
    run = train("digits", "cifar_resnet8", out=tmp_path / "run", progress=False, **asked)
    assert run.data["class_counts"]["train"] == [10] * 10
    assert evaluate(run, split="train").count == 100
    assert evaluate(run, "digits", split="train").count == 100
