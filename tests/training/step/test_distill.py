"""Distillation: the loss of the paper, teachers that see the same views, recorded by hash, and an exact resumption."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evaluation.runs import COLOURS, colour_folder, colour_run
from residua._base.errors import InputError
from residua.cli.app import main
from residua.data.preprocess.normalise import normalise
from residua.families.network import AuxLogits
from residua.runtime.device import choose_hardware
from residua.specs.preprocess import PreprocessSpec
from residua.training.loop import train
from residua.training.recipe import Recipe
from residua.training.step.distill import Teachers, distillation_loss, view_of
from residua.training.step.teachers import find_teachers, open_teachers
from residua.training.trainer import Trainer
from residua.weights.ensemble import write_ensemble
from residua.weights.open import load

SHORT: dict[str, Any] = {"epochs": 2, "min_steps": 0, "train_images": 64, "batch_size": 16, "image_size": 16}
SHORT |= {"kernels": "eager", "workers": 1, "device": "cpu", "progress": False}


class Killed(BaseException):
    """Stands for SIGKILL."""


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher") / "large"
    train("digits", "cifar_resnet8", out=folder, **SHORT)
    return folder


def plain_loss(logits: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return T² Σ p log(p / q), the mean over images, as the paper has it: written out."""
    p, q = (torch.exp(each / temperature) for each in (teacher, logits))
    p, q = p / p.sum(1, keepdim=True), q / q.sum(1, keepdim=True)
    return temperature**2 * (p * torch.log(p / q)).sum(1).mean()


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_the_loss_and_its_gradient(temperature: float) -> None:
    torch.manual_seed(0)
    logits, teacher = torch.randn(6, 5, dtype=torch.float64), torch.randn(6, 5, dtype=torch.float64)
    own, plain = (logits.float().requires_grad_() for _ in range(2))
    loss = distillation_loss(own, (teacher.float() / temperature).log_softmax(1), temperature)
    expected = plain_loss(plain, teacher.float(), temperature)
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-6)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(own.grad, plain.grad, rtol=1e-4, atol=1e-6)
    # Section 2: the gradient is T (q - p) for each image, with the factor T².
    q, p = (logits / temperature).softmax(1), (teacher / temperature).softmax(1)
    torch.testing.assert_close(own.grad, (temperature * (q - p) / 6).float(), rtol=1e-4, atol=1e-6)


def test_labels_have_the_rest_and_several_teachers_are_averaged() -> None:
    torch.manual_seed(0)
    images, output = torch.randn(4, 3, 2, 2), torch.randn(4, 3)
    tables = [torch.randn(4, 3), torch.randn(4, 3)]
    networks = [torch.nn.Module(), torch.nn.Module()]
    for network, table in zip(networks, tables, strict=True):
        network.forward = lambda x, table=table: table  # type: ignore[method-assign]
    hardware = choose_hardware("cpu", "fp32")
    same = PreprocessSpec(2, 2)
    views = [view_of(same, same, "a")] * 2
    orders = [torch.tensor([0, 1, 2]), torch.tensor([2, 0, 1])]
    teachers = Teachers(networks, views, orders, 2.0, 0.25, hardware.autocast)
    mean = ((tables[0] / 2).softmax(1) + (tables[1][:, [2, 0, 1]] / 2).softmax(1)) / 2
    torch.testing.assert_close(teachers.answers(images).exp(), mean)
    hard = torch.tensor(1.5)
    expected = 0.75 * 1.5 + 0.25 * plain_loss(output, 2 * mean.log(), 2.0)
    torch.testing.assert_close(teachers.blend(hard, output, images), expected)
    torch.testing.assert_close(teachers.blend(hard, AuxLogits(output, (output,)), images), expected)


def test_a_teacher_sees_the_views_with_its_own_mean_size_and_classes(tmp_path: Path) -> None:
    """Its answers are those that it gives to the same pixels, prepared its own way."""
    own = PreprocessSpec(8, 8, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    reversed_classes = list(reversed(tuple(COLOURS)))
    folder = colour_run(tmp_path / "teacher", reversed_classes, preprocess=own)
    run, classes = load(folder), sorted(COLOURS)
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (5, 3, 8, 8), np.uint8))
    recipe, hardware = Recipe(distill_temperature=3.0), choose_hardware("cpu", "fp32")
    seen = PreprocessSpec(8, 8)
    teachers, notes = open_teachers(find_teachers(folder), recipe, classes, seen, hardware)
    assert teachers is not None
    with torch.no_grad():
        logits = run.model(normalise(pixels, own))[:, [reversed_classes.index(name) for name in classes]]
    answers = teachers.answers(normalise(pixels, seen))
    torch.testing.assert_close(answers, (logits / 3).log_softmax(1), rtol=1e-4, atol=1e-5)
    assert "it sees its own mean and deviation" in notes[0]
    assert run.weights_sha256[:12] in notes[0]

    larger = view_of(PreprocessSpec(16, 16), own, "a")
    assert larger.of(torch.zeros(1, 3, 16, 16)).shape == (1, 3, 8, 8)
    _, notes = open_teachers(find_teachers(folder), recipe, classes, PreprocessSpec(16, 16), hardware)
    assert "8 pixels, enlarged or reduced" in notes[0]
    with pytest.raises(InputError, match="other image_center"):
        view_of(PreprocessSpec(8, 8, image_center=True), own, "a")
    with pytest.raises(InputError, match=r"teacher teacher, whose classes .* blue, pink are in one of the two"):
        open_teachers(find_teachers(folder), recipe, ["red", "green", "pink"], seen, hardware)


