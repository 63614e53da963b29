"""The arithmetic of a run is measured once, recorded, and taken up again; what the user states is never replaced."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from residua._base.console import Display
from residua._base.signals import StopRequest
from residua.runtime.distributed.group import ALONE, Group
from residua.runtime.processor import Processor
from residua.training.folder.arithmetic import Arithmetic
from residua.training.folder.run_folder import origin_path, read_origin
from residua.training.loop import train
from residua.training.plan import Plan, open_plan
from residua.training.request import ask
from residua.training.trainer import Trainer
from residua.training.trials import fastest_step
from residua.training.trials.settle import settled_plan

MODEL = "cifar_resnet8"
SHORT: dict[str, Any] = {
    "recipe": "fast", "epochs": 2, "batch_size": 32, "train_images": 150, "image_size": 16, "workers": 1,
    "device": "cpu", "checkpoint_every_steps": 2,
}  # fmt: skip
Measure = Callable[[Trainer, list[Any]], float]


class Killed(Exception):
    """The end that a test puts to a run."""


def name_of(trainer: Trainer) -> str:
    """What a trainer computes with."""
    layout = "" if trainer.hardware.channels_last else ", channels first"
    return f"{trainer.kernels.name} {'bf16' if trainer.hardware.bf16 else 'fp32'}{layout}"


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Seconds of a step by arithmetic, in place of the clock; 1 for those not listed. Every length pays."""
    table: dict[str, float] = {}
    monkeypatch.setattr(fastest_step, "step_seconds", lambda trainer, group: table.get(name_of(trainer), 1.0))
    monkeypatch.setattr(fastest_step, "SHARE", 10.0)
    monkeypatch.setattr(fastest_step, "_CLOSE", 1.0)
    monkeypatch.setattr(fastest_step, "_pays_for_compiling", lambda plan, rate: False)
    monkeypatch.setattr(fastest_step, "processor", lambda: Processor("one", "", frozenset({"avx512_bf16"})))
    return table


def refuse(*_: Any) -> float:
    raise AssertionError("a step was measured")


def plan_of(folder: Path, **fields: Any) -> Plan:
    return open_plan(ask("digits", MODEL, out=folder, resume=False, **SHORT | fields))


def settled(folder: Path, **fields: Any) -> Plan:
    with StopRequest("") as stop:
        return settled_plan(ask("digits", MODEL, out=folder, resume=False, **SHORT | fields), Display(False), stop)[0]


def test_the_fastest_is_recorded_and_a_resumption_measures_nothing(
    tmp_path: Path, seconds: dict[str, float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds["eager bf16"] = 0.5
    whole = train("digits", MODEL, out=tmp_path / "whole", progress=False, **SHORT)
    wanted = {"kernels": "eager", "precision": "bf16", "channels_last": True}
    assert wanted.items() <= whole.metrics["computed_with"].items()
    assert wanted.items() <= json.loads(origin_path(whole.folder).read_text())["arithmetic"].items()
    head = (whole.folder / "recipe.toml").read_text()
    assert "# Measured on the first batches, images/s: eager bf16 64" in head
    assert 'precision = "auto"' in head
    step = Trainer.step

    def killed(trainer: Trainer, group: list[Any]) -> None:
        if trainer.global_step == 6:
            raise Killed
        step(trainer, group)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", killed)
        with pytest.raises(Killed):
            train("digits", MODEL, out=tmp_path / "run", progress=False, **SHORT)
    seconds["eager fp32"] = 0.01
    monkeypatch.setattr(fastest_step, "step_seconds", refuse)
    capsys.readouterr()
    resumed = train("digits", out=tmp_path / "run", resume=True, progress=False)
    assert "the arithmetic differs" not in capsys.readouterr().err
    assert resumed.metrics["computed_with"] == whole.metrics["computed_with"]
    theirs = resumed.model.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in whole.model.state_dict().items())


def test_a_measured_run_equals_one_that_states_the_same(tmp_path: Path, seconds: dict[str, float]) -> None:
    """Its weights, order and random numbers know nothing of the measurement; the measured steps are real here."""
    seconds["eager fp32"] = 0.1
    with pytest.MonkeyPatch.context() as patch:
        table = dict(seconds)

        def stepped(trainer: Trainer, group: list[Any]) -> float:
            trainer.step(group)
            return table.get(name_of(trainer), 1.0)

        patch.setattr(fastest_step, "step_seconds", stepped)
        measured = train("digits", MODEL, out=tmp_path / "a", progress=False, **SHORT)
    stated = train("digits", MODEL, out=tmp_path / "b", progress=False, **SHORT, kernels="eager", precision="fp32")
    assert read_origin(tmp_path / "b").arithmetic is None  # type: ignore[union-attr]
    theirs = stated.model.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in measured.model.state_dict().items())


@pytest.mark.parametrize(
    "fields",
    [{"kernels": "eager"}, {"precision": "bf16"}, {"compile": True}, {"kernels": "eager", "precision": "fp32"}],
)
def test_what_the_user_states_is_not_measured(
    tmp_path: Path, seconds: dict[str, float], fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fastest_step, "step_seconds", refuse)
    assert settled(tmp_path / "run", **fields).arithmetic is None


def test_a_stated_precision_or_layout_leaves_the_rest_to_be_measured(tmp_path: Path, seconds: dict[str, float]) -> None:
    seconds |= {"eager bf16": 0.1, "eager fp32": 0.5, "eager fp32, channels first": 0.2, "native fp32": 0.6}
    chosen = settled(tmp_path / "a", precision="fp32")
    assert chosen.arithmetic is not None
    assert (chosen.arithmetic.name, chosen.hardware.channels_last) == ("eager fp32, channels first", False)
    assert not chosen.train.channels_last
    assert not next(iter(chosen.train.epoch(0))).images.is_contiguous(memory_format=torch.channels_last)
    chosen = settled(tmp_path / "b", precision="fp32", channels_last="yes")
    assert chosen.arithmetic is not None
    assert (chosen.arithmetic.name, chosen.hardware.channels_last) == ("eager fp32", True)


