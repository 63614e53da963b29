"""A profiled run is the same run; its phases sum to the clock, and its trace is one that browsers draw."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from residua.cli.app import main
from residua.training.loop import train
from residua.training.profile import PHASES, Profiler
from residua.weights.open import load


def test_a_profiled_run_is_the_same(
    finished: Path, small: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train("digits", "cifar_resnet8", out=tmp_path / "a", profile=True, **small)
    assert run.weights_sha256 == load(finished).weights_sha256
    table = json.loads((tmp_path / "a" / "profile" / "profile.json").read_text())
    assert table["steps"] == 20
    assert table["images"] == 64
    assert set(table["phases"]) == set(PHASES)
    assert sum(table["phases"].values()) + table["rest"] == pytest.approx(table["seconds"])
    assert all(seconds >= 0 for seconds in table["phases"].values())
    assert 0 <= table["rest"] < 0.5 * table["seconds"]
    assert table["phases"]["backward"] > table["phases"]["update"]
    printed = capsys.readouterr().err
    assert "Profile: the mean of 20 steps of 64 images" in printed
    assert "100.0%" in printed

    trace = (tmp_path / "a" / "profile" / "trace.json").read_text()
    events = json.loads(trace)["traceEvents"]
    spans = [event["name"] for event in events if event.get("ph") == "X"]
    for phase in ("data", "forward", "backward", "update"):
        assert spans.count(phase) >= 3, "one per traced step"
    assert any("convolution" in name for name in spans)
    assert str(tmp_path) not in trace
    assert not list((tmp_path / "a" / "profile").glob("*.part"))


def test_the_clock_is_that_of_the_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Phases of known length, what stands between them, and a pause that counts nowhere."""
    now, busy = [0.0], [0.0]
    monkeypatch.setattr("residua.training.profile.time.perf_counter", lambda: now[0])
    monkeypatch.setattr("residua.training.profile.time.thread_time", lambda: busy[0])
    said: list[str] = []
    profiler = Profiler(tmp_path, torch.device("cpu"), 8, said.append)
    for step in range(23):
        with profiler.watch("data"):
            now[0] += 5
            busy[0] += 2
        for phase, seconds in (("forward", 10), ("backward", 20), ("update", 4)):
            with profiler.watch(phase):
                now[0] += seconds
        now[0] += 1
        profiler.step()
        if step % 5 == 4:
            profiler.pause()
            now[0] += 1000
    profiler.finish()
    assert profiler.profile is not None
    assert profiler.profile.phases == {"data": 2, "waiting": 3, "forward": 10, "backward": 20, "update": 4}
    assert (profiler.profile.seconds, profiler.profile.rest) == (40, 1)
    assert said == profiler.profile.lines


def test_a_short_run_gives_what_there_is(small: dict[str, Any], tmp_path: Path) -> None:
    short = {**small, "train_images": 64, "batch_size": 16, "min_steps": 0, "epochs": 2}
    train("digits", "cifar_resnet8", out=tmp_path / "a", profile=True, progress=False, **short)
    table = json.loads((tmp_path / "a" / "profile" / "profile.json").read_text())
    assert table["steps"] == 5, "of eight, three warm up"


def test_the_command_refuses_it_where_no_run_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "digits", "--model", "cifar_resnet8", "--out", str(tmp_path / "a"), "--profile"]
    assert main([*words, "--dry-run"]) == 2
    assert main([*words, "--folds", "3"]) == 2
    assert "--profile" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
