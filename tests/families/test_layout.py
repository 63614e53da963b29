"""The memory layout is chosen by one rule, from the device and from what a network states of itself."""

from __future__ import annotations

import pickle

import pytest
import torch

from residua.families.build import build
from residua.families.layout import Layout, fastest_layout, layout_on_arrival
from residua.runtime.device import choose_hardware, inference_format
from residua.specs.catalog import get_spec

LAST, FIRST = torch.channels_last, torch.contiguous_format
CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.mark.parametrize("trains", [False, True])
@pytest.mark.parametrize("infers", [False, True])
def test_on_a_cpu_it_is_what_the_network_states(trains: bool, infers: bool) -> None:
    facts = {"trains_channels_last": trains, "infers_channels_last": infers}
    assert fastest_layout(CPU, **facts) == Layout(LAST if trains else FIRST, LAST if infers else FIRST)
    # Planes are how images come: a network with contiguous weights converts nothing to them.
    assert layout_on_arrival(CPU, **facts) == Layout(LAST if trains else None, LAST if infers else None)


@pytest.mark.parametrize(("capability", "wanted"), [((6, 1), FIRST), ((7, 0), LAST), ((9, 0), LAST)])
def test_on_a_gpu_it_is_what_the_gpu_states(
    capability: tuple[int, int], wanted: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert fastest_layout(GPU, trains_channels_last=False, infers_channels_last=False) == Layout(wanted, wanted)
    assert layout_on_arrival(GPU) == Layout()
    network = build(get_spec("wide_resnet50_2", num_classes=2, input_size=64))
    assert not network.infers_channels_last
    assert inference_format(network, GPU) == wanted


def test_training_asks_the_same_rule() -> None:
    for trains in (False, True):
        hardware = choose_hardware("cpu", trains_channels_last=trains)
        assert hardware.memory_format == fastest_layout(CPU, trains_channels_last=trains).training


def test_a_layout_survives_a_pickle() -> None:
    for layout in (Layout(), Layout(LAST, None), Layout(FIRST, LAST)):
        assert pickle.loads(pickle.dumps(layout)) == layout
