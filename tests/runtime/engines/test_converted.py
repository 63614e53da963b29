"""Engines that convert a network: eager's logits, at every batch, from whichever layout and mode."""

from __future__ import annotations

import sys

import pytest
import torch

from laws.representatives import network_for
from residua._base.errors import InputError
from residua.families.build import build
from residua.families.sizes import nearest_size
from residua.runtime.engines.engine import open_engine
from residua.runtime.engines.names import ENGINES, check_engine
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
