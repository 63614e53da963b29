"""Learning rates: the limit of a family, and the rate that a run names when it diverges at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from residua import get_spec, train
from residua.cli.app import main
from residua.specs.highway import WITHOUT_NORMS
from residua.training.console.outcome import Diverged
from residua.training.recipe import Recipe
from residua.training.recipe_file import FEW, RecipePair, load_recipe, override
from residua.training.request import Request, ask
from residua.training.trainer import Trainer
from residua.training.trials.range_test import RangeTest, range_test, rounded_down

SHORT: dict[str, Any] = {"train_images": 320, "epochs": 1, "device": "cpu", "precision": "fp32", "kernels": "eager"}


def asked(model: str, recipe: str | Path | Recipe | None, folder: Path, **overrides: Any) -> Request:
    return ask("digits", model, recipe, folder, resume=False, **overrides)


@pytest.mark.parametrize("model", ["highway_mlp10", "highway_mlp501", "cifar_highway19"])
def test_a_shipped_recipe_stays_within_the_limit(model: str, tmp_path: Path) -> None:
    for named in (None, "fast", "paper"):
        request = asked(model, named, tmp_path)
        assert request.recipes.small.learning_rate == request.recipes.large.learning_rate == 0.01
        assert {request.recipes.small.optimizer, request.recipes.large.optimizer} == {"sgd"}
        for images in (100, FEW):
            assert "SGD of learning_rate=0.01 in place of the recipe's" in request.notes_for(images)[0]
            assert model in request.notes_for(images)[0]
    # Adam's rates are of another kind, and slim's is within the limit.
    for named in ("keras", "slim"):
        request = asked(model, named, tmp_path)
        assert request.recipes.small.learning_rate == load_recipe(named).learning_rate
        assert request.notes_for(FEW) == request.notes_for(100) == ()


def test_a_rate_of_the_user_stands(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text("learning_rate = 0.3\n")
    for request in (
        asked("highway_mlp50", None, tmp_path, learning_rate=0.3),
        asked("highway_mlp50", "fast", tmp_path, **{"learning-rate": "0.3"}),
        asked("highway_mlp50", file, tmp_path),
        asked("highway_mlp50", override(load_recipe("fast"), learning_rate=0.3), tmp_path),
    ):
        assert request.recipes.small.learning_rate == request.recipes.large.learning_rate == 0.3
        assert not any("learning_rate" in note for images in (100, FEW) for note in request.notes_for(images))
    # Muon gives way even then, and that is stated.
    kept = asked("cifar_highway19", None, tmp_path, learning_rate=0.3, flip=False)
    assert (kept.recipes.large.optimizer, kept.recipes.large.learning_rate) == ("sgd", 0.3)
    assert [note.split(",")[0] for note in kept.notes_for(FEW)] == ["SGD in place of the recipe's Muon"]
    assert kept.notes_for(100) == ()


def test_shards_are_trained_by_sgd(tmp_path: Path) -> None:
    request = asked("cifar_resnet20", None, tmp_path, shard=True, flip=False)
    large = request.recipes.large
    assert (large.optimizer, large.learning_rate, large.momentum, large.rest_rate) == ("sgd", 0.25, 0.9, 1.0)
    assert request.notes_for(FEW) == (
        "SGD in place of the recipe's Muon, which needs whole matrices: shard=True divides them",
    )
    assert request.recipes.small.optimizer == "sgd"
    assert request.notes_for(FEW - 1) == ()
    chosen = asked("cifar_resnet20", None, tmp_path, shard=True, flip=False, optimizer="muon")
    assert (chosen.recipes.large.optimizer, chosen.notes_for(FEW)) == ("muon", ())


def test_digits_are_not_mirrored(tmp_path: Path) -> None:
    for named in (None, "fast"):
        request = asked("cifar_resnet20", named, tmp_path)
        assert not request.recipes.large.augment.flip
        assert not request.recipes.small.augment.flip
        assert request.notes_for(100) == (
            "flip=False in place of the recipe's: mirrored images of digits belong to no class. Give flip=True to flip",
        )
    with_rate = asked("cifar_highway19", None, tmp_path)
    assert [note.split("=")[0] for note in with_rate.notes_for(100)] == ["SGD of learning_rate", "flip"]


def test_a_flip_stands_where_it_is_chosen_or_published(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text("[augment]\nflip = true\n")
    (tmp_path / "folder").mkdir()
    for request in (
        asked("cifar_resnet20", None, tmp_path, flip=True),
        asked("cifar_resnet20", None, tmp_path, **{"alternate-flip": True}),
        asked("cifar_resnet20", "paper", tmp_path),
        asked("cifar_resnet20", file, tmp_path),
        ask(tmp_path / "folder", "cifar_resnet20", None, tmp_path / "out", resume=False),
    ):
        assert request.recipes.small.augment.flip
        assert request.notes_for(100) == ()
    assert not asked("cifar_resnet20", None, tmp_path, flip=False).notes_for(100)


def test_a_rate_of_the_user_is_one_of_sgd_where_it_is_limited(tmp_path: Path) -> None:
    assert asked("highway_mlp50", None, tmp_path, learning_rate=0.3).recipes.large.optimizer == "sgd"
    assert asked("cifar_resnet20", None, tmp_path, learning_rate=0.3).recipes.large.optimizer == "muon"


def test_other_networks_have_no_limit(tmp_path: Path) -> None:
    assert get_spec("resnet18").rate_limit is None
    assert get_spec("highway_mlp50").rate_limit is WITHOUT_NORMS
    assert (
        asked("cifar_resnet20", None, tmp_path).recipes.small == asked("cifar_resnet20", "fast", tmp_path).recipes.small
    )


def test_a_run_that_diverges_at_once_names_a_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes: list[tuple[Trainer, RangeTest | None]] = []

    def kept(trainer: Trainer, stop: Any) -> RangeTest | None:
        state = {name: value.clone() for name, value in trainer.model.state_dict().items()}
        before = torch.get_rng_state()
        outcome = range_test(trainer, stop)
        assert torch.equal(torch.get_rng_state(), before)
        same = [torch.equal(state[name], value) for name, value in trainer.model.state_dict().items()]
        # NaN is equal to nothing: compare the tensors that are finite.
        assert all(ok or not torch.isfinite(state[name]).all() for ok, name in zip(same, state, strict=True))
        assert range_test(trainer, stop) == outcome, "a second test gives the same rate"
        outcomes.append((trainer, outcome))
        return outcome

    monkeypatch.setattr("residua.training.loop.range_test", kept)
    with pytest.raises(Diverged) as error:
        train("digits", "highway_mlp20", out=tmp_path / "a", progress=False, **{**SHORT, "learning_rate": 3.0})
    ((trainer, outcome),) = outcomes
    assert outcome is not None
    assert outcome.learning_rate is not None
    assert 0.002 <= outcome.learning_rate <= 0.05
    assert outcome.steps <= 40
    assert f"Try learning_rate={outcome.learning_rate:g}: in a test" in str(error.value)
    assert error.value.step < 100
    assert trainer.plan.recipe.learning_rate == 3.0
    # The rate that it names trains.
    run = train(
        "digits",
        "highway_mlp20",
        out=tmp_path / "b",
        progress=False,
        **{**SHORT, "learning_rate": outcome.learning_rate},
    )
    assert run.metrics["loss"] < 10


def test_the_command_names_the_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "train",
        "digits",
        "--model",
        "highway_mlp10",
        "--epochs",
        "1",
        "--train-images",
        "320",
        "--kernels",
        "eager",
    ]
    assert main([*words, "--out", str(tmp_path / "a"), "--learning-rate", "1000"]) == 1
    printed = capsys.readouterr().err
    assert "a test of at most 40 steps" in printed
    assert "Try --learning-rate 0." in printed, printed


def test_rates_are_rounded_down() -> None:
    assert [rounded_down(rate) for rate in (0.0175, 0.02, 0.0049, 0.1, 0.99, 7)] == [0.01, 0.02, 0.002, 0.1, 0.5, 5.0]


@pytest.mark.parametrize("size", [32, 64, 65, 224])
def test_the_recipe_follows_the_network_and_not_the_pixels(size: int, tmp_path: Path) -> None:
    recipes = asked("resnet18", None, tmp_path, image_size=size).recipes
    assert recipes == replace_size(asked("resnet18", None, tmp_path, image_size=224).recipes, size)
    assert (recipes.small.learning_rate, recipes.small.augment.crop) == (1e-3, "random_resized")
    assert (recipes.small.optimizer, recipes.large.optimizer) == ("adamw", "sgd")
    small = asked("cifar_resnet20", None, tmp_path, image_size=size).recipes
    assert (small.small.learning_rate, small.large.learning_rate) == (0.1, 0.05)
    assert small.small.augment.crop == ("pad" if size <= 64 else "random_resized")


def test_an_edited_stem_makes_another_network(tmp_path: Path) -> None:
    edited = asked("resnet18", None, tmp_path, image_size=32, model_edits={"stem": "cifar"})
    # 1 · 2 · 2 · 2 pixels of the image: a network of small images.
    assert (edited.recipes.small.learning_rate, edited.recipes.small.augment.crop) == (0.1, "pad")


def replace_size(pair: RecipePair, size: int) -> RecipePair:
    return RecipePair(replace(pair.large, image_size=size), replace(pair.small, image_size=size))
