"""What was asked for: recorded before the data is opened, taken up again at any moment, refused early."""

from __future__ import annotations

import json
import os
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from residua._base.errors import InputError
from residua._base.lock import exclusive
from residua._base.signals import Interrupted
from residua.specs.catalog import get_spec
from residua.training import finish, plan
from residua.training.folder.claim import record
from residua.training.folder.run_folder import read_origin
from residua.training.loop import train
from residua.training.recipe import Recipe
from residua.training.recipe_file import load_recipe
from residua.training.request import ask
from residua.training.trainer import Trainer
from residua.weights.open import load

MODEL = "cifar_resnet8"


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the run catches it."""


def killed(*_: object, **__: object) -> None:
    raise Killed


MOMENTS = {
    "opening the data": (Recipe, "open_data"),
    "decoding": (plan, "Loader"),
    "before origin.json has the data": (plan, "record"),
    "between origin.json and recipe.toml": (plan, "_recipe_text"),
    "before the first step": (Trainer, "step"),
    "evaluating": (finish, "evaluate_model"),
    "writing the report": (finish, "write_report"),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_killed_at_any_moment_is_resumed_from_its_folder_alone(
    moment: str, finished: Path, small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(*MOMENTS[moment], killed)
        with pytest.raises(Killed):
            train("digits", MODEL, out=tmp_path, progress=False, **small)
    run = train("digits", out=tmp_path, resume=True, progress=False)
    assert run.weights_sha256 == load(finished).weights_sha256
    assert load_recipe(tmp_path / "recipe.toml") == load_recipe(finished / "recipe.toml")


def test_small_data_keeps_its_recipe_when_the_number_of_epochs_was_worked_out(
    tmp_path: Path, small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`fast` gives few images other settings and more epochs; both must survive a resumption."""
    settings = {key: value for key, value in small.items() if key not in ("epochs", "recipe")}
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", killed)
        with pytest.raises(Killed):
            train("digits", MODEL, out=tmp_path, progress=False, **settings)
        written = load_recipe(tmp_path / "recipe.toml")
        assert written.epochs * 20 >= written.min_steps > 0
        for recipe in (None, tmp_path / "recipe.toml", "fast"):
            with pytest.raises(Killed):
                train("digits", MODEL, recipe, tmp_path, resume=True, progress=False, **settings)
            assert load_recipe(tmp_path / "recipe.toml") == written


def test_the_printed_command_resumes_an_edited_network(
    tmp_path: Path, small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trainer.step
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", lambda *given: (step(*given), os.kill(os.getpid(), signal.SIGTERM)))
        with pytest.raises(Interrupted) as error:
            train("digits", MODEL, out=tmp_path, progress=False, model_edits={"shortcut": "none"}, **small)
    command = shlex.split(str(error.value).splitlines()[-1])
    assert command == ["residua", "train", "digits", "--out", str(tmp_path), "--resume"]
    assert " --set shortcut=none " in (tmp_path / "recipe.toml").read_text()
    run = train("digits", out=tmp_path, resume=True, progress=False)
    assert run.spec.shortcut == "none"
    assert run.metrics["epochs"] == 2


def test_commands_name_the_data_folder(tmp_path: Path) -> None:
    asked = ask("cifar10", MODEL, None, tmp_path / "a", resume=False, data_dir=tmp_path / "my data")
    assert f"--data-dir '{tmp_path}/my data'" in asked.command
    opened = plan.open_plan(ask("digits", MODEL, None, tmp_path / "b", resume=False, data_dir=tmp_path / "my data"))
    # Others read recipe.toml: it names no place on this machine.
    assert f"residua train digits --model {MODEL} --recipe recipe.toml" in plan._recipe_text(opened)
    assert "my data" not in plan._recipe_text(opened)
    assert "with edits" not in plan._recipe_text(opened)


def never_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recipe, "open_data", lambda *_, **__: pytest.fail("the data was opened"))


