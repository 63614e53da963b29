"""Precision and device: chosen by what the processor reports."""

from __future__ import annotations

import pytest
import torch

from residua._base.errors import InputError
from residua.families.build import build
from residua.families.layout import Layout
from residua.runtime import device as hardware
from residua.runtime.device import choose_hardware, inference_format, on_device, pick_device
from residua.runtime.processor import Processor, processor
from residua.specs.catalog import get_spec


@pytest.mark.parametrize(
    ("flags", "vendor", "bf16"),
    [
        ({"avx512f", "avx512_bf16", "amx_bf16"}, "GenuineIntel", True),
        ({"avx512f", "avx512_bf16"}, "GenuineIntel", False),
        ({"avx512f", "avx512_bf16"}, "AuthenticAMD", True),
        ({"avx2"}, "AuthenticAMD", False),
        (set(), "", False),
    ],
)
def test_bf16_where_it_is_faster(flags: set[str], vendor: str, bf16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "processor", lambda: Processor("a processor", vendor, frozenset(flags)))
    assert choose_hardware(device="cpu").bf16 is bf16
    assert choose_hardware(device="cpu", precision="bf16").bf16
    assert not choose_hardware(device="cpu", precision="fp32").bf16


def test_the_choice_is_one_line() -> None:
    sentence = choose_hardware(device="cpu", precision="fp32", channels_last="no").sentence
    assert "\n" not in sentence
    assert sentence.startswith(f"CPU, {torch.get_num_threads()} thread")
    assert "fp32 (set by the recipe)" in sentence
    assert "channels first" in sentence


def test_a_device_that_is_not_there_is_refused() -> None:
    for pick in (choose_hardware, pick_device):
        with pytest.raises(InputError, match=r"device='cuda:99'.*device='cpu'"):
            pick(device="cuda:99")
    for unknown in ("tpu", "meta", ""):
        with pytest.raises(InputError, match="'auto', 'cpu', 'cuda' or 'cuda:N'"):
            pick_device(unknown)


def test_one_picker_of_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    first = torch.device("cuda", 0)
    assert [pick_device(name) for name in (None, "auto", "cuda", "cuda:0")] == [first] * 4
    assert pick_device("cuda:1") == torch.device("cuda", 1)
    assert pick_device("cpu:0") == torch.device("cpu")


def test_the_processor_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = processor()
    assert found.name
    assert processor() is found
    listing = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Xeon\nflags\t\t: fpu avx2\n\nprocessor\t: 1\n"
    monkeypatch.setattr("pathlib.Path.read_text", lambda *_, **__: listing)
    assert processor.__wrapped__() == Processor("Xeon", "GenuineIntel", frozenset({"fpu", "avx2"}))
    monkeypatch.setattr("pathlib.Path.read_text", lambda *_, **__: "")
    assert processor.__wrapped__().flags == frozenset()
    assert processor.__wrapped__().name


@pytest.mark.parametrize(
    ("name", "training", "inference"),
    [
        ("resnet50", torch.channels_last, torch.channels_last),
        ("vgg11", None, torch.channels_last),
        ("wide_resnet50_2", None, None),
    ],
)
def test_a_layout_is_chosen_when_a_network_comes_to_a_device(
    name: str, training: torch.memory_format | None, inference: torch.memory_format | None
) -> None:
    network = build(get_spec(name).edit(num_classes=2))
    assert network.layout == Layout(training, inference)
    assert all(weight.is_contiguous() for weight in network.state_dict().values())
    network.layout = Layout()
    network.half().eval().float()
    assert network.layout == Layout(), "what was assigned stays while the network stays where it is"
    assert network.to("meta").layout == Layout()
    wanted = inference or torch.contiguous_format
    assert inference_format(network, torch.device("cpu")) is wanted


def test_a_copy_for_inference_leaves_the_network_alone() -> None:
    network = build(get_spec("cifar_resnet8")).train()
    placed = on_device(network, torch.device("cpu"))
    assert not placed.training
    assert network.training
    assert placed.layout == Layout(torch.channels_last, torch.channels_last)


def test_an_export_without_a_layout_has_no_layout_in_its_graph() -> None:
    network, image = build(get_spec("cifar_resnet8")).eval(), torch.randn(2, 3, 32, 32)
    network.layout = Layout()
    graph = torch.export.export(network, (image,)).graph
    assert not [node for node in graph.nodes if "contiguous" in str(node.target) or "clone" in str(node.target)]


@torch.no_grad()
def test_the_image_is_laid_out_by_the_layout() -> None:
    network, seen = build(get_spec("cifar_resnet8")), []
    network.conv1.register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0].is_contiguous(memory_format=torch.channels_last))
    )
    for layout in (Layout(), Layout(torch.channels_last, None), Layout(None, torch.channels_last)):
        network.layout = layout
        for mode in (True, False):
            network.train(mode)(torch.randn(2, 3, 32, 32))
    assert seen == [False, False, True, False, False, True]


def test_each_process_of_a_run_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name, value in {
        "RANK": "5",
        "WORLD_SIZE": "6",
        "LOCAL_RANK": "1",
        "MASTER_ADDR": "a",
        "MASTER_PORT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    assert pick_device("auto") == pick_device("cuda") == torch.device("cuda", 1)
    assert pick_device("cuda:0") == torch.device("cuda", 0)
    assert pick_device("cpu") == torch.device("cpu")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(InputError, match="local rank 2"):
        pick_device("auto")
