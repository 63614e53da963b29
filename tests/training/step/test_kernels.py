"""Which kernels train, and what is said about it."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from residua._base.errors import InputError
from residua.families.build import build
from residua.runtime import device as hardware
from residua.runtime.device import Hardware, choose_hardware
from residua.specs.catalog import get_spec
from residua.training.folder.arithmetic import Arithmetic
from residua.training.recipe import Recipe
from residua.training.step import kernels
from residua.training.step.kernels import choose_kernels

BF16 = Hardware(torch.device("cpu"), True, True, 1, "the processor has AVX-512 BF16")
UNITS = 3  # of cifar_resnet8; its stem is served besides


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Let `accelerate` serve as many parts as stand under "now"."""
    found = {"now": UNITS + 1, "released": 0}
    monkeypatch.setattr(kernels, "accelerate", lambda model: found["now"])
    monkeypatch.setattr(kernels, "release", lambda model: found.update(released=found["now"]) or found["now"])
    monkeypatch.setattr(kernels, "reason", lambda: "no C++ compiler was found")
    return found


def choose(recipe: Recipe, given: Hardware) -> tuple[str, str, bool]:
    choice, now = choose_kernels(build(get_spec("cifar_resnet8")), recipe, given)
    assert choice.reason
    return choice.name, choice.reason, now.bf16


def test_a_network_served_in_full_trains_natively_rather_than_in_bf16(served: dict[str, int]) -> None:
    assert choose(Recipe(), BF16)[::2] == ("native", False)
    assert served["released"] == 0
    _, now = choose_kernels(build(get_spec("cifar_resnet8")), Recipe(), BF16)
    assert "fp32 (for the native kernels" in now.sentence


def test_a_network_served_in_part_stays_in_bf16(served: dict[str, int]) -> None:
    served["now"] = UNITS
    name, why, bf16 = choose(Recipe(), BF16)
    assert (name, bf16, served["released"]) == ("eager", True, UNITS)
    assert "bf16" in why
    assert choose(Recipe(kernels="native"), BF16)[::2] == ("native", False)
    assert choose(Recipe(), dataclasses.replace(BF16, bf16=False))[::2] == ("native", False)


def test_precision_that_was_asked_for_is_kept(served: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose(Recipe(precision="bf16"), BF16) == ("eager", "not the native ones: bf16 was asked for", True)
    monkeypatch.setattr(kernels, "multiplies_bf16", lambda: True)
    assert choose(Recipe(precision="bf16", kernels="native"), BF16)[::2] == ("native", True)
    monkeypatch.setattr(kernels, "multiplies_bf16", lambda: False)
    with pytest.raises(InputError, match="no instruction for"):
        choose(Recipe(precision="bf16", kernels="native"), BF16)


def test_the_native_kernels_are_refused_with_the_cause(served: dict[str, int]) -> None:
    served["now"] = 0
    with pytest.raises(InputError, match=r"no C\+\+ compiler was found"):
        choose(Recipe(kernels="native"), BF16)
    with pytest.raises(InputError, match="channels last"):
        choose(Recipe(kernels="native"), dataclasses.replace(BF16, channels_last=False))
    assert "no C++ compiler" in choose(Recipe(), BF16)[1]


def test_divided_parameters_are_left_to_torchs_own(served: dict[str, int]) -> None:
    network = build(get_spec("cifar_resnet8"))
    for measured in (None, Arithmetic("native", False, True, {}), Arithmetic("compiled", True, True, {})):
        choice, now = choose_kernels(network, Recipe(), BF16, measured, sharded=True)
        assert choice.name == "eager"
        assert "divided between the processes" in choice.reason
        assert now.bf16 == (measured is None or measured.bf16)
    with pytest.raises(InputError, match="divided between the processes"):
        choose_kernels(network, Recipe(kernels="native"), BF16, sharded=True)


def test_channels_last_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_hardware(device="cpu").channels_last
    assert not choose_hardware(device="cpu", channels_last="no").channels_last
    monkeypatch.setattr(hardware, "pick_device", lambda name: torch.device("cuda", 0))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    for capability, expected in (((6, 1), False), ((7, 0), True), ((9, 0), True)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, found=capability: found)
        assert choose_hardware().channels_last is expected
        assert choose_hardware(channels_last="yes").channels_last
