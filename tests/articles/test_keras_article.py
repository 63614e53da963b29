"""Rows 52 to 64 of the list of what the articles name: Keras's CIFAR-10 example, its networks and its schedule."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from peers.test_keras_weights import _cifar_v1, _cifar_v2
from residua.cli.app import main
from residua.data.preprocess.normalise import normalise
from residua.families.build import build
from residua.specs.catalog import counts, get_spec
from residua.specs.preprocess import PreprocessSpec
from residua.studies.catalog import get_study
from residua.studies.study import StudyOptions
from residua.training.recipe_file import load_recipe
from residua.training.step.optim import learning_rate
from residua.weights.open import load
from studies.grids import result, results


def test_row_052_twenty_layers_against_fifty_six() -> None:
    """The committed outcome: two seeds, forty epochs or more, plain and residual, with what was cut."""
    folder = Path(__file__).parents[2] / "docs" / "studies" / "degradation"
    outcome = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    arms = {arm["arm"]: arm for arm in outcome["arms"]}
    assert set(arms) == {"plain-20", "plain-56", "residual-20", "residual-56"}
    assert {arm["test_error"]["n"] for arm in arms.values()} == {2}
    assert "trained for 40 epochs" in outcome["length"]
    # He 2015, table 6: 0.27 and 0.85 million parameters; option A adds none.
    assert {name: round(arm["params"] / 1e6, 2) for name, arm in arms.items() if "residual" in name} == {
        "residual-20": 0.27,
        "residual-56": 0.85,
    }
    assert all(arms[f"plain-{depth}"]["params"] == arms[f"residual-{depth}"]["params"] for depth in (20, 56))
    means = {name: arm["train_error"]["mean"] for name, arm in arms.items()}
    plain = means["plain-56"] - means["plain-20"]
    assert outcome["verdict"]["numbers"]["plain"]["value"] == pytest.approx(plain)
    assert "Cut:" in (folder / "recipe.toml").read_text(encoding="utf-8")


def test_row_053_vanishing_and_exploding_gradients() -> None:
    """Norms that fall a thousandfold over the plain network, and to a half over the residual one, give "yes"."""
    study = get_study("gradients")
    arms = study.grid(StudyOptions(quick=True, depths=(20,)))
    assert [arm.spec.name for arm in arms] == 2 * ["cifar_plain20"] + 2 * ["cifar_resnet20"]
    for factor, answer in ((1e-3, "yes"), (1e3, "yes"), (0.5, "undecided")):
        found = []
        for arm in arms:
            change = factor if arm.group == "plain" else 0.5
            norms = [[change * wobble, 0.8, 1.0] for wobble in (0.9, 1.0, 1.1)]
            shares = [] if arm.group == "plain" else [[0.7, 0.9]]
            measured = {"units": ["layer1.0", "layer1.1"], "norms": norms, "shares": shares}
            found.append(result(arm, measured={"initial": measured, "trained": measured}))
        verdict = study.conclude(results(arms, found)).verdict
        assert verdict.answer == answer
        assert verdict.numbers["plain, at the start"].value == pytest.approx(np.log10(factor), abs=0.01)
        assert verdict.numbers["residual, at the start"].value == pytest.approx(np.log10(0.5), abs=0.01)


def test_row_055_depths_are_6n_and_9n_and_2() -> None:
    """n = 3 gives 20 layers in version 1, 29 in version 2: three units in each of three stages."""
    first, second = get_spec("cifar_resnet20_keras"), get_spec("cifar_resnet29_v2_keras")
    assert (first.depth, second.depth) == (6 * 3 + 2, 9 * 3 + 2)
    assert first.depths == second.depths == (3, 3, 3)
    assert (first.unit, first.activation, second.unit, second.activation) == ("basic", "post", "bottleneck", "full_pre")


@pytest.mark.parametrize(
    ("name", "formula", "near"),
    [
        ("cifar_resnet21_keras", "6n+2", ("cifar_resnet20_keras", "cifar_resnet26_keras")),
        ("cifar_resnet30_v2_keras", "9n+2", ("cifar_resnet29_v2_keras", "cifar_resnet38_v2_keras")),
    ],
)
def test_row_057_another_depth_is_refused(
    name: str, formula: str, near: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The message has the formula and the nearest depths; the command ends with 2."""
    assert main(["inspect", name]) == 2
    printed = capsys.readouterr()
    assert f"a depth of {formula}, n >= 1" in printed.err
    assert f"The nearest: {near[0]} and {near[1]}" in printed.err
    assert printed.out == ""


