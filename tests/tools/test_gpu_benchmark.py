"""What the benchmark of a GPU counts, on a CPU: bytes of operations, the copy rate, parts that cannot be measured."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest
import torch

ROOT = Path(__file__).parents[2]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, which lies beside the package."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("gpu")


def test_bytes_are_those_read_and_written(gpu: ModuleType) -> None:
    first, second = torch.zeros(4), torch.zeros(4)
    with gpu.Bytes() as counted:
        first + second
    assert counted.moved == 3 * 16
    with gpu.Bytes() as counted:
        first.view(2, 2)
    assert counted.moved == 0


def test_a_step_moves_bytes_in_proportion_to_its_images(gpu: ModuleType) -> None:
    one, two, three = (gpu.step_bytes(count, 64) for count in (2, 4, 6))
    assert three - two == two - one > 0
    assert one > 25_557_032 * 2  # the weights at least, two bytes each


def test_a_copy_has_a_rate(gpu: ModuleType) -> None:
    assert gpu.copy_rate(torch.device("cpu"), 1 << 16) > 0
