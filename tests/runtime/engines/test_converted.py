"""Engines that convert a network: eager's logits, at every batch, from whichever layout and mode."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from laws.representatives import network_for
from residua._base.errors import InputError
from residua.families.build import build
from residua.families.sizes import nearest_size
from residua.runtime import native
from residua.runtime.engines.engine import open_engine
from residua.runtime.engines.int8 import Int8Form, keep_int8
from residua.runtime.engines.names import ENGINES, check_engine
from residua.runtime.graphs.onnx import to_onnx
from residua.runtime.graphs.program import example_images, export_program
from residua.runtime.processor import processor
from residua.specs.catalog import get_spec

CONVERTED = ("onnxruntime", "openvino")
FAMILIES = ("alexnet", "resnet18_v2", "cifar_densenet_bc100_12", "cifar_highway19")


@pytest.mark.parametrize("name", CONVERTED)
@pytest.mark.parametrize("model", FAMILIES)
def test_logits_are_those_of_eager_at_every_batch(name: str, model: str) -> None:
    network = network_for(model).float()
    side = nearest_size(network.spec, 32)
    eager = open_engine(network, "eager", device="cpu")
    engine = open_engine(network, name, device="cpu", shape=(2, 3, side, side))
    for count in (1, 2, 7, 32):
        images = torch.randn(count, 3, side, side)
        want, logits = eager(images), engine(images)
        assert logits.dtype == torch.float32
        assert logits.shape == want.shape
        assert (logits - want).abs().max() <= 1e-4 * want.abs().max()


@pytest.mark.parametrize("name", CONVERTED)
def test_a_new_size_opens_a_new_graph_in_inference_mode_too(name: str) -> None:
    torch.manual_seed(0)
    network = build(get_spec("cifar_resnet8"))
    engine = open_engine(network, name, device="cpu")
    opened = engine.opening_seconds
    with torch.inference_mode():
        for side in (32, 40):
            images = torch.randn(3, 3, side, side).contiguous(memory_format=torch.channels_last)
            want = network.eval()(images)
            torch.testing.assert_close(engine(images), want, rtol=1e-4, atol=1e-5)
            assert engine.opening_seconds > opened
            opened = engine.opening_seconds
            engine(images)
            assert engine.opening_seconds == opened
    network.fc.weight.data.zero_()
    assert engine(images).std() > 0, "the network was opened as a copy"


def test_openvino_computes_in_the_precision_that_was_asked_for() -> None:
    torch.manual_seed(0)
    network = build(get_spec("cifar_resnet20"))
    images = torch.randn(4, 3, 32, 32)
    want = open_engine(network, device="cpu")(images)
    error = (open_engine(network, "openvino", device="cpu")(images) - want).abs().max() / want.abs().max()
    assert error < 1e-5
    if not {"avx512_bf16", "amx_bf16"} & processor().flags:
        with pytest.raises(InputError, match="no instructions for"):
            open_engine(network, "openvino", precision="bf16", device="cpu")
        return
    engine = open_engine(network, "openvino", precision="bf16", device="cpu")
    assert engine.precision == "bf16"
    error = (engine(images) - want).abs().max() / want.abs().max()
    assert 1e-4 < error < 0.1


def test_onnx_runtime_refuses_bf16() -> None:
    with pytest.raises(InputError, match=r"engine='onnxruntime' in bf16.*no bf16.*openvino"):
        check_engine("onnxruntime", "bf16")


@pytest.mark.parametrize(("name", "extra"), [("onnxruntime", "onnx"), ("openvino", "openvino")])
def test_a_missing_extra_names_its_command(name: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=rf"pip install 'residua\[{extra}\]'"):
        open_engine(build(get_spec("cifar_resnet8")), name, device="cpu")


def test_converted_engines_compute_on_cpus() -> None:
    from residua.runtime.engines.converted import require_cpu

    with pytest.raises(InputError, match=r"engine='openvino' on cuda:0.*device='cpu'"):
        require_cpu("openvino", torch.device("cuda", 0))
    assert set(CONVERTED) < set(ENGINES)


def test_openvino_computes_the_parts_of_a_batch_side_by_side() -> None:
    torch.manual_seed(0)
    network = build(get_spec("cifar_resnet8"))
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        engine = open_engine(network, "openvino", device="cpu", shape=(2, 3, 32, 32))
        eager = open_engine(network, device="cpu")
        kept = []
        for count in (1, 2, 3, 5, 7):
            images = torch.randn(count, 3, 32, 32)
            kept.append((engine(images), eager(images)))
        # What a later batch computes is not written over earlier logits.
        for logits, want in kept:
            torch.testing.assert_close(logits, want, rtol=1e-4, atol=1e-5)
    finally:
        torch.set_num_threads(before)


def test_int8_is_what_an_export_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path))
    torch.manual_seed(0)
    network = build(get_spec("cifar_resnet8"))
    with pytest.raises(InputError, match=r"engine='eager' in int8.*'onnxruntime' or 'openvino'"):
        check_engine("eager", "int8")
    with pytest.raises(InputError, match=r"images of 3x32x32.*format='openvino' and precision='int8'"):
        open_engine(network, "openvino", precision="int8", device="cpu", shape=(2, 3, 32, 32))
    graph = to_onnx(export_program(network.eval(), example_images((3, 32, 32)))).SerializeToString()
    form = Int8Form(files={"model.onnx": graph}, sentence="too few images", decided="undecided")
    keep_int8(network, "onnxruntime", (3, 32, 32), form)
    images = torch.randn(3, 3, 32, 32)
    with pytest.warns(UserWarning, match="has not passed its gate: too few images"):
        engine = open_engine(network, "onnxruntime", precision="int8", device="cpu", shape=(2, 3, 32, 32))
    with torch.no_grad():
        torch.testing.assert_close(engine(images), network(images), rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="images of 3x40x40"):
        engine(torch.randn(1, 3, 40, 40))
    bias = network.fc.bias.detach().clone()
    network.fc.bias.data += 1
    with pytest.raises(InputError, match="of which this machine has no form"):
        open_engine(network, "onnxruntime", precision="int8", device="cpu", shape=(2, 3, 32, 32))
    network.fc.bias.data = bias
    (file,) = (tmp_path / "int8").glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-9] + bytes(9))
    with pytest.warns(UserWarning, match="SHA-256"), pytest.raises(InputError, match="no form"):
        open_engine(network, "onnxruntime", precision="int8", device="cpu", shape=(2, 3, 32, 32))


@pytest.mark.skipif(bool(native.reason()), reason=native.reason() or "kernels are there")
@pytest.mark.parametrize("model", ["cifar_resnet8", "resnet18", "cifar_plain20", "resnet50"])
def test_native_gives_eagers_logits(model: str) -> None:
    torch.manual_seed(0)
    network = build(get_spec(model, num_classes=7))
    side = nearest_size(network.spec, 32)
    with torch.no_grad():
        # As after training: statistics and factors that no layer can leave out.
        for norm in network.modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.running_mean.normal_(0, 0.1)
                norm.running_var.uniform_(0.5, 2)
                norm.weight.uniform_(0.5, 1.5)
                norm.bias.normal_(0, 0.2)
    eager = open_engine(network, device="cpu")
    engine = open_engine(network, "native", device="cpu")
    for count, size in ((1, side), (2, side), (9, side), (3, side + 7)):
        images = torch.randn(count, 3, size, size)
        want = eager(images)
        torch.testing.assert_close(engine(images), want, rtol=1e-4, atol=1e-5 * float(want.abs().max()))
    assert type(network).__name__ == "Network", "the caller's network stays"
    assert network.training


def test_native_refuses_what_it_does_not_serve() -> None:
    with pytest.raises(InputError, match=r"engine='native' in bf16.*openvino"):
        check_engine("native", "bf16")
    with pytest.raises(InputError, match="serve no part"):
        open_engine(build(get_spec("alexnet")), "native", device="cpu")
