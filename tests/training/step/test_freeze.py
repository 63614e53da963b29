"""Fine-tuning: frozen layers keep their bytes, the others learn at the rate of the formula."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from residua._base.errors import InputError
from residua.families.build import build, spec_of
from residua.families.members import members
from residua.runtime.native import accelerate, reason
from residua.specs.catalog import get_spec
from residua.training.loop import train
from residua.training.recipe import Recipe
from residua.training.request import ask
from residua.training.step.freeze import frozen, layer_scales
from residua.training.step.optim import build_optimizer, parameter_groups, set_learning_rate
from residua.training.trainer import Trainer
from residua.weights.open import load
from residua.weights.run import Run

MODEL = "cifar_resnet8"
STEM = {"conv1.weight", "bn1.weight", "bn1.bias"}


def parts_of(model: str, freeze: str) -> set[str]:
    """The parts whose parameters stand still, as far as they have any."""
    spec = get_spec(model)
    still = set(frozen(spec, freeze).parameters)
    found = {part.name for part in members(spec) if part.parameters and still >= set(part.parameters)}
    assert still == {name for part in members(spec) if part.name in found for name in part.parameters}
    return found


@pytest.mark.parametrize(
    ("model", "freeze", "wanted"),
    [
        (MODEL, "", ""),
        (MODEL, "stem", "stem"),
        (MODEL, "1", "stem"),
        (MODEL, "2", "stem layer1.0"),
        (MODEL, "layer2", "stem layer1.0 layer2.0"),
        (MODEL, "layer2.0", "stem layer1.0 layer2.0"),
        (MODEL, "features", "stem layer1.0 layer2.0 layer3.0"),
        (MODEL, "backbone", "stem layer1.0 layer2.0 layer3.0"),
        ("resnet18", "layer1", "stem layer1.0 layer1.1"),
        ("resnet18", "layer1.0", "stem layer1.0"),
        ("vgg11", "conv3", "conv1_1 conv2_1 conv3_1 conv3_2"),
        ("vgg11", "fc6", "conv1_1 conv2_1 conv3_1 conv3_2 conv4_1 conv4_2 conv5_1 conv5_2 fc6"),
        ("densenet121", "denseblock1", "stem denseblock1"),
    ],
)
def test_everything_up_to_the_end_of_what_is_named_stands_still(model: str, freeze: str, wanted: str) -> None:
    assert parts_of(model, freeze) == set(wanted.split())


def test_a_stage_is_not_mistaken_for_a_longer_name() -> None:
    spec = spec_of("resnet18", depths=(1,) * 11, widths=(8,) * 11)
    assert [name for name in frozen(spec, "layer1").parameters if name.startswith("layer10")] == []


def test_a_classifier_inside_the_last_part_still_learns() -> None:
    spec = get_spec("nin")
    learning = {name for name, _ in build(spec_of(spec, num_classes=3)).named_parameters()}
    learning -= set(frozen(spec, "backbone").parameters)
    assert len(learning) == 2


def test_auxiliary_classifiers_stand_still_with_what_they_read() -> None:
    spec = get_spec("googlenet_bn")
    points = [part.name for part in members(spec) if part.aux]
    first = set(frozen(spec, points[0]).parameters)
    assert {name.split(".")[0] for name in first if name.startswith("aux")} == {"aux1"}


@pytest.mark.parametrize("freeze", ["layer9", "layer", "Layer2", "fc", "0", "-1", "99", "12 ", "layer1.", "."])
def test_an_unknown_end_point_names_the_legal_ones(freeze: str) -> None:
    with pytest.raises(InputError, match="one of stem, layer1, layer2, layer3, features, logits, backbone; any end"):
        frozen(get_spec(MODEL), freeze)


@pytest.mark.parametrize("freeze", ["logits", "6"])
def test_freezing_everything_is_refused(freeze: str, tmp_path: Path, small: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"nothing to train.*freeze='backbone'"):
        frozen(get_spec(MODEL), freeze)
    with pytest.raises(InputError, match="nothing to train"):
        train("digits", MODEL, out=tmp_path / "a", progress=False, freeze=freeze, **small)
    assert not (tmp_path / "a").exists()


def test_layers_learn_slower_towards_the_image() -> None:
    scales = layer_scales(get_spec(MODEL), 0.5)
    assert scales.keys() == {name for name, _ in build(get_spec(MODEL)).named_parameters()}
    # Five parts learn: stem, three units, classifier; "features" has nothing to learn and takes no step.
    for start, wanted in (("conv1", 1 / 16), ("bn1", 1 / 16), ("layer1", 1 / 8), ("layer2", 1 / 4), ("layer3", 1 / 2)):
        assert {scale for name, scale in scales.items() if name.startswith(start)} == {wanted}
    assert (scales["fc.weight"], scales["fc.bias"]) == (1, 1)
    aux = layer_scales(get_spec("googlenet_bn"), 0.5)
    assert {scale for name, scale in aux.items() if name.startswith(("aux", "fc."))} == {1}


@pytest.mark.parametrize("decay_norm_and_bias", [True, False])
@pytest.mark.parametrize("freeze", ["", "layer1"])
def test_the_groups_hold_every_learning_parameter_once(freeze: str, decay_norm_and_bias: bool) -> None:
    model = build(get_spec(MODEL))
    frozen(get_spec(MODEL), freeze).apply(model)
    recipe = Recipe(layer_decay=0.5, weight_decay=0.1, learning_rate=0.8, decay_norm_and_bias=decay_norm_and_bias)
    groups = parameter_groups(model, recipe)
    held = [id(p) for group in groups for p in group["params"]]  # type: ignore[attr-defined]
    assert len(held) == len(set(held))
    assert set(held) == {id(p) for p in model.parameters() if p.requires_grad}
    optimizer = build_optimizer(model, recipe)
    set_learning_rate(optimizer, 0.8)
    rate = {id(p): (group["lr"], group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]}
    for name, p in model.named_parameters():
        spared = p.ndim <= 1 and not decay_norm_and_bias
        wanted = (0.8 * layer_scales(get_spec(MODEL), 0.5)[name], 0.0 if spared else 0.1)
        assert rate.get(id(p)) == (pytest.approx(wanted) if p.requires_grad else None), name


@pytest.mark.parametrize("value", [0.0, -0.5, 1.5, float("nan")])
def test_a_layer_decay_outside_its_range_is_refused(value: float) -> None:
    with pytest.raises(InputError, match=r"layer_decay=.*a finite number, above 0 to 1\. Leave it out for 1\.0"):
        Recipe(layer_decay=value)


def test_a_step_moves_each_layer_at_its_rate(tmp_path: Path, small: dict[str, Any]) -> None:
    """Plain SGD without decay: the first step is rate times gradient, so that two decays differ by their scales."""
    plain = {**small, "max_steps": 1, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0, "schedule": "constant"}
    plain |= {"warmup_epochs": 0.0, "learning_rate": 0.1}
    moved = {}
    start = None
    for decay in (1.0, 0.5):
        torch.manual_seed(0)
        start = build(spec_of(MODEL, num_classes=10, input_size=16)).state_dict()
        run = train("digits", MODEL, out=tmp_path / str(decay), progress=False, layer_decay=decay, **plain)
        moved[decay] = {name: t - start[name] for name, t in run.model.state_dict().items() if t.is_floating_point()}
    for name, scale in layer_scales(get_spec(MODEL), 0.5).items():
        torch.testing.assert_close(
            moved[0.5][name], moved[1.0][name] * scale, rtol=1e-3, atol=1.2e-7
        )  # two roundings at 1
        assert moved[1.0][name].abs().max() > 1e-5


def test_what_stands_still_is_held_through_a_validation(tmp_path: Path, small: dict[str, Any]) -> None:
    """Validation puts the network into eval mode and back: the frozen norms must stay there."""
    seen: list[set[str]] = []
    step = Trainer.step

    def looking(self: Trainer, group: Any) -> None:
        seen.append({name for name, module in self.model.named_modules() if not module.training})
        step(self, group)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "step", looking)
        train("digits", MODEL, out=tmp_path, progress=False, freeze="layer1", **small)
    assert len(seen) == 40
    assert all(names == seen[0] for names in seen)
    assert {"bn1", "layer1.0", "layer1.0.bn1", "layer1.0.bn2"} <= seen[0]
    assert not {name for name in seen[0] if name.startswith(("layer2", "layer3", "fc"))}


@pytest.mark.skipif(bool(reason()), reason=reason() or "kernels are there")
def test_the_native_kernels_leave_frozen_statistics_alone() -> None:
    model = build(get_spec("cifar_resnet20")).train()
    assert accelerate(model)
    still = frozen(get_spec("cifar_resnet20"), "layer1")
    still.apply(model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    images = torch.randn(4, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    model(images).sum().backward()
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.startswith(("layer2", "layer3")) for name in changed)
    learning = {name for name, p in model.named_parameters() if p.grad is not None}
    assert learning == {name for name, _ in model.named_parameters()} - set(still.parameters)


def test_dropout_that_parts_share_drops_in_those_that_learn() -> None:
    spec = get_spec("cifar_wrn16_2", dropout=0.3)
    model = build(spec).train()
    frozen(spec, "layer1").apply(model)
    drops = {name: m.training for name, m in model.named_modules() if isinstance(m, nn.Dropout)}
    assert set(drops.values()) == {True, False}
    assert all(training != name.startswith("layer1") for name, training in drops.items())


def test_freeze_and_decay_are_fields_of_the_recipe(tmp_path: Path) -> None:
    asked = ask("digits", MODEL, None, tmp_path, resume=False, freeze="layer1", layer_decay="0.75")
    assert (asked.recipes.large.freeze, asked.recipes.large.layer_decay) == ("layer1", 0.75)


@pytest.fixture(scope="module")
def photos(reference_file: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of ants and bees; the tests are skipped without them."""
    folder = tmp_path_factory.mktemp("photos")
    with tarfile.open(reference_file("data/hymenoptera.tar")) as stream:
        stream.extractall(folder, filter="data")
    return next(found.parent for found in folder.rglob("train"))


