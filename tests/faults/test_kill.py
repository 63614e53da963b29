"""Runs that are killed, stopped, doubled or out of room; the final weights must not know."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from faults import kill
from residua._base.errors import InputError
from residua._base.lock import exclusive
from residua._base.signals import Interrupted
from residua.training import finish
from residua.training.folder.run_folder import read_origin
from residua.training.loop import train
from residua.training.trainer import Trainer
from residua.training.trials import settle

MODEL = "cifar_resnet8"
# As many steps as the proof's, with fewer pixels each.
SMALL: dict[str, Any] = {"image_size": 8, "batch_size": 32, "train_images": 640}
RECIPE = kill.RECIPE | SMALL


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, float]:
    """SHA-256 of the weights of the run that was never killed, and its seconds."""
    return kill.train_undisturbed(tmp_path_factory.mktemp("runs") / "undisturbed", **SMALL)


@pytest.mark.slow
def test_killed_and_resumed_gives_the_same_bytes(tmp_path: Path, undisturbed: tuple[str, float]) -> None:
    expected, seconds = undisturbed
    aims = ("any", "writing", "end")
    kills = kill.kill_until_done(tmp_path / "run", 0, random.Random(3), 0.6 * seconds, aims, **SMALL)
    assert kills
    assert kill.digest(tmp_path / "run") == expected


@pytest.mark.slow
def test_killed_while_fine_tuning_gives_the_same_bytes(tmp_path: Path, undisturbed: tuple[str, float]) -> None:
    """Initial weights, frozen parts and layer-wise rates are all taken up again."""
    train("digits", MODEL, out=tmp_path / "base", progress=False, **RECIPE | {"max_steps": 5})
    fields = {"weights": str(tmp_path / "base"), "freeze": "layer1", "layer_decay": 0.7, **SMALL}
    expected, seconds = kill.train_undisturbed(tmp_path / "whole", **fields)
    kills = kill.kill_until_done(
        tmp_path / "run", 0, random.Random(5), 0.6 * seconds, ("any", "writing", "end"), **fields
    )
    assert kills
    assert kill.digest(tmp_path / "run") == expected != undisturbed[0]


def stop_after(count: int, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    step, done = Trainer.step, []

    def stopping(self: Trainer, group: Any) -> None:
        step(self, group)
        done.append(1)
        if len(done) == count:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Trainer, "step", stopping)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_names_the_command_that_continues(
    tmp_path: Path,
    undisturbed: tuple[str, float],
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    code: int,
) -> None:
    before = signal.getsignal(number)
    folder = tmp_path / "a run"
    with monkeypatch.context() as patch:
        stop_after(30, number, patch)
        with pytest.raises(Interrupted) as error:
            train("digits", MODEL, out=folder, progress=False, **RECIPE)
    assert error.value.exit_code == code
    assert "--resume" in str(error.value)
    assert f"'{folder}'" in str(error.value)
    assert signal.getsignal(number) == before
    # The printed command names the data and the folder alone.
    train("digits", out=folder, resume=True, progress=False)
    assert kill.digest(folder) == undisturbed[0]


def test_a_signal_during_validation_saves_too(
    tmp_path: Path, undisturbed: tuple[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = Trainer._measure

    def stopping(self: Trainer, stop: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return measure(self, stop)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_measure", stopping)
        with pytest.raises(Interrupted):
            train("digits", MODEL, out=tmp_path, progress=False, **RECIPE)
    assert not (tmp_path / "history.jsonl").read_text() if (tmp_path / "history.jsonl").exists() else True
    train("digits", MODEL, out=tmp_path, resume=True, progress=False, **RECIPE)
    assert kill.digest(tmp_path) == undisturbed[0]


@pytest.mark.parametrize("moment", ["evaluate_model", "write_report", "_keep_best_and_last"])
def test_a_signal_while_the_results_are_written_is_respected(
    moment: str, tmp_path: Path, undisturbed: tuple[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = getattr(finish, moment)

    def stopping(*given: Any, **named: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return done(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(finish, moment, stopping)
        with pytest.raises(Interrupted, match=f"step {kill.STEPS} of {kill.STEPS}; all is saved") as error:
            train("digits", MODEL, out=tmp_path, progress=False, **RECIPE)
    assert error.value.exit_code == 143
    assert (tmp_path / "model.safetensors").exists() == (moment != "evaluate_model")
    train("digits", out=tmp_path, resume=True, progress=False)
    assert kill.digest(tmp_path) == undisturbed[0]


def test_a_signal_while_the_data_is_opened_stops_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opening(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("the signal was not respected")

    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(settle, "open_plan", opening)
        with pytest.raises(Interrupted, match="nothing is lost") as error:
            train("digits", MODEL, out=tmp_path, progress=False, **RECIPE)
    assert error.value.exit_code == 143
    assert f"residua train digits --out {tmp_path} --resume" in str(error.value)
    assert signal.getsignal(signal.SIGTERM) == before
    assert read_origin(tmp_path)


def test_history_is_cut_back_to_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stop_after(25, signal.SIGTERM, patch)
        with pytest.raises(Interrupted):
            train("digits", MODEL, out=tmp_path, progress=False, **RECIPE)
    history = tmp_path / "history.jsonl"
    history.write_text(history.read_text() + '{"epoch": 2, "step": 40}\n{"epoch": 3, "st')
    train("digits", MODEL, out=tmp_path, resume=True, progress=False, **RECIPE)
    assert [line.split(",")[0] for line in history.read_text().splitlines()] == [f'{{"epoch": {n}' for n in (1, 2, 3)]


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path,
    undisturbed: tuple[str, float],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch:
        stop_after(30, signal.SIGTERM, patch)
        with pytest.raises(Interrupted):
            train("digits", MODEL, out=tmp_path, progress=False, **RECIPE)
    newest = max((tmp_path / "checkpoints").glob("step-*"))
    newest.write_bytes(newest.read_bytes()[:-1000])
    train("digits", MODEL, out=tmp_path, resume=True, progress=False, **RECIPE)
    assert f"{newest.name} cannot be read" in capfd.readouterr().err
    assert kill.digest(tmp_path) == undisturbed[0]


def test_damage_to_every_checkpoint_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        stop_after(9, signal.SIGTERM, patch)
        with pytest.raises(Interrupted):
            train("digits", MODEL, out=tmp_path, progress=False, **RECIPE)
    for path in (tmp_path / "checkpoints").glob("step-*"):
        path.write_bytes(b"x")
    with monkeypatch.context() as patch:
        stop_after(1, signal.SIGTERM, patch)
        with pytest.raises(Interrupted):
            train("digits", out=tmp_path, resume=True)
    said = capfd.readouterr().err
    assert "No checkpoint is whole: it starts again from its recipe" in said
    assert "ended before its first checkpoint" not in said


def test_a_run_that_lost_every_checkpoint_starts_again_from_its_recipe(
    tmp_path: Path,
    undisturbed: tuple[str, float],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch:
        stop_after(2, signal.SIGTERM, patch)
        with pytest.raises(Interrupted):
            train("digits", MODEL, out=tmp_path, progress=False, **RECIPE)
    for path in (tmp_path / "checkpoints").glob("step-*"):
        path.unlink()
    (tmp_path / "recipe.toml").unlink()
    train("digits", MODEL, out=tmp_path, resume=True, **RECIPE)
    assert "starts again from its recipe" in capfd.readouterr().err
    assert kill.digest(tmp_path) == undisturbed[0]


def test_a_second_process_on_the_folder_is_refused(tmp_path: Path) -> None:
    with exclusive(tmp_path / "a"), pytest.raises(InputError, match=r"in use by another process"):
        train("digits", MODEL, out=tmp_path / "a", progress=False, **RECIPE)
    assert {path.name for path in (tmp_path / "a").iterdir()} == {".lock"}


def _in_little_room(folder: str, outcome: Any) -> None:
    # A file may not grow beyond this: the kernel refuses the write in the middle, as at a full disk.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    try:
        kill._work(folder, MODEL, 1, RECIPE)
    except InputError as error:
        outcome.send(str(error))


def test_a_full_disk_while_saving_is_said_and_loses_nothing(tmp_path: Path, undisturbed: tuple[str, float]) -> None:
    context = multiprocessing.get_context("forkserver")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_in_little_room, args=(str(tmp_path / "a"), sender))
    process.start()
    process.join()
    assert receiver.poll(), "the run did not notice"
    said = receiver.recv()
    assert "at most 200,000 bytes to a file (ulimit -f)" in said
    assert "resume=True" in said
    assert not list((tmp_path / "a" / "checkpoints").glob(".*.part"))
    resumed = kill.start(tmp_path / "a", **SMALL)
    resumed.join()
    assert kill.digest(tmp_path / "a") == undisturbed[0]
