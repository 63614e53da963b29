"""The floor of a training step that benchmarks state: bytes and operations counted, the rate of copies."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest
import torch

import residua

ROOT = Path(__file__).parents[2]


@pytest.fixture
def floor(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, which lies beside the package."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("floor")


def test_bytes_are_those_read_and_written(floor: ModuleType) -> None:
    first, second = torch.zeros(4), torch.zeros(4)
    with floor.Bytes() as counted:
        first + second
    assert counted.moved == 3 * 16
    with floor.Bytes() as counted:
        first.view(2, 2)
    assert counted.moved == 0


def test_a_step_moves_bytes_in_proportion_to_its_images(floor: ModuleType) -> None:
    one, two, three = (floor.step_work("resnet50", count, 64).bytes for count in (2, 4, 6))
    assert three - two == two - one > 0
    assert one > 25_557_032 * 2  # the weights at least, two bytes each


def test_a_copy_has_a_rate(floor: ModuleType) -> None:
    assert floor.copy_rate(torch.device("cpu"), 1 << 16) > 0


def test_the_operations_of_a_step_are_three_passes_of_the_counted_ones(floor: ModuleType) -> None:
    batch = 3
    macs = residua.inspect("cifar_resnet20").macs
    # The images have no gradient: the first convolution is passed through twice.
    first = 32 * 32 * 16 * 27
    assert floor.step_work("cifar_resnet20", batch, 32).operations == 2 * batch * (3 * macs - first)