def test_a_run_learns_from_its_teacher_and_records_it(teacher: Path, tmp_path: Path) -> None:
    out, large = tmp_path / "small", load(teacher)
    run = train("digits", "cifar_resnet8", out=out, teacher=teacher, distill_weight=1.0, **(SHORT | {"seed": 1}))
    origin = json.loads((out / "checkpoints" / "origin.json").read_text())
    assert origin["teachers"] == [{"given": str(teacher), "sha256": large.weights_sha256}]
    note = (
        f"training learnt from the teacher large (SHA-256 {large.weights_sha256[:12]}…) at temperature 4 with weight 1"
    )
    assert any(each.startswith(note) for each in run.data["notes"])
    assert f"--teacher {teacher.name}" in (out / "recipe.toml").read_text()
    assert str(teacher) not in (out / "report.html").read_text()
    alone = train("digits", "cifar_resnet8", out=tmp_path / "alone", **(SHORT | {"seed": 1}))
    assert alone.weights_sha256 != run.weights_sha256


def test_a_killed_run_goes_on_to_the_same_weights(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(teacher, tmp_path / "large")
    write_ensemble(tmp_path / "both", [tmp_path / "large"])
    options = SHORT | {"checkpoint_every_steps": 1, "teacher": tmp_path / "both"}
    whole = train("digits", "cifar_resnet8", out=tmp_path / "whole", **options)
    step, passes = Trainer.step, []

    def stopping(self: Trainer, group: Any) -> None:
        if self.global_step == 5:
            raise Killed
        step(self, group)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", stopping)
        with pytest.raises(Killed):
            train("digits", "cifar_resnet8", out=tmp_path / "cut", **options)
    with pytest.raises(InputError, match="the teachers are"):
        train("digits", out=tmp_path / "cut", resume=True, teacher=(), progress=False)
    answers = Teachers.answers
    monkeypatch.setattr(Teachers, "answers", lambda self, images: passes.append(len(images)) or answers(self, images))
    assert train("digits", out=tmp_path / "cut", resume=True, progress=False).weights_sha256 == whole.weights_sha256
    assert passes == [16] * 3, "once per batch"


def test_a_teacher_that_changed_is_refused(teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(teacher, tmp_path / "large")
    step = Trainer.step

    def stopping(self: Trainer, group: Any) -> None:
        step(self, group)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", stopping)
        with pytest.raises(Killed):
            train("digits", "cifar_resnet8", out=tmp_path / "cut", teacher=tmp_path / "large", **SHORT)
    shutil.rmtree(tmp_path / "large")
    with pytest.raises(InputError, match=r"teacher=\S+large.*Wanted: the teacher that the run was begun with"):
        train("digits", out=tmp_path / "cut", resume=True, progress=False)
    shutil.copytree(teacher, tmp_path / "moved")
    shutil.copytree(tmp_path / "cut", tmp_path / "again")
    assert train("digits", out=tmp_path / "again", resume=True, progress=False, teacher=tmp_path / "moved").metrics
    train("digits", "cifar_resnet8", out=tmp_path / "large", **(SHORT | {"seed": 3}))
    with pytest.raises(InputError, match="the teacher that the run was begun with"):
        train("digits", out=tmp_path / "cut", resume=True, progress=False)


def test_what_makes_no_sense_is_refused(teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "a")
    for words, message in (
        (["--distill-weight", "0.5"], "--distill-weight 0.5 without a teacher"),
        (["--teacher", str(teacher), "--teacher", str(teacher)], "twice"),
        (["--teacher", str(teacher), "--folds", "3"], "one run"),
        (["--teacher", str(tmp_path)], "holds no model.safetensors"),
        (["--teacher", str(teacher), "--weights", str(teacher), "--recipe", "probe"], "with a teacher"),
    ):
        assert main(["train", "digits", "--model", "cifar_resnet8", "--out", out, *words]) == 2
        assert message in " ".join(capsys.readouterr().err.split())
    colour_folder(tmp_path / "colours")
    assert (
        main(["train", str(tmp_path / "colours"), "--model", "cifar_resnet8", "--out", out, "--teacher", str(teacher)])
        == 2
    )
    assert "whose classes are not those of the data" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "a").exists()