def test_a_small_gain_changes_nothing(tmp_path: Path, seconds: dict[str, float]) -> None:
    seconds |= {"eager fp32": 1.0, "native fp32": 1.0, "eager bf16": 0.96, "eager fp32, channels first": 0.96}
    usual = Trainer(plan_of(tmp_path / "a"), Display(False))
    chosen = settled(tmp_path / "b")
    assert chosen.arithmetic is not None
    assert chosen.arithmetic.name == name_of(usual)
    seconds["eager bf16"] = 0.94
    chosen = settled(tmp_path / "c")
    assert chosen.arithmetic is not None
    assert chosen.arithmetic.name == "eager bf16"


def test_what_slows_a_whole_turn_decides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn by turn the other way is faster by a tenth in the median; by the medians of all turns it is slower."""
    turns: Counter[str] = Counter()
    usual = name_of(Trainer(plan_of(tmp_path / "usual", precision="fp32"), Display(False)))
    other = {"native fp32": "eager fp32", "eager fp32": "native fp32"}[usual]
    if usual == "eager fp32":
        pytest.skip("no native kernels can be built here")
    table = {usual: (1.0, 1.0, 2.0, 3.0), other: (1.0, 0.9, 2.1, 2.7)}

    def took(trainer: Trainer, group: list[Any]) -> float:
        turns[name_of(trainer)] += 1
        return table[name_of(trainer)][turns[name_of(trainer)] - 1]

    monkeypatch.setattr(fastest_step, "step_seconds", took)
    monkeypatch.setattr(fastest_step, "SHARE", 10.0)
    monkeypatch.setattr(fastest_step, "_CLOSE", 1.0)
    monkeypatch.setattr(fastest_step, "_pays_for_compiling", lambda plan, rate: False)
    chosen = settled(tmp_path / "run", precision="fp32", channels_last="yes")
    assert chosen.arithmetic is not None
    assert chosen.arithmetic.name == other
    assert chosen.arithmetic.rates == {usual: 16.0, other: pytest.approx(17.8)}


@pytest.mark.parametrize(("further", "epochs", "changed"), [(0.9, 400, True), (1.1, 400, False), (0.9, 40, False)])
def test_two_that_are_close_take_further_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, further: float, epochs: int, changed: bool
) -> None:
    """In three turns the other way is 4% faster; in six more it is so, or slower; a short run has no time for these."""
    turns: Counter[str] = Counter()
    usual = name_of(Trainer(plan_of(tmp_path / "usual", precision="fp32"), Display(False)))
    other = {"native fp32": "eager fp32", "eager fp32": "native fp32"}[usual]
    if usual == "eager fp32":
        pytest.skip("no native kernels can be built here")

    def took(trainer: Trainer, group: list[Any]) -> float:
        name = name_of(trainer)
        turns[name] += 1
        return 1.0 if name == usual else 0.96 if turns[name] <= 4 else further

    monkeypatch.setattr(fastest_step, "step_seconds", took)
    monkeypatch.setattr(fastest_step, "_pays_for_compiling", lambda plan, rate: False)
    monkeypatch.setattr(fastest_step, "SHARE", 0.05)
    words = {"precision": "fp32", "channels_last": "yes", "epochs": epochs, "min_steps": 0}
    chosen = settled(tmp_path / "run", **words)
    assert chosen.arithmetic is not None
    assert chosen.arithmetic.name == (other if changed else usual)
    assert turns[other] == (10 if epochs == 400 else 4)


def test_a_short_run_keeps_the_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastest_step, "step_seconds", refuse)
    assert settled(tmp_path / "run").arithmetic is None
    plan = plan_of(tmp_path / "long")
    assert not fastest_step.may_measure(plan)
    assert fastest_step.may_measure(plan_of(tmp_path / "long", epochs=200, min_steps=0))
    two = Group(dataclasses.replace(ALONE.launch, count=2))
    assert not fastest_step.may_measure(plan_of(tmp_path / "long", epochs=200, min_steps=0), two)


def test_compiling_is_tried_where_the_run_pays_for_it(
    tmp_path: Path, seconds: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fastest_step, "_pays_for_compiling", lambda plan, rate: True)
    seconds |= {"eager fp32": 0.5, "compiled fp32": 0.2}
    chosen = settled(tmp_path / "run", channels_last="yes")
    assert chosen.arithmetic is not None
    assert chosen.arithmetic.name == "compiled fp32"
    trainer = Trainer(chosen, Display(False))
    assert trainer.computed_with()["kernels"] == "compiled"
    assert trainer._forward is not trainer.model
    monkeypatch.undo()
    assert fastest_step._pays_for_compiling(plan_of(tmp_path / "a", epochs=50_000), 100.0)
    assert not fastest_step._pays_for_compiling(plan_of(tmp_path / "b"), 100.0)


def test_the_record_comes_back() -> None:
    choice = Arithmetic("native", False, True, {"native fp32": 512.5, "eager fp32": 160.0})
    assert Arithmetic.from_dict(json.loads(json.dumps(choice.to_dict()))) == choice
    assert choice.sentence.endswith("native fp32 512, eager fp32 160. This run takes native fp32")
    assert Arithmetic.from_dict({**choice.to_dict(), "kernels": "of a later version"}).kernels == "eager"
