"""Images that grow over the epochs, and a run that uses every field of fast recipes, killed in mid-epoch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from residua._base.errors import InputError
from residua.data.loader import side_of
from residua.evaluation.evaluate import evaluate
from residua.training.loop import train
from residua.training.request import ask
from residua.training.trainer import Trainer
from residua.weights.run import Run

MODEL = "cifar_resnet8"
FIELDS: dict[str, Any] = {
    "recipe": "fast", "epochs": 5, "batch_size": 32, "train_images": 100, "image_size": 48, "begin_size": 16,
    "crop": "random_resized", "alternate_flip": True, "optimizer": "muon", "learning_rate": 0.05, "rest_rate": 2.0,
    "final_views": "flip_if_unsure", "ema_decay": 0.9, "label_smoothing": 0.1, "workers": 1, "kernels": "eager",
    "device": "cpu", "checkpoint_every_steps": 2, "val_fraction": 0.1,
}  # fmt: skip


class Killed(Exception):
    """The end that a test puts to a run."""


def test_the_side_grows_in_a_line_and_ends_full() -> None:
    assert [side_of(epoch, 128, 224, 10) for epoch in range(10)] == [128, 128, 144, 160, 176, 176, 192, 208, 224, 224]
    assert [side_of(epoch, 16, 48, 5) for epoch in range(5)] == [16, 16, 32, 32, 48]
    assert side_of(0, 128, 224, 1) == 224
    assert [side_of(epoch, 100, 224, 2) for epoch in range(2)] == [100, 224]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, list[tuple[int, ...]]]:
    """The run that was never killed, and the shape of the images of each step."""
    shapes: list[tuple[int, ...]] = []
    with pytest.MonkeyPatch.context() as patch:
        step = Trainer.step

        def noted(trainer: Trainer, group: list[Any]) -> None:
            shapes.append(tuple(group[0].images.shape))
            step(trainer, group)

        patch.setattr(Trainer, "step", noted)
        run = train("digits", MODEL, out=tmp_path_factory.mktemp("runs") / "whole", progress=False, **FIELDS)
    return run, shapes


def test_each_epoch_sees_its_size_and_evaluation_the_full_one(undisturbed: tuple[Run, list[tuple[int, ...]]]) -> None:
    run, shapes = undisturbed
    sides = [shape[2] for shape in shapes]
    per_epoch = len(sides) // 5
    assert per_epoch >= 2
    assert sides == [side for side in (16, 16, 32, 32, 48) for _ in range(per_epoch)]
    assert run.preprocess_spec.side == 48


def test_the_final_views_are_recorded_and_are_what_evaluate_measures(
    undisturbed: tuple[Run, list[tuple[int, ...]]],
) -> None:
    run, _ = undisturbed
    report = json.loads((run.folder / "report.json").read_text())
    assert (report["views"], run.metrics["views"]) == ("flip_if_unsure", "flip_if_unsure")
    again = evaluate(run, views="flip_if_unsure", device="cpu", cache=False)
    assert report["loss"] == pytest.approx(again.loss, abs=1e-9)  # type: ignore[union-attr]
    assert report["loss"] != pytest.approx(evaluate(run, device="cpu", cache=False).loss, abs=1e-9)  # type: ignore[union-attr]


def test_killed_in_mid_epoch_it_ends_in_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: tuple[Run, list[tuple[int, ...]]]
) -> None:
    run, shapes = undisturbed
    per_epoch = len(shapes) // 5
    step = Trainer.step

    def killed(trainer: Trainer, group: list[Any]) -> None:
        if trainer.global_step == 3 * per_epoch + 1:
            raise Killed
        step(trainer, group)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", killed)
        with pytest.raises(Killed):
            train("digits", MODEL, out=tmp_path / "run", progress=False, **FIELDS)
    resumed = train("digits", out=tmp_path / "run", resume=True, progress=False)
    theirs = resumed.model.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in run.model.state_dict().items())


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"crop": "pad"}, "crop='pad'"),
        ({"begin_size": 64}, "begin_size=64 with image_size=48"),
        ({"begin_size": 5}, "16 to 48 pixels"),
        ({"model": "vgg11"}, "images of 16 pixel"),
    ],
)
def test_images_that_cannot_grow_are_refused(fields: dict[str, Any], said: str, tmp_path: Path) -> None:
    settings = {"begin_size": 16, "image_size": 48, "crop": "random_resized"} | fields
    model = settings.pop("model", MODEL)
    with pytest.raises(InputError, match=said):
        ask("digits", model, "fast", tmp_path / "run", resume=False, weights="none", **settings)
