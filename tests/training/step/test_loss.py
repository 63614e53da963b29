"""The training loss with auxiliary classifiers: the formula, and every way in which a trainer computes it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import residua.training.trainer as trainer_module
from residua._base.console import Display
from residua._base.errors import InputError
from residua.families.network import AuxLogits
from residua.training.loop import train
from residua.training.plan import open_plan
from residua.training.request import ask
from residua.training.step.balance import EQUAL
from residua.training.step.loss import training_loss
from residua.training.trainer import Trainer
from residua.weights.open import load

# GoogLeNet's narrowest: its training graph at a price that a test may cost.
EDITS: dict[str, Any] = {"widths": ((4, 4, 4, 4, 4, 4),) * 9}
FEW: dict[str, Any] = {"epochs": 0, "max_steps": 3, "batch_size": 8, "image_size": 32, "device": "cpu", "workers": 1}
FEW["precision"] = "fp32"  # what processors with fast bf16 would take by themselves


def _draw(batch: int = 6, classes: int = 4) -> tuple[AuxLogits, torch.Tensor]:
    torch.manual_seed(0)
    main, first, second = (torch.randn(batch, classes, requires_grad=True) for _ in range(3))
    return AuxLogits(main, (first, second)), torch.randint(classes, (batch,))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("mixed", [False, True])
def test_the_formula(smoothing: float, mixed: bool) -> None:
    output, labels = _draw()
    if mixed:
        labels = torch.rand(6, 4).softmax(1)

    def loss(logits: torch.Tensor) -> torch.Tensor:
        target = labels if mixed else F.one_hot(labels, 4).float()
        return -((target * (1 - smoothing) + smoothing / 4) * logits.log_softmax(1)).sum(1).mean()

    want = loss(output.logits) + 0.3 * (loss(output.aux[0]) + loss(output.aux[1]))
    got = training_loss(output, labels, label_smoothing=smoothing, aux_weight=0.3)
    assert got.item() == pytest.approx(want.item(), rel=1e-6)
    assert training_loss(output.logits, labels, label_smoothing=smoothing, aux_weight=0.3).item() == pytest.approx(
        loss(output.logits).item(), rel=1e-6
    )
    grads = torch.autograd.grad(got, [output.logits, *output.aux])
    wanted = torch.autograd.grad(want, [output.logits, *output.aux])
    assert all(torch.allclose(a, b, atol=1e-7) for a, b in zip(grads, wanted, strict=True))


def test_reduced_precision_ends_before_the_loss() -> None:
    output, labels = _draw()
    half = AuxLogits(output.logits.bfloat16(), tuple(logits.bfloat16() for logits in output.aux))
    assert training_loss(half, labels, aux_weight=0.3).dtype is torch.float32


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What each backward pass started from, beside the losses of the same logits one by one."""
    seen: list[dict[str, Any]] = []

    def recorded(output: Any, labels: torch.Tensor, *, balance: Any, **keywords: float) -> torch.Tensor:
        label_smoothing, aux_weight = keywords["label_smoothing"], keywords["aux_weight"]
        assert balance is EQUAL
        loss = training_loss(output, labels, label_smoothing=label_smoothing, aux_weight=aux_weight)
        parts = [F.cross_entropy(x.float(), labels, label_smoothing=label_smoothing).item() for x in _flat(output)]
        kinds = [x.dtype for x in _flat(output)]
        seen.append({"loss": loss.item(), "parts": parts, "weight": aux_weight, "kinds": kinds})
        return loss

    monkeypatch.setattr(trainer_module, "training_loss", recorded)
    return seen


def _steps(folder: Path, model: str = "googlenet", steps: int = 1, **overrides: Any) -> Trainer:
    """Take the first steps of a run, without its validation."""
    edits = overrides.pop("model_edits", EDITS)
    asked = ask("digits", model, "fast", folder, resume=False, model_edits=edits, **{**FEW, **overrides})
    trainer = Trainer(open_plan(asked), Display(False))
    for group in itertools.islice(trainer.groups(), steps):
        trainer.step(group)
    return trainer


def _flat(output: Any) -> list[torch.Tensor]:
    return [output] if isinstance(output, torch.Tensor) else [output.logits, *output.aux]


