"""Training sends its trackers what it writes, is the same with and without them, and outlives their outages."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from residua._base.errors import InputError
from residua._base.signals import Interrupted
from residua.cli.app import main
from residua.training.loop import train
from residua.training.tracking.replay import replay
from residua.weights.open import load
from training.tracking.fakes import Failing, FakeWandb, Remembering


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> FakeWandb:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    for name in ("WANDB_MODE", "WANDB_PROJECT", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    return fake


def _history(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def _size(png: bytes, tmp_path: Path) -> tuple[int, int]:
    path = tmp_path / "a.png"
    path.write_bytes(png)
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return picture.size


def test_a_run_is_the_same_and_sends_what_it_writes(
    finished: Path, small: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker, broken = Remembering(), Failing(times=10**6)
    run = train("digits", "cifar_resnet8", out=tmp_path / "a", track=[tracker, broken], **small)
    assert run.weights_sha256 == load(finished).weights_sha256
    assert [name for name, _ in tracker.calls] == ["start", "image", "log", "log", "log", "image", "finish"]
    config = tracker.of("start")[0][0]
    assert config["model"] == "cifar_resnet8"
    assert config["recipe"]["epochs"] == 2
    assert config["resumed"] is False
    assert str(tmp_path) not in json.dumps(config)
    for (step, numbers), line in zip(tracker.of("log"), _history(run.folder), strict=False):
        assert {"step": step, **numbers} == line
    last, final = tracker.of("log")[2]
    assert (last, final["final_top1"]) == (run.metrics["steps"], run.metrics["top1"])
    assert [name for _, name, _ in tracker.of("image")] == ["first_batch", "confusion"]
    assert _size(tracker.of("image")[0][2], tmp_path) == (968, 564)
    assert tracker.of("finish") == [("finished",)]
    printed = capsys.readouterr().err
    assert printed.count("Failing does not take what the run sends (ConnectionError: no route to host)") == 1
    assert "Failing has missed 7 of the run's calls" in printed

    again = Remembering()
    sent = replay(run.folder, [again])
    assert sent.lines == 2
    assert sent.id != config["id"]
    assert again.of("log") == tracker.of("log")
    assert again.of("image") == tracker.of("image")[1:]
    assert {**again.of("start")[0][0], "id": 0} == {**config, "id": 0}


def test_a_resumed_run_goes_on_under_its_id(wandb: FakeWandb, small: dict[str, Any], tmp_path: Path) -> None:
    class Stopping(Remembering):
        def log(self, step: int, numbers: dict[str, float]) -> None:
            super().log(step, numbers)
            os.kill(os.getpid(), signal.SIGTERM)

    short = {**small, "train_images": 256, "min_steps": 0, "batch_size": 32, "epochs": 6, "progress": False}
    stopping = Stopping()
    with pytest.raises(Interrupted):
        train("digits", "cifar_resnet8", out=tmp_path / "a", track=["wandb", stopping], **short)
    assert stopping.of("finish") == [("stopped",)]
    assert wandb.codes == [1]
    before = list(wandb.epochs)
    assert before
    assert before[-1] < 40
    run = train("digits", out=tmp_path / "a", resume=True, progress=False)
    assert len(wandb.inits) == 2
    assert wandb.inits[0]["id"] == wandb.inits[1]["id"]
    assert wandb.inits[0]["mode"] == "offline"
    assert wandb.inits[0]["dir"] == str(tmp_path)
    assert wandb.inits[1]["resume"] == "allow"
    assert wandb.inits[1]["config"]["resumed"] is True
    assert wandb.epochs == [line["step"] for line in _history(run.folder)], "each line once"
    assert wandb.codes == [1, 0]


def test_a_tracker_that_joins_later_gets_the_whole_history(small: dict[str, Any], tmp_path: Path) -> None:
    class Stopping(Remembering):
        def log(self, step: int, numbers: dict[str, float]) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    short = {**small, "train_images": 128, "min_steps": 0, "batch_size": 32, "epochs": 4, "progress": False}
    with pytest.raises(Interrupted):
        train("digits", "cifar_resnet8", out=tmp_path / "a", track=[Stopping()], **short)
    late = Remembering()
    run = train("digits", out=tmp_path / "a", resume=True, track=[late], progress=False)
    steps = [step for step, numbers in late.of("log") if "train_loss" in numbers]
    assert steps == [line["step"] for line in _history(run.folder)]


@pytest.mark.parametrize(
    ("track", "words"),
    [
        ("wnadb", "Did you mean wandb"),
        ("foo", "trackio, wandb. Use track='wandb'"),
        (["tensorboard", "csv"], "one of mlflow, tensorboard, trackio, wandb"),
        ([object()], "without start, log, image, finish"),
        ([Remembering], "a class"),
    ],
)
def test_what_is_no_tracker_is_refused(track: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        train("digits", "cifar_resnet8", out=tmp_path / "a", track=track)
    assert not (tmp_path / "a").exists()


def test_the_command_names_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    words = ["train", "digits", "--model", "cifar_resnet8", "--out", str(tmp_path / "a")]
    assert main([*words, "--track", "wandb"]) == 2
    assert "pip install 'residua[wandb]'" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert main([*words, "--track", "tensorboard"]) == 2
    assert "Given: tensorboard, which cannot be imported" in " ".join(capsys.readouterr().err.split())
    assert main(["track", "replay", str(tmp_path / "nope"), "--to", "tensorboard"]) == 2
    assert "nope" in (shown := capsys.readouterr().err)
    assert "tensorboard" not in shown
    assert main([*words, "--track", "wandb", "--folds", "3"]) == 2
    assert "residua track replay" in capsys.readouterr().err


def test_the_command_replays(
    finished: Path, wandb: FakeWandb, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["track", "replay", str(finished), "--to", "wandb", "--json"]) == 0
    sent = json.loads(capsys.readouterr().out)
    assert sent["trackers"] == ["wandb"]
    assert wandb.inits[0]["id"] == sent["id"]
    assert wandb.epochs == [line["step"] for line in _history(finished)]
    assert wandb.codes == [0]
    assert main(["track", "replay", str(tmp_path), "--to", "wandb"]) == 2
    assert main(["track", "replay", str(finished), "--to", "wnadb"]) == 2
    assert "Given: --to wnadb" in capsys.readouterr().err
    assert main(["track", "replay", str(finished)]) == 2
    wandb.init = None  # type: ignore[assignment, method-assign]
    assert main(["track", "replay", str(finished), "--to", "wandb"]) == 1
    assert "wandb did not take the run: TypeError" in capsys.readouterr().err
