"""The engine chosen by measuring: only what agrees, kept, and measured again when what was kept is damaged."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from residua.families.build import build
from residua.runtime.engines import auto
from residua.runtime.engines.auto import open_fastest
from residua.runtime.engines.engine import Engine
from residua.specs.catalog import get_spec

SHAPE = (2, 3, 32, 32)


def choose_engine(model: torch.nn.Module, shape: tuple[int, int, int, int], **options: Any) -> tuple[str, str]:
    engine, line = open_fastest(model, shape, **options)
    return engine.name, line


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> torch.nn.Module:
    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path))
    monkeypatch.setattr(auto, "CANDIDATES", ("openvino",))
    torch.manual_seed(0)
    return build(get_spec("cifar_resnet8"))


@pytest.fixture
def measurements(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes that are measured, in order."""
    measured: list[tuple[int, ...]] = []
    real: Callable[..., tuple[Engine, auto.Choice]] = auto._measure

    def counted(model: torch.nn.Module, shape: tuple[int, int, int, int], precision: str) -> tuple[Engine, auto.Choice]:
        measured.append(shape)
        return real(model, shape, precision)

    monkeypatch.setattr(auto, "_measure", counted)
    return measured


def test_the_fastest_is_measured_once_and_kept(
    network: torch.nn.Module, measurements: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auto, "_least", lambda engine, images: {"eager": 3.0, "openvino": 1.5}[engine.name])
    line = "Engine openvino: times eager's speed at batch 2, measured {}: openvino 2.00, eager 1.00"
    assert choose_engine(network, SHAPE, device="cpu") == ("openvino", line.format("now"))
    assert choose_engine(network, SHAPE, device="cpu") == ("openvino", line.format("earlier"))
    assert measurements == [SHAPE]
    choose_engine(network, (64, 3, 32, 32), device="cpu")
    choose_engine(build(get_spec("cifar_resnet8").edit(num_classes=3)), SHAPE, device="cpu")
    assert measurements == [SHAPE, (32, 3, 32, 32), SHAPE]


def test_times_are_measured(network: torch.nn.Module) -> None:
    engine, choice = auto._measure(network, SHAPE, "fp32")
    assert engine.name == choice["engine"]
    assert choice["left_out"] == {}
    assert set(choice["seconds"]) == {"eager", "openvino"}
    assert all(0 < seconds < 60 for seconds in choice["seconds"].values())
    assert choice["seconds"][choice["engine"]] == min(choice["seconds"].values())


@pytest.mark.parametrize(
    "content",
    ["", "{", '{"engine": "openvino"}', '{"engine": "x", "seconds": {"eager": 1}, "left_out": {}, "batch": 2}'],
)
def test_a_damaged_choice_is_measured_again(
    content: str,
    network: torch.nn.Module,
    measurements: list[tuple[int, ...]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(auto, "CANDIDATES", ())
    assert choose_engine(network, SHAPE, device="cpu")[0] == "eager"
    (file,) = (tmp_path / "engines").glob("*.json")
    file.write_text(content, encoding="utf-8")
    with pytest.warns(UserWarning, match=r"\.json"):
        assert choose_engine(network, SHAPE, device="cpu")[0] == "eager"
    assert measurements == [SHAPE, SHAPE]
    choose_engine(network, SHAPE, device="cpu")
    assert measurements == [SHAPE, SHAPE]


def test_an_engine_that_disagrees_or_is_missing_is_left_out_with_the_reason(
    network: torch.nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auto, "LARGEST_ERROR", {"fp32": 0.0})
    name, line = choose_engine(network, SHAPE, device="cpu")
    assert name == "eager"
    assert "openvino left out (its logits differ from eager's by" in line
    monkeypatch.setitem(sys.modules, "openvino", None)
    name, line = choose_engine(network, (3, 3, 32, 32), device="cpu")
    assert name == "eager"
    assert "openvino left out (openvino, which cannot be imported" in line


def test_a_runtime_that_cannot_open_the_network_is_left_out(
    network: torch.nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = auto.open_engine

    def opening(model: torch.nn.Module, name: str, **fields: Any) -> Any:
        if name == "openvino":
            raise RuntimeError("no such operation\nmore")
        return real(model, name, **fields)

    monkeypatch.setattr(auto, "open_engine", opening)
    engine, line = choose_engine(network, SHAPE, device="cpu")
    assert engine == "eager"
    assert line.endswith("eager 1.00, openvino left out (it cannot be opened: no such operation)")


def test_what_was_measured_is_not_opened_twice(network: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    real, names = auto.open_engine, []

    def opening(model: torch.nn.Module, name: str, **fields: Any) -> Any:
        names.append(name)
        return real(model, name, **fields)

    monkeypatch.setattr(auto, "open_engine", opening)
    engine, _ = open_fastest(network, SHAPE, device="cpu")
    assert names == ["eager", "eager", "openvino"], "eager is the yardstick too"
    again, _ = open_fastest(network, SHAPE, device="cpu")
    assert names[3:] == [engine.name] == [again.name]