def test_a_run_counts_the_auxiliary_losses(seen: list[dict[str, Any]], tmp_path: Path) -> None:
    """train_loss is the mean of what the steps started from; val_loss and the report are the main classifier's."""
    train("digits", "googlenet", "fast", tmp_path / "run", progress=False, model_edits=EDITS, **FEW)
    assert len(seen) == 3
    for step in seen:
        main, *aux = step["parts"]
        assert len(aux) == 2
        assert step["weight"] == 0.3
        assert step["loss"] == pytest.approx(main + 0.3 * sum(aux), rel=1e-6)
    (line,) = [json.loads(text) for text in (tmp_path / "run/history.jsonl").read_text().splitlines()]
    assert line["train_loss"] == pytest.approx(sum(step["loss"] for step in seen) / 3, rel=1e-6)
    # Ten balanced classes at the start: ln 10 and 1.6 times as much.
    assert line["val_loss"] < 0.8 * line["train_loss"]
    run = load(tmp_path / "run")
    assert run.spec.aux_heads
    assert [key for key in run.model.state_dict() if key.startswith("aux1.")]
    with torch.no_grad():
        assert isinstance(run.model(torch.randn(1, 3, 32, 32)), torch.Tensor)


def test_accumulation_is_one_large_batch(tmp_path: Path) -> None:
    """Without dropout and batch statistics, halves in turn give the weights of the whole."""
    edits = {**EDITS, "dropout": 0.0, "aux_dropout": 0.0}
    whole = _steps(tmp_path / "a", batch_size=16, model_edits=edits, steps=2).model.state_dict()
    halves = _steps(tmp_path / "b", batch_size=8, accumulate_steps=2, model_edits=edits, steps=2).model.state_dict()
    start = _steps(tmp_path / "c", steps=0, model_edits=edits).model.state_dict()
    for key, value in whole.items():
        assert not torch.equal(value, start[key]), key
        assert torch.allclose(halves[key], value, rtol=1e-3, atol=1e-5), key


def test_bfloat16(seen: list[dict[str, Any]], tmp_path: Path) -> None:
    _steps(tmp_path, precision="bf16")
    assert seen[0]["kinds"] == [torch.bfloat16] * 3


def test_compiled(monkeypatch: pytest.MonkeyPatch, seen: list[dict[str, Any]], tmp_path: Path) -> None:
    """One graph, auxiliary heads included; the eager backend stands for the code generator, which takes minutes."""
    compile_, graphs = torch.compile, []

    def whole(model: Any) -> Any:
        graphs.append(model)
        return compile_(model, fullgraph=True, backend="eager")

    torch.compiler.reset()
    monkeypatch.setattr(trainer_module.torch, "compile", whole)
    for compiled in (True, False):
        _steps(tmp_path, compile=compiled, steps=2)
    assert len(graphs) == 1
    losses = [step["loss"] for step in seen]
    assert losses[:2] == pytest.approx(losses[2:], rel=1e-4)


@pytest.mark.parametrize(
    ("model", "size", "edits", "heads", "weight"),
    [
        ("googlenet_bn", 15, EDITS, 2, 0.3),
        ("googlenet_bn", 15, {**EDITS, "aux_weight": 0.1}, 2, 0.1),
        ("inception_v3", 75, {"pool_widths": (4, 4, 4), "factor_widths": (4, 4, 4, 4)}, 1, 0.4),
        ("cifar_resnet8", 16, {}, 0, 0.0),
        ("googlenet", 32, {**EDITS, "aux_heads": False}, 0, 0.3),
    ],
)
def test_every_network_has_its_weight(
    seen: list[dict[str, Any]], tmp_path: Path, model: str, size: int, edits: dict, heads: int, weight: float
) -> None:
    _steps(tmp_path, model, image_size=size, batch_size=2, model_edits=edits)
    (step,) = seen
    main, *aux = step["parts"]
    assert (len(aux), step["weight"]) == (heads, weight)
    assert step["loss"] == pytest.approx(main + weight * sum(aux), rel=1e-6)


def test_a_batch_of_one_is_refused_before_the_data_is_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="batch_size=2"):
        ask("nowhere", "inception_v3", "fast", tmp_path / "a", resume=False, image_size=75, batch_size=1)
