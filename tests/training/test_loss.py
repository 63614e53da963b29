"""The training loss with auxiliary classifiers: the formula, and every way in which a session computes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import residua.training.session as session_module
from residua.families.network import AuxLogits
from residua.training.loop import train
from residua.training.loss import training_loss
from residua.weights.run import load

# GoogLeNet's narrowest: its training graph at a price that a test may cost.
EDITS: dict[str, Any] = {"widths": ((4, 4, 4, 4, 4, 4),) * 9}
FEW: dict[str, Any] = {"epochs": 0, "max_steps": 3, "batch_size": 8, "image_size": 32, "device": "cpu", "workers": 1}


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


def _losses(monkeypatch: pytest.MonkeyPatch, folder: Path, model: str = "googlenet", **overrides: Any) -> list[dict]:
    """Train a few steps; return what each backward pass started from, beside the formula on the same logits."""
    seen = []

    def recorded(output: Any, labels: torch.Tensor, *, label_smoothing: float, aux_weight: float) -> torch.Tensor:
        loss = training_loss(output, labels, label_smoothing=label_smoothing, aux_weight=aux_weight)
        parts = [F.cross_entropy(x.float(), labels, label_smoothing=label_smoothing).item() for x in _flat(output)]
        kinds = [x.dtype for x in _flat(output)]
        seen.append({"loss": loss.item(), "parts": parts, "weight": aux_weight, "kinds": kinds})
        return loss

    monkeypatch.setattr(session_module, "training_loss", recorded)
    edits = overrides.pop("model_edits", EDITS)
    train("digits", model, "fast", folder, progress=False, model_edits=edits, **{**FEW, **overrides})
    return seen


def _flat(output: Any) -> list[torch.Tensor]:
    return [output] if isinstance(output, torch.Tensor) else [output.logits, *output.aux]


def test_a_run_counts_the_auxiliary_losses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """train_loss is the mean of what the steps started from; val_loss and the report are the main classifier's."""
    seen = _losses(monkeypatch, tmp_path / "run")
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


def test_accumulation_is_one_large_batch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without dropout and batch statistics, halves in turn give the weights of the whole."""
    edits = {**EDITS, "dropout": 0.0, "aux_dropout": 0.0}
    weights = []
    for name, many in (("whole", {"batch_size": 16}), ("halves", {"batch_size": 8, "accumulate_steps": 2})):
        _losses(monkeypatch, tmp_path / name, model_edits=edits, **many)
        weights.append(load(tmp_path / name).model.state_dict())
    for key, value in weights[0].items():
        assert torch.allclose(weights[1][key], value, rtol=1e-3, atol=1e-5), key


def test_bfloat16(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = _losses(monkeypatch, tmp_path / "run", precision="bf16", max_steps=1)
    assert seen[0]["kinds"] == [torch.bfloat16] * 3


def test_compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One graph, auxiliary heads included; the eager backend stands for the code generator, which takes minutes."""
    compile_, graphs = torch.compile, []

    def whole(model: Any) -> Any:
        graphs.append(model)
        return compile_(model, fullgraph=True, backend="eager")

    torch.compiler.reset()
    monkeypatch.setattr(session_module.torch, "compile", whole)
    compiled = _losses(monkeypatch, tmp_path / "compiled", compile=True)
    assert len(graphs) == 1
    eager = _losses(monkeypatch, tmp_path / "eager")
    assert [step["loss"] for step in compiled] == pytest.approx([step["loss"] for step in eager], rel=1e-4)


def test_batch_normalisation_and_inception(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The other two rows, at the smallest size of each; slim's weight for Inception-v3."""
    edits = {"pool_widths": (4, 4, 4), "factor_widths": (4, 4, 4, 4)}
    seen = _losses(
        monkeypatch,
        tmp_path / "v3",
        "inception_v3",
        image_size=75,
        batch_size=4,
        learning_rate=1e-4,
        max_steps=1,
        model_edits=edits,
    )
    assert (len(seen[0]["parts"]), seen[0]["weight"]) == (2, 0.4)
    seen = _losses(monkeypatch, tmp_path / "bn", "googlenet_bn", image_size=15, max_steps=1)
    assert (len(seen[0]["parts"]), seen[0]["weight"]) == (3, 0.3)


def test_a_network_without_auxiliary_heads_is_trained_on_its_logits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = _losses(monkeypatch, tmp_path / "run", "cifar_resnet8", max_steps=1, model_edits={})
    assert len(seen[0]["parts"]) == 1
    assert seen[0]["loss"] == pytest.approx(seen[0]["parts"][0], rel=1e-6)