def test_a_folder_that_is_taken_is_refused_before_the_data_is_opened(
    finished: Path, small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    never_opened(monkeypatch)
    with pytest.raises(InputError, match="already holds a run"):
        train("digits", MODEL, out=finished, progress=False, **small)
    with pytest.raises(InputError, match="epochs is 3 now, was 2"):
        train("digits", out=finished, resume=True, progress=False, epochs=3)
    with exclusive(tmp_path), pytest.raises(InputError, match="in use by another process"):
        train("digits", MODEL, out=tmp_path, progress=False, **small)
    with pytest.raises(InputError, match="nothing to resume"):
        train("digits", MODEL, out=tmp_path / "a", resume=True, progress=False)
    assert not (tmp_path / "a").exists()


def test_a_finished_run_needs_no_data_to_say_so(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    never_opened(monkeypatch)
    train("digits", out=finished, resume=True)
    assert "is finished" in capfd.readouterr().err


def test_a_request_that_is_refused_leaves_the_folder_free(tmp_path: Path, small: dict[str, Any]) -> None:
    for data, fields in (("a folder that is not there", {}), ("digits", {"accumulate_steps": 1000})):
        with pytest.raises(InputError):
            train(data, MODEL, out=tmp_path, progress=False, **{**small, **fields})
        assert {path.name for path in tmp_path.iterdir()} == {".lock"}


def test_other_data_is_refused_by_name(tmp_path: Path, small: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", killed)
        with pytest.raises(Killed):
            train("digits", MODEL, out=tmp_path, progress=False, **small)
    place = tmp_path / "checkpoints" / "origin.json"
    origin = json.loads(place.read_text())
    place.write_text(json.dumps({**origin, "data": {**origin["data"], "hash": "another"}}))
    with pytest.raises(InputError, match=r"the data digits is not what digits was.*Restore these files"):
        train("digits", out=tmp_path, resume=True, progress=False)


def test_leftovers_of_a_killed_writer_are_removed(
    tmp_path: Path, small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", killed)
        with pytest.raises(Killed):
            train("digits", MODEL, out=tmp_path, progress=False, **small)
        torn = [tmp_path / ".model.safetensors.abc.part", tmp_path / "checkpoints" / ".origin.json.abc.part"]
        for path in torn:
            path.write_bytes(b"half")
        with pytest.raises(Killed):
            train("digits", out=tmp_path, resume=True, progress=False)
    assert not [path for path in torn if path.exists()]


def test_running_out_of_memory_while_opening_is_said(
    tmp_path: Path, small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(plan, "Loader", full)
    with pytest.raises(InputError, match=r"while the data was opened.*workers=1"):
        train("digits", MODEL, out=tmp_path, progress=False, **small)
    assert read_origin(tmp_path) is None


@pytest.mark.parametrize("text", ["a lot", "", "1.5"])
def test_an_image_size_that_is_no_number_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"image_size=.*a whole number"):
        ask("digits", MODEL, None, tmp_path, resume=False, image_size=text)
    assert ask("digits", MODEL, None, tmp_path, resume=False, image_size="48").recipes.large.image_size == 48


@pytest.mark.parametrize(
    "fields",
    [
        {"milestones": (3, 2), "schedule": "step"},
        {"milestones": (3,)},
        {"schedule": "step"},
        {"schedule": "step", "milestones": (2, 3), "gamma": (0.1, 0.1, 0.1)},
        {"optimizer": "adamw", "nesterov": True},
        {"nesterov": True, "momentum": 0.0},
        {"momentum": 1.0},
        {"epochs": 0},
    ],
    ids=str,
)
def test_what_does_not_fit_together_has_a_remedy(fields: dict[str, Any]) -> None:
    with pytest.raises(InputError) as error:
        Recipe(**fields)
    assert error.value.remedy


def test_a_given_spec_is_recorded_whole(tmp_path: Path) -> None:
    spec = get_spec(MODEL, shortcut="none", num_classes=3)
    asked = ask("digits", spec, None, tmp_path, resume=False)
    record(asked, None, None)
    again = ask("digits", None, None, tmp_path, resume=True)
    assert again.spec.to_json() == asked.spec.to_json()
    assert (again.recipes.large, again.recipes.small) == (asked.recipes.large, asked.recipes.small)


def test_other_data_for_a_finished_run_is_refused(finished: Path, tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for number in range(8):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / label / f"{number}.png")
    with pytest.raises(InputError, match=r"has changed since the run was started: the classes are a, b now"):
        train(tmp_path, out=finished, resume=True, progress=False)


def test_a_folder_that_holds_other_things_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"already holds notes\.txt, photos"):
        train("digits", MODEL, out=tmp_path, progress=False)
    assert sorted(entry.name for entry in tmp_path.iterdir() if entry.name != ".lock") == ["notes.txt", "photos"]


def test_data_that_cannot_be_used_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        train(tmp_path / "nothing", MODEL, out=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_what_the_run_trains_with_in_the_end_is_checked(finished: Path, tmp_path: Path) -> None:
    """A table [begun] holds once the weights are known; a search is of steps, which a probe has none of."""
    path = tmp_path / "own.toml"
    head, probe = 'schedule = "constant"\nepochs = 1\nkeep = "last"\n', 'freeze = "backbone"\nprobe_views = 2\n'
    path.write_text(f"{head}[begun]\n{probe}")
    with pytest.raises(InputError, match="probe_views=2 with a search of learning_rate"):
        ask("digits", MODEL, path, tmp_path / "a", resume=False, weights=finished, find_rate=True)
    assert ask("digits", MODEL, path, tmp_path / "a", resume=False, weights="none", find_rate=True).trials
    path.write_text(f"{head}{probe}[begun]\nprobe_views = 0\n")
    assert ask("digits", MODEL, path, tmp_path / "a", resume=False, weights=finished, find_rate=True).trials
    with pytest.raises(InputError, match="probe_views=2 with a search of learning_rate"):
        ask("digits", MODEL, path, tmp_path / "a", resume=False, weights="none", find_rate=True)