@pytest.fixture
def weights(tmp_path: Path) -> dict[str, torch.Tensor]:
    """A ResNet-18 of 1,000 classes in `tmp_path`/w.pth, its norms and statistics away from their initial values."""
    torch.manual_seed(11)
    state = build(get_spec("resnet18")).state_dict()
    for tensor in state.values():
        if tensor.ndim == 1:
            tensor.uniform_(0.5, 1.5)
    torch.save(state, tmp_path / "w.pth")
    return state


def fine_tune(photos: Path, out: Path, **fields: Any) -> Run:
    settings: dict[str, Any] = {"epochs": 1, "max_steps": 4, "batch_size": 16, "image_size": 64, "workers": 1}
    settings |= {"learning_rate": 0.1, "layer_decay": 0.9, "ema_decay": 0.5, "precision": "fp32", "device": "cpu"}
    settings |= {"on_bad": "skip", "checkpoint_every_steps": 2}
    return train(photos, "resnet18", out=out, progress=False, **{**settings, **fields})


@pytest.mark.slow
@pytest.mark.parametrize("kernels", ["eager", "native"])
@pytest.mark.parametrize("freeze", ["layer2", "backbone"])
def test_on_photos_the_frozen_part_keeps_its_bytes(
    photos: Path, tmp_path: Path, weights: dict[str, torch.Tensor], freeze: str, kernels: str
) -> None:
    if kernels == "native" and reason():
        pytest.skip(reason())
    run = fine_tune(photos, tmp_path / "run", weights=tmp_path / "w.pth", freeze=freeze, kernels=kernels)
    layers = {name.rpartition(".")[0] for name in frozen(get_spec("resnet18"), freeze).parameters}
    found = load(tmp_path / "run").model.state_dict()
    assert set(found) == set(weights)
    compared = 0
    for name, tensor in found.items():
        if name.rpartition(".")[0] in layers:
            assert torch.equal(tensor, weights[name]), name
            compared += 1
        else:
            assert tensor.shape != weights[name].shape or not torch.equal(tensor, weights[name]), name
    assert compared > 3 * 10  # weights and statistics of ten norms at least
    assert run.initial_weights is not None
    assert run.initial_weights["given"] == "w.pth"
    assert run.recipe is not None
    assert (run.recipe["freeze"], run.recipe["layer_decay"]) == (freeze, 0.9)


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the run catches it."""


@pytest.mark.slow
def test_on_photos_a_killed_run_is_resumed_to_the_same_bytes(
    photos: Path, tmp_path: Path, weights: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {"weights": tmp_path / "w.pth", "freeze": "layer3", "kernels": "eager"}
    expected = fine_tune(photos, tmp_path / "whole", **given)
    step = Trainer.step

    def stepping(self: Trainer, group: Any) -> None:
        if self.global_step == 3:
            raise Killed
        step(self, group)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", stepping)
        with pytest.raises(Killed):
            fine_tune(photos, tmp_path / "run", **given)
    (tmp_path / "w.pth").unlink()
    again = train(photos, out=tmp_path / "run", resume=True, progress=False, on_bad="skip", device="cpu")
    assert again.weights_sha256 == expected.weights_sha256
