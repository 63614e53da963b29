"""What a run begins with: published weights by default where they can be had, and a loud line where they cannot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from residua._base.errors import InputError
from residua.grids.folds.plan import plan_folds
from residua.specs.catalog import get_spec
from residua.training.folder.run_folder import read_origin
from residua.training.loop import train
from residua.training.recipe import Recipe
from residua.training.recipe_file import from_toml, list_recipes, load_recipe
from residua.training.request import ask
from residua.training.trainer import Trainer
from residua.weights.published.catalog import PublishedWeights
from residua.weights.run import Run
from servers import Behaviour, serving
from weights.named.hubs import served_row

FEW: dict[str, Any] = {
    "image_size": 32,
    "train_images": 20,
    "max_steps": 1,
    "batch_size": 8,
    "workers": 1,
    "device": "cpu",
    "kernels": "eager",
}


@pytest.fixture(scope="module")
def resnet18() -> dict[str, torch.Tensor]:
    """A state dict of ResNet-18, in half precision to be small."""
    from residua.families.build import build

    torch.manual_seed(5)
    state = build(get_spec("resnet18")).state_dict()
    return {name: t.half() if t.is_floating_point() else t for name, t in state.items()}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Behaviour]:
    """A server that is allowed, and an empty cache."""
    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("residua._base.web.http.time.sleep", lambda _: None)
    monkeypatch.delenv("RESIDUA_OFFLINE", raising=False)
    with serving() as behaviour:
        monkeypatch.setenv("HF_ENDPOINT", behaviour.address)
        yield behaviour


@pytest.fixture
def row(server: Behaviour, resnet18: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch) -> PublishedWeights:
    """The row of ResNet-18 at the server."""
    return served_row(server, resnet18, monkeypatch)


def begun_with(folder: Path, **fields: Any) -> tuple[Run, dict[str, torch.Tensor]]:
    """Train, and return the run and the weights before the first step."""
    before: dict[str, torch.Tensor] = {}
    step = Trainer.step

    def stepping(self: Trainer, group: Any) -> None:
        if not before:
            before.update({name: value.clone() for name, value in self.model.state_dict().items()})
        step(self, group)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "step", stepping)
        run = train("digits", "resnet18", out=folder, **{**FEW, **fields})
    return run, before


def notes_of(folder: Path) -> list[str]:
    notes: list[str] = json.loads((folder / "report.json").read_text())["data"]["notes"]
    return notes


def test_fast_begins_with_published_weights_and_states_so(
    row: PublishedWeights,
    server: Behaviour,
    resnet18: dict[str, torch.Tensor],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, before = begun_with(tmp_path / "run")
    err = capsys.readouterr().err
    assert "Published weights: torchvision:IMAGENET1K_V1: 69.76% top-1 on ImageNet, licence bsd-3-clause" in " ".join(
        err.split()
    )
    assert "BEGINS WITH RANDOM" not in err
    for name, tensor in before.items():
        assert name.startswith("fc.") or torch.equal(tensor, resnet18[name].to(tensor.dtype)), name
    assert before["fc.weight"].shape[0] == 10
    assert run.initial_weights is not None
    assert run.initial_weights["given"] == row.name
    assert run.initial_weights["sha256"].startswith(row.locations[0].sha256)
    # The preprocessing is that of the weights, at the side that was asked for.
    assert run.preprocess_spec.mean == row.preprocess.mean
    assert any(row.name in note for note in notes_of(tmp_path / "run"))
    assert run.recipe is not None
    assert run.recipe["weights"] == "published"
    # The finished run is opened without a question to anybody, and so is a second one.
    asked = len(server.asked)
    train("digits", out=tmp_path / "run", resume=True, progress=False)
    again, _ = begun_with(tmp_path / "again", progress=False, recipe=tmp_path / "run" / "recipe.toml")
    assert len(server.asked) == asked
    assert again.weights_sha256 == run.weights_sha256


def test_a_killed_run_goes_on_without_the_network(
    row: PublishedWeights, server: Behaviour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {**FEW, "max_steps": 2, "checkpoint_every_steps": 1, "progress": False}
    whole = train("digits", "resnet18", out=tmp_path / "whole", **fields)
    step = Trainer.step

    def stepping(self: Trainer, group: Any) -> None:
        if self.global_step == 1:
            raise KeyboardInterrupt
        step(self, group)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", stepping)
        with pytest.raises(KeyboardInterrupt):
            train("digits", "resnet18", out=tmp_path / "run", **fields)
    asked = len(server.asked)
    with pytest.raises(InputError, match="'none' now, were 'torchvision:IMAGENET1K_V1'"):
        train("digits", out=tmp_path / "run", resume=True, progress=False, weights="none")
    run = train("digits", out=tmp_path / "run", resume=True, progress=False, weights="published")
    assert len(server.asked) == asked
    assert run.weights_sha256 == whole.weights_sha256


@pytest.mark.parametrize("cause", ["offline", "no server", "a damaged file"])
def test_where_they_cannot_be_had_one_loud_line_states_it(
    row: PublishedWeights,
    server: Behaviour,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    cause: str,
) -> None:
    if cause == "offline":
        monkeypatch.setenv("RESIDUA_OFFLINE", "1")
    elif cause == "no server":
        monkeypatch.setattr(
            "residua.weights.named.published_file.unreachable", lambda urls: dict.fromkeys(urls, "no connection")
        )
    else:
        server.redirects.clear()
        server.files = {name: content[:-1] + b"?" for name, content in server.files.items()}
    run, _ = begun_with(tmp_path / "run", progress=False)
    err = " ".join(capsys.readouterr().err.split())
    assert err.count("resnet18 BEGINS WITH RANDOM WEIGHTS") == 1
    assert "residua weights get resnet18" in err
    assert run.initial_weights is None
    assert run.recipe is not None
    assert run.recipe["weights"] == "none"
    document = json.loads((tmp_path / "run" / "report.json").read_text())
    assert any("BEGINS WITH RANDOM WEIGHTS" in remark for remark in document["data"]["notes"])
    assert (tmp_path / "run" / "report.html").read_text().count("BEGINS WITH RANDOM WEIGHTS") == 1
    origin = read_origin(tmp_path / "run")
    assert origin is not None
    assert "BEGINS WITH RANDOM" in origin.missing_weights
    # What was begun without them goes on without them, and asks nobody.
    monkeypatch.delenv("RESIDUA_OFFLINE", raising=False)
    asked = len(server.asked)
    request = ask("digits", None, "fast", tmp_path / "run", resume=True, **FEW)
    assert request.initial_weights is None
    assert request.missing_weights == origin.missing_weights
    assert request.recipes.small == origin.recipes.small
    assert len(server.asked) == asked


def test_named_none_begins_from_nothing_without_a_word(
    row: PublishedWeights, server: Behaviour, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, before = begun_with(tmp_path / "run", weights="none")
    assert run.initial_weights is None
    assert "RANDOM" not in capsys.readouterr().err
    assert not server.asked
    assert not any("RANDOM" in note for note in notes_of(tmp_path / "run"))
    assert before["conv1.weight"].std() > 0


@pytest.mark.parametrize("recipe", ["paper", "keras", "slim"])
def test_other_recipes_ask_for_none(row: PublishedWeights, server: Behaviour, tmp_path: Path, recipe: str) -> None:
    request = ask("digits", "resnet18", recipe, tmp_path / "run", resume=False)
    assert request.initial_weights is None
    assert not request.missing_weights
    assert not server.asked


def test_nothing_is_fetched_for_data_that_is_not_there(
    row: PublishedWeights, server: Behaviour, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="neither a folder nor a known data set"):
        ask(tmp_path / "NOWHERE", "resnet18", None, tmp_path / "run", resume=False)
    assert not server.asked


def test_which_recipes_and_networks_begin_with_weights(tmp_path: Path) -> None:
    policies = {name: load_recipe(name, photos=True).weights for name in list_recipes()}
    assert policies["fast"] == "published"
    assert {policies[name] for name in ("paper", "keras", "slim")} == {"none"}
    assert load_recipe("fast").weights == Recipe().weights == "none"
    small = ask("digits", "cifar_resnet8", None, tmp_path / "run", resume=False)
    assert (small.missing_weights, small.initial_weights) == ("", None)
    plain = ask("digits", "plain18", None, tmp_path / "run", resume=False)
    assert "the catalog has no published weights of plain18" in plain.missing_weights
    edited = ask("digits", "resnet18", None, tmp_path / "run", resume=False, model_edits={"bn_eps": 0.1})
    assert "bn_eps=0.1" in edited.missing_weights


def test_what_is_asked_for_by_name_is_not_done_without(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"resnet18 without weights to begin with.*residua weights get resnet18"):
        ask("digits", "resnet18", "paper", tmp_path / "run", resume=False, weights="published")
    with pytest.raises(InputError, match=r"the catalog has no published weights of plain18"):
        ask("digits", "plain18", "fast", tmp_path / "run", resume=False, weights="published")


def test_a_table_of_a_recipe_holds_where_the_run_begins_with_weights(row: PublishedWeights, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("learning_rate = 0.2\n[begun]\nlearning_rate = 0.1\n[photos.begun]\nlearning_rate = 0.05\n")
    for weights, rate in (("none", 0.2), ("published", 0.05)):
        request = ask("digits", "resnet18", path, tmp_path / "run", resume=False, weights=weights)
        assert request.recipes.small.learning_rate == rate
    assert from_toml(path.read_text(), begun=True).learning_rate == 0.1
    with pytest.raises(InputError, match=r"weights in \[few\]"):
        from_toml('[few]\nweights = "published"\n')
    with pytest.raises(InputError, match="one of"):
        from_toml('weights = "some"\n')


def test_all_folds_begin_with_what_was_found_first(
    row: PublishedWeights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = dict.fromkeys(("data_dir", "table", "model_edits", "weights", "corrections"))
    options |= {"full_provenance": False, "resume": False, "overrides": {**FEW, "train_images": 0, "folds": 3}}
    plan = plan_folds("digits", "resnet18", None, tmp_path / "folds", **options)
    assert {job.weights for job in plan.jobs} == {row.name}
    assert plan.record.get("missing_weights") == ""
    monkeypatch.setenv("RESIDUA_OFFLINE", "1")
    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path / "empty"))
    plan = plan_folds("digits", "resnet18", None, tmp_path / "other", **options)
    assert {(job.weights, job.recipe.weights) for job in plan.jobs} == {(None, "none")}
    assert "BEGINS WITH RANDOM" in plan.record.get("missing_weights", "")