def _converts(path: Path, model: object, name: str, out: Path) -> None:
    """Convert a file by the command, and compare the logits of an image's pixels with those of Keras."""
    assert main(["convert", str(path), "--model", name, "--out", str(out)]) == 0
    run = load(out)
    image = np.random.default_rng(1).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    scaled = (image / 255 - np.array(run.preprocess_spec.mean)) / np.array(run.preprocess_spec.std)
    want = np.asarray(model(scaled[None].astype(np.float32), training=False))  # type: ignore[operator]
    with torch.no_grad():
        got = run.model(run.preprocess(image)[None]).numpy()
    assert want.std() > 1e-2
    assert np.abs(got - want).max() / np.abs(want).max() <= 1e-5


def test_row_058_version_1_has_kerass_logits(keras: ModuleType, tmp_path: Path) -> None:
    """274,442 values in all, 273,066 of them trainable; saved as .h5 as the example does, and converted."""
    model, _ = _cifar_v1(keras)
    assert model.count_params() == 274_442
    assert counts("cifar_resnet20_keras") == (273_066, 40_813_184)
    statistics = [b for name, b in build(get_spec("cifar_resnet20_keras")).named_buffers() if "running" in name]
    assert sum(each.numel() for each in statistics) == 274_442 - 273_066
    path = tmp_path / "cifar10_ResNet20v1_model.120.h5"
    model.compile("adam", "categorical_crossentropy")
    model.save(path)
    _converts(path, model, "cifar_resnet20_keras", tmp_path / "run")


def test_row_059_version_2_has_kerass_logits(keras: ModuleType, tmp_path: Path) -> None:
    """29 layers, 843,786 trainable values; inner widths 16, 64, 128; saved as .keras, and converted."""
    model, _ = _cifar_v2(keras)
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == 843_786
    spec = get_spec("cifar_resnet29_v2_keras")
    assert counts(spec.name) == (843_786, 97_962_496)
    assert [spec.inner_width(stage) for stage in range(3)] == [16, 64, 128]
    path = tmp_path / "cifar10_ResNet29v2_model.keras"
    model.save(path)
    _converts(path, model, spec.name, tmp_path / "run")


def test_row_061_levels_are_divided_by_255() -> None:
    """0, 51 and 255 become 0, 0.2 and 1 where neither mean nor deviation follow."""
    levels = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 1, 1, 3).expand(1, 3, 1, 3)
    plain = PreprocessSpec(32, 32, mean=(0.0,) * 3, std=(1.0,) * 3)
    found = normalise(levels, plain)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[0, :, 0], torch.tensor([[0.0, 0.2, 1.0]]).expand(3, 3))


def test_row_063_batch_epochs_and_optimizer() -> None:
    """Batches of 32, 200 epochs, Adam at 1e-3 with Keras's betas."""
    recipe = load_recipe("keras", images=50_000)
    assert (recipe.batch_size, recipe.epochs, recipe.max_steps) == (32, 200, 0)
    assert (recipe.optimizer, recipe.learning_rate, recipe.momentum) == ("adam", 1e-3, 0.9)
    assert recipe == load_recipe("keras", images=1_000), "however few the images are"


@pytest.mark.parametrize(
    ("epochs", "rate"),
    [((0, 40, 79), 1e-3), ((82, 119), 1e-4), ((122, 159), 1e-5), ((162, 179), 1e-6), ((182, 199), 5e-7)],
)
def test_row_064_the_learning_rate_falls_four_times(epochs: tuple[int, ...], rate: float) -> None:
    """By 10 near epochs 80, 120 and 160, and by 2 near 180."""
    recipe = load_recipe("keras", images=50_000)
    rates = [learning_rate(recipe, 10 * e, total_steps=2000, steps_per_epoch=10) for e in epochs]
    assert rates == pytest.approx([rate] * len(epochs))
