"""Recipes: what ships, what is refused, and the round trip through TOML."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residua._base.errors import InputError
from residua.specs.augment import AugmentSpec
from residua.training.recipe import Recipe, warn_of_engine
from residua.training.recipe_file import (
    differences,
    from_dict,
    from_toml,
    list_recipes,
    load_recipe,
    override,
    to_dict,
    to_toml,
)


@pytest.mark.parametrize("name", ["fast", "keras", "paper", "slim"])
def test_what_ships_loads_and_opens_with_evidence(name: str) -> None:
    assert name in list_recipes()
    recipe = load_recipe(name)
    assert recipe.name == name
    text = (Path(__file__).parents[2] / "src/residua/recipes" / f"{name}.toml").read_text()
    assert text.startswith(f"# {name}: ")
    assert "residua train" in text
    assert "measured:" in text


def test_the_paper_recipe_is_the_papers() -> None:
    recipe = load_recipe("paper")
    assert (recipe.batch_size, recipe.learning_rate, recipe.momentum, recipe.weight_decay) == (128, 0.1, 0.9, 1e-4)
    assert (recipe.milestone_steps, recipe.max_steps, recipe.gamma) == ((32000, 48000), 64000, (0.1,))
    assert recipe.augment == AugmentSpec(crop="pad", pad=4, flip=True)
    assert recipe.decay_norm_and_bias
    assert not recipe.nesterov


def test_the_keras_recipe_is_the_examples() -> None:
    recipe = load_recipe("keras")
    assert (recipe.optimizer, recipe.learning_rate, recipe.batch_size, recipe.epochs) == ("adam", 1e-3, 32, 200)
    assert recipe.milestones == (80, 120, 160, 180)
    assert recipe.plateau_factor == pytest.approx(0.1**0.5)
    assert (recipe.keep, recipe.augment.shift, recipe.augment.flip) == ("best", 0.1, True)


def test_the_slim_recipe_is_slims() -> None:
    recipe = load_recipe("slim")
    assert (recipe.batch_size, recipe.learning_rate, recipe.momentum, recipe.weight_decay) == (32, 0.01, 0.9, 1e-4)
    assert (recipe.milestones, recipe.gamma) == (tuple(range(2, 90, 2)), (0.94,))
    assert recipe.precision == "fp32"
    assert not recipe.decay_norm_and_bias
    assert not recipe.nesterov


def test_fast_suits_the_data() -> None:
    cifar = load_recipe("fast")
    digits = load_recipe("fast", images=1300)
    photos = load_recipe("fast", photos=True)
    few_photos = load_recipe("fast", photos=True, images=245)
    assert cifar.batch_size > digits.batch_size
    assert (cifar.min_steps, photos.min_steps) == (0, 0)
    assert digits.min_steps > 0
    assert few_photos.min_steps > 0
    assert few_photos.batch_size < photos.batch_size
    begun = load_recipe("fast", photos=True, images=245, begun=True)
    assert (few_photos.optimizer, few_photos.nesterov, few_photos.learning_rate) == ("adamw", False, 1e-3)
    assert (begun.optimizer, begun.nesterov, begun.learning_rate, begun.epochs) == ("sgd", True, 0.01, 20)
    assert (few_photos.augment.scale, begun.augment.scale) == ((0.5, 1.0), (0.25, 1.0))
    assert (cifar.optimizer, cifar.rest_rate, cifar.learning_rate, cifar.momentum) == ("muon", 4.0, 0.05, 0.95)
    for recipe, rate in ((digits, 0.1), (photos, 0.1), (begun, 0.01)):
        assert (recipe.optimizer, recipe.rest_rate, recipe.learning_rate, recipe.momentum) == ("sgd", 1.0, rate, 0.9)
    assert (few_photos.rest_rate, few_photos.momentum) == (1.0, 0.9)
    assert cifar.augment.resolve(32).crop == "pad"
    assert photos.augment.resolve(224).crop == "random_resized"


BAD_FILES = [
    ("epoks = 3", ["my.toml", "'epoks'", "epochs"]),
    ("epochs = '3'", ["my.toml", "epochs='3'", "whole number"]),
    ("epochs = 3.5", ["my.toml", "epochs=3.5"]),
    ("epochs = true", ["epochs=True", "whole number"]),
    ("nesterov = 1", ["nesterov=1", "true or false"]),
    ("optimizer = 'sdg'", ["optimizer='sdg'", "'sgd'"]),
    ("milestones = [1.5]", ["milestones[0]=1.5"]),
    ("flip = true", ["'flip'", "[augment]"]),
    ("[augment]\nepochs = 3", ["'epochs'", "[augment] of my.toml", "above the table"]),
    ("[augment]\nflipp = true", ["'flipp'", "Did you mean flip"]),
    ("[augment]\nscale = [0.5]", ["scale=[0.5]", "2 numbers"]),
    ("[photos]\nepoch = 3", ["[photos] of my.toml", "'epoch'"]),
    ("[few]\nseed = 3", ["seed in [few] of my.toml"]),
    ("photos = 3", ["photos=3", "table [photos]"]),
    ("epochs 3", ["my.toml is not TOML"]),
    ("batch_size = 0", ["batch_size=0", "a whole number, 1 to", "my.toml"]),
    ("learning_rate = -0.1", ["learning_rate=-0.1", "my.toml"]),
    ("learning_rate = 0.0", ["learning_rate=0.0"]),
    ("learning_rate = nan", ["learning_rate=nan"]),
    ("device = 'tpu'", ["device='tpu'", "device='cpu'"]),
    ("epochs = 0", ["epochs=0 and max_steps=0"]),
    ("schedule = 'step'", ["milestones"]),
    ("schedule = 'step'\nmilestones = [3, 2]", ["rising"]),
    ("schedule = 'step'\nmilestones = [2, 3]\ngamma = [0.1, 0.1, 0.1]", ["gamma"]),
    ("optimizer = 'adamw'\nnesterov = true", ["nesterov with adamw"]),
    ("momentum = 1.0", ["momentum=1"]),
]


@pytest.mark.parametrize(("text", "words"), BAD_FILES, ids=[text.replace("\n", " ") for text, _ in BAD_FILES])
def test_a_bad_file_is_refused_with_the_place_named(text: str, words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        from_toml(text, source="my.toml")
    for word in words:
        assert word in str(error.value)


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(InputError, match="Did you mean fast"):
        load_recipe("fasd")
    with pytest.raises(InputError, match="cannot be read"):
        load_recipe("nowhere/my.toml")


def test_overrides_reach_recipe_and_augmentation_alike() -> None:
    recipe = override(load_recipe("fast"), epochs=3, mixup=0.2, **{"learning-rate": "0.05", "flip": "no"})
    assert (recipe.epochs, recipe.learning_rate) == (3, 0.05)
    assert (recipe.augment.mixup, recipe.augment.flip) == (0.2, False)
    assert override(recipe, schedule="step", milestones="3,5").milestones == (3, 5)
    assert override(recipe, augment=AugmentSpec(), flip=True).augment == AugmentSpec(flip=True)
    with pytest.raises(InputError, match=r"'epoch'.*Did you mean epochs"):
        override(recipe, epoch=3)
    with pytest.raises(InputError, match=r"learning_rate='fast'.*a finite number"):
        override(recipe, learning_rate="fast")
    with pytest.raises(InputError, match="batch_size=0"):
        override(recipe, batch_size=0)


def test_another_optimizer_leaves_what_is_of_muon_alone() -> None:
    recipe = load_recipe("fast")
    plain = override(recipe, optimizer="sgd", learning_rate=0.25)
    assert (plain.optimizer, plain.rest_rate, plain.learning_rate) == ("sgd", 1.0, 0.25)
    assert override(recipe, rest_optimizer="adamw").rest_rate == recipe.rest_rate
    with pytest.raises(InputError, match="rest_rate=3 with optimizer='sgd'"):
        override(recipe, optimizer="sgd", rest_rate=3.0)


def test_epochs_that_are_given_are_meant() -> None:
    few = load_recipe("fast", images=1000)
    assert few.min_steps > 0
    assert override(few, epochs=2).min_steps == 0
    assert override(few, seed=2).min_steps == few.min_steps


def test_a_shorter_run_warms_up_for_half_of_it_at_most() -> None:
    recipe = load_recipe("finetune", photos=True)
    assert recipe.warmup_epochs == 2
    assert override(recipe, epochs=10).warmup_epochs == 2
    assert override(recipe, epochs=2).warmup_epochs == 1
    assert override(recipe, epochs="1").warmup_epochs == 0.5
    assert override(recipe, epochs=2, warmup_epochs=2).warmup_epochs == 2
    assert override(recipe, epochs=0, max_steps=5).warmup_epochs == 2
    with pytest.raises(InputError, match="epochs=-1"):
        override(recipe, epochs=-1)


@given(
    st.builds(
        Recipe,
        name=st.text(max_size=20),
        epochs=st.integers(1, 10**6),
        batch_size=st.integers(1, 4096),
        learning_rate=st.floats(1e-12, 1e6),
        weight_decay=st.floats(0, 1),
        optimizer=st.sampled_from(["sgd", "adam", "adamw"]),
        compile=st.booleans(),
        warmup_epochs=st.floats(0, 100),
        augment=st.builds(AugmentSpec, flip=st.booleans(), mixup=st.just(0.0) | st.floats(1e-3, 1e3)),
    )
)
def test_toml_and_json_give_back_every_field(recipe: Recipe) -> None:
    assert from_toml(to_toml(recipe, head="a line\nanother")) == recipe
    assert from_dict(to_dict(recipe)) == recipe


def test_differences_are_named_field_by_field() -> None:
    recipe = load_recipe("fast")
    other = dataclasses.replace(recipe, epochs=7, augment=dataclasses.replace(recipe.augment, flip=False))
    assert differences(other, recipe) == ["flip is False now, was True", "epochs is 7 now, was 5"]
    assert differences(recipe, recipe) == []


def test_the_former_name_of_kernels_is_taken_for_one_release() -> None:
    def renamed(make: Any) -> str:
        warn_of_engine.cache_clear()
        with pytest.warns(UserWarning, match=r"engine=… of a recipe is called kernels=… now"):
            return str(make().kernels)

    assert renamed(lambda: Recipe(engine="eager")) == "eager"
    assert renamed(lambda: override(Recipe(), engine="native")) == "native"
    assert renamed(lambda: from_toml("engine = 'native'")) == "native"
    with pytest.raises(InputError, match="kernels='fast'"):
        Recipe(engine="fast")
    assert "engine" not in to_dict(Recipe(engine="eager"))
    assert override(Recipe(), engine=None).kernels == "auto"


@pytest.mark.parametrize(
    "fields",
    [
        {"learning_rate": 10**400},
        {"epochs": 10**400},
        {"batch_size": 10**12},
        {"warmup_epochs": 1e300},
        {"gamma": (10**400,)},
        {"clip_norm": float("inf")},
        {"seed": 2**63},
        {"milestones": (True,)},
    ],
    ids=str,
)
def test_absurd_numbers_are_refused_where_a_recipe_is_made(fields: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(fields))):
        Recipe(**fields)


def test_a_byte_order_mark_before_a_recipe_is_no_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("epochs = 3\n", encoding="utf-8-sig")
    assert load_recipe(tmp_path / "my.toml").epochs == 3
