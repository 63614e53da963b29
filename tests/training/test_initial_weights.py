"""Runs that begin with weights: recorded by hash, resumed without them, prepared as they were trained."""

from __future__ import annotations

import json
import os
import shlex
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from residua._base.errors import InputError
from residua._base.files import sha256_file
from residua._base.signals import Interrupted
from residua.families.build import build, spec_of
from residua.specs.catalog import get_spec
from residua.specs.pixel_array import PixelArray
from residua.specs.preprocess import PreprocessSpec, default_preprocess
from residua.training.folder.run_folder import read_origin
from residua.training.initial_weights import Initial, preprocess_for
from residua.training.loop import train
from residua.training.request import ask
from residua.training.trainer import Trainer
from residua.weights.bundle.read import read_bundle
from residua.weights.bundle.write import save_bundle
from residua.weights.open import load
from residua.weights.run import Run

MODEL = "cifar_resnet8"
PREPROCESS = PreprocessSpec(16, 18, "bicubic", (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
FINE = {"freeze": "layer1", "layer_decay": 0.5, "ema_decay": 0.9, "keep": "best"}


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the run catches it."""


@pytest.fixture
def few(small: dict[str, Any]) -> dict[str, Any]:
    """A run of some steps."""
    return {**small, "epochs": 1, "max_steps": 9, "checkpoint_every_steps": 2, "learning_rate": 0.05}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A run of other classes to begin with."""
    spec = get_spec(MODEL, num_classes=3, input_size=16)
    torch.manual_seed(7)
    fields: dict[str, Any] = {"metrics": {}, "data": {}, "preprocess": PREPROCESS}
    save_bundle(tmp_path / "base", tensors=build(spec).state_dict(), spec=spec, classes=("a", "b", "c"), **fields)
    return tmp_path / "base"


def stopped_at(number: int, patch: pytest.MonkeyPatch) -> None:
    """Kill the run in optimizer step `number`, counted from 0."""
    step = Trainer.step

    def stepping(self: Trainer, group: Any) -> None:
        if self.global_step == number:
            raise Killed
        step(self, group)

    patch.setattr(Trainer, "step", stepping)


def begun(folder: Path, base: Path, few: dict[str, Any], number: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        stopped_at(number, patch)
        with pytest.raises(Killed):
            train("digits", MODEL, out=folder, progress=False, weights=base, **few, **FINE)


def test_a_run_begins_with_what_was_named(base: Path, tmp_path: Path, few: dict[str, Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        seen: list[Any] = []
        step = Trainer.step

        def looking(self: Trainer, group: Any) -> None:
            if not seen:
                state = {name: value.clone() for name, value in self.model.state_dict().items()}
                averaged = self.average.tensors if self.average else {}
                seen.append((state, {name: value.clone() for name, value in averaged.items()}))
            step(self, group)

        patch.setattr(Trainer, "step", looking)
        run = train("digits", MODEL, out=tmp_path / "run", progress=False, weights=base, **few, **FINE)
    (state, averaged) = seen[0]
    old = read_bundle(base)[1]
    for name, tensor in state.items():
        assert name.startswith("fc.") or torch.equal(tensor, old[name]), name
        assert torch.equal(averaged[name], tensor), name
    torch.manual_seed(few.get("seed", 0))
    drawn = build(spec_of(MODEL, num_classes=10, input_size=16)).state_dict()
    assert torch.equal(state["fc.weight"], drawn["fc.weight"])
    sha256 = sha256_file(base / "model.safetensors")
    assert run.initial_weights == {"given": "base", "sha256": sha256}
    origin = read_origin(tmp_path / "run")
    assert origin is not None
    assert origin.initial_weights is not None
    assert origin.initial_weights.sha256 == sha256
    assert run.preprocess_spec == PREPROCESS
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert f"training began with the weights base (SHA-256 {sha256[:12]}…)" in report["data"]["notes"]
    text = (tmp_path / "run" / "recipe.toml").read_text()
    assert f"SHA-256 of the weights that it begins with: {sha256}" in text
    words = shlex.split(next(line for line in text.splitlines() if line.startswith("# residua train"))[2:])
    assert words[words.index("--weights") + 1] == "base"


def test_a_killed_run_is_resumed_without_its_weights_source(base: Path, tmp_path: Path, few: dict[str, Any]) -> None:
    expected = train("digits", MODEL, out=tmp_path / "whole", progress=False, weights=base, **few, **FINE)
    begun(tmp_path / "run", base, few, 5)
    base.rename(tmp_path / "gone")
    run = train("digits", out=tmp_path / "run", resume=True, progress=False)
    assert run.weights_sha256 == expected.weights_sha256
    assert run.initial_weights == expected.initial_weights
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (
        tmp_path / "whole" / "model.safetensors"
    ).read_bytes()


def test_before_the_first_checkpoint_the_source_is_read_and_checked_again(
    base: Path, tmp_path: Path, few: dict[str, Any]
) -> None:
    expected = train("digits", MODEL, out=tmp_path / "whole", progress=False, weights=base, **few, **FINE)
    begun(tmp_path / "run", base, few, 1)
    assert not list((tmp_path / "run" / "checkpoints").glob("step-*"))
    base.rename(tmp_path / "gone")
    with pytest.raises(InputError, match="does not exist"):
        train("digits", out=tmp_path / "run", resume=True, progress=False)
    spec = get_spec(MODEL, num_classes=3, input_size=16)
    fields: dict[str, Any] = {"metrics": {}, "data": {}, "preprocess": PREPROCESS}
    save_bundle(base, tensors=build(spec).state_dict(), spec=spec, classes=("a", "b", "c"), **fields)
    with pytest.raises(InputError, match=r"and had .* when the run was begun.*the weights that the run was begun with"):
        train("digits", out=tmp_path / "run", resume=True, progress=False)
    for path in base.iterdir():
        path.unlink()
    base.rmdir()
    (tmp_path / "gone").rename(base)
    run = train("digits", out=tmp_path / "run", resume=True, progress=False)
    assert run.weights_sha256 == expected.weights_sha256


def test_damaged_checkpoints_begin_again_with_the_weights(base: Path, tmp_path: Path, few: dict[str, Any]) -> None:
    expected = train("digits", MODEL, out=tmp_path / "whole", progress=False, weights=base, **few, **FINE)
    begun(tmp_path / "run", base, few, 5)
    for path in (tmp_path / "run" / "checkpoints").glob("step-*"):
        path.write_bytes(b"torn")
    run = train("digits", out=tmp_path / "run", resume=True, progress=False)
    assert run.weights_sha256 == expected.weights_sha256


def test_a_signal_names_a_command_that_needs_no_weights(base: Path, tmp_path: Path, few: dict[str, Any]) -> None:
    step = Trainer.step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "step", lambda *given: (step(*given), os.kill(os.getpid(), signal.SIGTERM)))
        with pytest.raises(Interrupted) as error:
            train("digits", MODEL, out=tmp_path / "run", progress=False, weights=base, **few, **FINE)
    assert "--weights" not in str(error.value)


def test_other_weights_are_a_difference(base: Path, tmp_path: Path, few: dict[str, Any]) -> None:
    begun(tmp_path / "run", base, few, 5)
    for given in ("torchvision:DEFAULT", tmp_path / "other.pth"):
        with pytest.raises(InputError, match=r"the weights to begin with are .* now, were"):
            train("digits", MODEL, out=tmp_path / "run", resume=True, progress=False, weights=given, **few, **FINE)
    train("digits", MODEL, out=tmp_path / "run", resume=True, progress=False, weights=base, **few, **FINE)


def test_weights_for_a_run_that_began_without(tmp_path: Path, base: Path, finished: Path) -> None:
    with pytest.raises(InputError, match="were None"):
        train("digits", out=finished, resume=True, progress=False, weights=base)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"weights": "nowhere.pth"}, "does not exist"),
        ({"weights": "torchvision:DEFAULT"}, "which torchvision does not have"),
        ({"weights": "http://127.0.0.1:9/w.pth"}, "#sha256="),
    ],
)
def test_unusable_weights_are_refused_before_the_folder_is_taken(
    tmp_path: Path, few: dict[str, Any], fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        train("digits", MODEL, out=tmp_path / "run", progress=False, **few, **fields)
    assert not (tmp_path / "run").exists()


def test_weights_of_another_network_are_refused_before_the_data_is_opened(
    base: Path, tmp_path: Path, few: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("residua.data.open.open_dataset", lambda *_, **__: pytest.fail("the data was opened"))
    with pytest.raises(InputError, match="holds a cifar_resnet8 for a cifar_resnet14"):
        train("digits", "cifar_resnet14", out=tmp_path / "run", progress=False, weights=base, **few)
    assert not (tmp_path / "run").exists()


def test_the_same_classes_keep_their_classifier(finished: Path, tmp_path: Path, few: dict[str, Any]) -> None:
    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("residua._base.console.Display.say", lambda self, text: lines.append(text))
        run = train(
            "digits", MODEL, out=tmp_path / "a", progress=False, weights=finished, **{**few, "freeze": "features"}
        )
        train("digits", MODEL, out=tmp_path / "b", progress=False, weights=finished, **{**few, "freeze": "features"})
    begins = [line for line in lines if line.startswith("Begins with")]
    assert len(begins) == 2
    assert "newly drawn" not in begins[0]
    assert run.preprocess_spec == load(finished).preprocess_spec
    assert run.metrics["top1"] >= load(finished).metrics["top1"] - 0.1


def test_what_was_taken_of_a_file_is_shown(
    tmp_path: Path, few: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr("residua._base.console.Display.say", lambda self, text: lines.append(text))
    state = build(get_spec(MODEL, input_size=16)).state_dict()
    torch.save({"state_dict": state, "state_dict_ema": state}, tmp_path / "w.pth")
    train("digits", MODEL, out=tmp_path / "run", progress=False, weights=tmp_path / "w.pth", **few)
    begins = next(index for index, line in enumerate(lines) if line.startswith("Begins with"))
    assert any("state_dict_ema" in line for line in lines[begins + 1 :])


def test_as_many_other_classes_start_fresh(tmp_path: Path, few: dict[str, Any]) -> None:
    spec = get_spec(MODEL, input_size=16)
    names = tuple(f"kind {number}" for number in range(10))
    fields: dict[str, Any] = {"metrics": {}, "data": {}, "preprocess": PREPROCESS}
    save_bundle(tmp_path / "base", tensors=build(spec).state_dict(), spec=spec, classes=names, **fields)
    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("residua._base.console.Display.say", lambda self, text: lines.append(text))
        train("digits", MODEL, out=tmp_path / "run", progress=False, weights=tmp_path / "base", **few)
    assert any("fc.weight, fc.bias newly drawn" in line for line in lines)


def test_the_preprocessing_of_the_weights_scales_with_the_image() -> None:
    initial = Initial("torchvision:IMAGENET1K_V2", "0" * 64, PreprocessSpec(224, 232), ())
    assert preprocess_for(initial, 224).resize == 232
    assert (preprocess_for(initial, 112).image_size, preprocess_for(initial, 112).resize) == (112, 116)
    unknown = Initial("w.pth", "0" * 64, None, ())
    assert preprocess_for(unknown, 32) == preprocess_for(None, 32) == default_preprocess(32)


def test_what_is_recorded_is_read_back() -> None:
    for initial in (Initial("w", "0" * 64, PREPROCESS, ("a",)), Initial("w", "0" * 64, None, ())):
        assert Initial.from_dict(json.loads(json.dumps(initial.to_dict()))) == initial


def test_the_command_takes_weights(base: Path, tmp_path: Path) -> None:
    from residua.cli.app import main

    words = ["train", "digits", "--model", MODEL, "--out", str(tmp_path / "run"), "--weights", str(base)]
    words += ["--freeze", "2", "--layer-decay", "0.75", "--image-size", "16", "--epochs", "1", "--max-steps", "2"]
    assert main([*words, "--device", "cpu", "--kernels", "eager"]) == 0
    run = load(tmp_path / "run")
    assert run.initial_weights is not None
    assert run.initial_weights["given"] == base.name
    assert run.recipe is not None
    assert (run.recipe["freeze"], run.recipe["layer_decay"]) == ("2", 0.75)


def test_weights_of_a_map_of_logits_are_refused_before_anything_is_written(tmp_path: Path, few: dict[str, Any]) -> None:
    spec = get_spec(MODEL, num_classes=10, input_size=16, global_pool=False)
    fields: dict[str, Any] = {"metrics": {}, "data": {}, "preprocess": PREPROCESS}
    classes = tuple("abcdefghij")
    save_bundle(tmp_path / "map", tensors=build(spec).state_dict(), spec=spec, classes=classes, **fields)
    with pytest.raises(InputError, match="training with global_pool=False"):
        train("digits", MODEL, out=tmp_path / "run", progress=False, weights=tmp_path / "map", **few)
    assert not (tmp_path / "run").exists()


def test_a_mean_image_that_gives_way_is_reported(base: Path, tmp_path: Path) -> None:
    run, mean = load(base), np.full((16, 16, 3), 0.4, np.float32)
    fed = replace(run.preprocess_spec, std=(1.0,) * 3, mean_image=PixelArray(mean.shape, mean.tobytes()))
    Run(run.model, replace(run.bundle, preprocess=fed)).save_pretrained(tmp_path / "mean")
    words: dict[str, Any] = {"resume": False, "weights": tmp_path / "mean", "flip": False}
    (note,) = ask("digits", MODEL, None, tmp_path / "a", image_size=24, **words).notes
    assert note.startswith("The weights' mean image of 16 × 16 pixels gives way to its mean per channel")
    assert ask("digits", MODEL, None, tmp_path / "b", image_size=16, **words).notes == ()
