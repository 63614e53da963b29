"""The adapters where their packages fail or hang, with modules that stand for these packages."""

from __future__ import annotations

import contextlib
import errno
import io
import sys
import threading
import types
from pathlib import Path
from typing import Any

import pytest

from residua._base.console import Display
from residua.training.tracking import follow, record
from residua.training.tracking.follow import Following
from residua.training.tracking.mlflow import MlflowTracker
from residua.training.tracking.relay import Relay
from residua.training.tracking.trackio import TrackioTracker
from training.tracking.fakes import Remembering

CONFIG = {"id": "0a1b2c3d", "name": "a", "resumed": False, "recipe": {"epochs": 2}}


class FakeMlflow(types.ModuleType):
    """The part of MLflow that the adapter calls; `log_batch` fails `failures` times."""

    def __init__(self, failures: int) -> None:
        super().__init__("mlflow")
        self.failures = failures
        self.runs: list[Any] = []
        self.statuses: list[str] = []
        self.entities = types.SimpleNamespace(Param=lambda key, value: (key, value))

    def MlflowClient(self, tracking_uri: str) -> FakeMlflow:
        return self

    def get_experiment_by_name(self, name: str) -> Any:
        return types.SimpleNamespace(experiment_id="0")

    def search_runs(self, experiments: list[str], filter_string: str) -> list[Any]:
        return self.runs

    def create_run(self, experiment: str, run_name: str, tags: dict[str, str]) -> Any:
        info, data = types.SimpleNamespace(run_id="r"), types.SimpleNamespace(params={})
        self.runs.append(types.SimpleNamespace(info=info, data=data))
        return self.runs[0]

    def set_terminated(self, run: str, status: str) -> None:
        self.statuses.append(status)

    def log_batch(self, run: str, params: list[tuple[str, str]]) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("no route to host")
        known = self.runs[0].data.params
        assert not set(known) & {key for key, _ in params}, "MLflow refuses to change a parameter"
        known.update(params)


def test_parameters_that_failed_are_logged_by_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeMlflow(failures=1)
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    tracker = MlflowTracker(tmp_path)
    with pytest.raises(ConnectionError):
        tracker.start(CONFIG)
    tracker.start(CONFIG)
    wanted = {"id": "0a1b2c3d", "name": "a", "resumed": "False", "recipe.epochs": "2"}
    assert len(fake.runs) == 1
    assert fake.runs[0].data.params == wanted
    tracker.start({**CONFIG, "resumed": True})
    assert fake.runs[0].data.params == wanted
    assert fake.statuses == ["RUNNING", "RUNNING"]


def test_stdout_is_the_commands_own_while_trackio_hangs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun, release = threading.Event(), threading.Event()
    fake = types.ModuleType("trackio")
    monkeypatch.setitem(sys.modules, "trackio", fake)
    fake.__dict__.update(begun=begun, release=release)
    exec(
        "def init(**settings):\n    print('initialized')\n"
        "def finish():\n    print('finishing')\n    begun.set()\n    release.wait(20)\n",
        fake.__dict__,
    )
    tracker = TrackioTracker()
    tracker.start(CONFIG)
    thread = threading.Thread(target=tracker.finish, args=("finished",), daemon=True)
    thread.start()
    assert begun.wait(10)
    print("the result")
    release.set()
    thread.join(10)
    assert capsys.readouterr().out == "the result\n"


def test_what_trackio_keeps_to_itself_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = types.ModuleType("trackio")
    monkeypatch.setitem(sys.modules, "trackio", fake)
    exec(
        "import warnings\n"
        "def _emit_nonfatal_warning(message, *args, **kwargs):\n    warnings.warn(message, *args, **kwargs)\n"
        "class Run:\n    full = False\n    logged = []\n"
        "    def log(self, numbers, step):\n"
        "        self.logged.append(step)\n"
        "        if self.full: _emit_nonfatal_warning('could not be persisted')\n"
        "run = Run()\n"
        "def init(**settings):\n    _emit_nonfatal_warning('Continuing in local fallback mode')\n    return run\n"
        "def finish():\n    pass\n",
        fake.__dict__,
    )
    warned: list[str] = []
    tracker = TrackioTracker()
    with pytest.warns(UserWarning, match="local fallback mode"):  # nothing is lost
        tracker.start(CONFIG)
    tracker.log(1, {"loss": 1.0})
    fake.__dict__["run"].full = True
    tracker.log(2, {"loss": 1.0})
    relay = Relay("trackio", tracker, warned.append)
    relay.call("log", 3, {"loss": 1.0})
    relay.call("finish", "finished")
    relay.close()
    assert relay.lost == 2
    assert warned[0] == (
        "trackio does not take what the run sends (RuntimeError: could not be persisted); training goes on"
    )
    with pytest.warns(UserWarning, match="local fallback mode"):
        tracker.start(CONFIG)  # begun again, it may work again
    tracker.log(5, {"loss": 1.0})


def test_a_full_disk_does_not_stop_training_where_trackers_are_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(record, "write_text", full)
    stream = io.StringIO()
    with contextlib.redirect_stderr(stream):
        tracker = Remembering()
        following = Following({"fake": tracker}, tmp_path, Display(False))
        following.start(CONFIG)
        following.finish("finished")
    assert [name for name, _ in tracker.calls] == ["start", "finish"]
    assert "No space left on device" in stream.getvalue()


def test_a_tracker_that_hangs_is_named_with_the_command_that_sends_the_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()

    class Hanging(Remembering):
        def finish(self, status: str) -> None:
            release.wait(20)

    monkeypatch.setattr(follow, "SECONDS", 0.1)
    stream = io.StringIO()
    with contextlib.redirect_stderr(stream):
        following = Following({"mlflow": Hanging()}, tmp_path / "run", Display())
        following.start(CONFIG)
        following.finish("finished")
    release.set()
    printed = " ".join(stream.getvalue().split())
    assert "mlflow has not answered" in printed
    assert "track replay" in printed
    assert "--to mlflow" in printed
