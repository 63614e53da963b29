"""How TF-slim's networks are trained, of the list of what the articles name: one test a row, under its number."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

from residua import create_model, get_spec, load
from residua.cli.app import main
from residua.training.recipe_file import load_recipe
from residua.training.step.optim import parameter_groups


def test_row_013_the_training_defaults_are_a_recipe(tmp_path: Path) -> None:
    """L2 on 54 of the 174 tensors of resnet_v2_50, the kernels of its convolutions; momentum 0.9; BN of the network."""
    recipe = load_recipe("slim", photos=True)
    network = create_model("resnet50_v2_slim")
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    decays = {float(group["weight_decay"]): group["params"] for group in parameter_groups(network, recipe)}  # type: ignore[arg-type]
    assert {decay: len(group) for decay, group in decays.items()} == {1e-4: 54, 0.0: 120}  # type: ignore[arg-type]
    assert all(parameter.ndim == 4 for parameter in decays[1e-4])  # type: ignore[attr-defined]
    assert "fc.weight" in {names[id(parameter)] for parameter in decays[1e-4]}  # type: ignore[attr-defined]
    assert (recipe.optimizer, recipe.momentum, recipe.weight_decay) == ("sgd", 0.9, 1e-4)
    spec = get_spec("resnet50_v2_slim")
    assert (spec.bn_momentum, spec.bn_eps) == (0.003, 1e-5)  # type: ignore[attr-defined]
    head = (resources.files("residua") / "recipes" / "slim.toml").read_text(encoding="utf-8").split("\nname =")[0]
    assert "--weight-decay 1e-3" in head
    assert "bn_momentum = 0.003" in head
    command = ["train", "digits", "--model", "cifar_resnet8", "--recipe", "slim", "--max-steps", "4", "--epochs", "1"]
    assert main([*command, "--out", str(tmp_path / "run"), "--train-images", "200"]) == 0
    run = load(tmp_path / "run")
    assert run.recipe is not None
    assert (run.recipe["name"], run.recipe["weight_decay"], run.recipe["precision"]) == ("slim", 1e-4, "fp32")
    # The recipe leaves the network's own normalisation as it is.
    assert run.spec.bn_momentum == get_spec("cifar_resnet8").bn_momentum == 0.1  # type: ignore[attr-defined]
    line = json.loads((tmp_path / "run" / "history.jsonl").read_text().splitlines()[-1])
    assert line["learning_rate"] == 0.01
