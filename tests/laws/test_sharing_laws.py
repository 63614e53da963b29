"""Units that share weights: the unshared network with those weights copied into each of them, at fewer parameters."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from peers.randomised import randomised
from residua._base.errors import InputError
from residua.anatomy.inspect import inspect
from residua.families.build import build
from residua.families.resnet import Network
from residua.runtime.native import accelerate, reason
from residua.specs.catalog import get_spec
from residua.studies.measures.surgery import without
from residua.studies.questions.responses import responses_of
from residua.weights.open import load
from weights.bundles import save_tiny

# Every way that a unit can be made of layers.
EDITS: list[dict[str, Any]] = [
    {},
    {"activation": "full_pre", "unit": "bottleneck", "expansion": 4, "shortcut": "projection", "se_ratio": 16},
    {"gate": "exclusive", "activation": "bn_after_add", "shortcut": "pad"},
    {"shortcut": "none"},
    {"activation": "full_pre", "shortcut": "projection_all"},
]


def pair(sharing: str, dtype: torch.dtype = torch.float64, **edits: Any) -> tuple[Network, Network]:
    """A network that shares, and one that does not, with the same weights at every place."""
    spec = get_spec("cifar_resnet26", sharing=sharing, **edits)
    torch.manual_seed(0)
    shared = randomised(build(spec)).to(dtype)
    apart: Any = build(spec.edit(sharing="none")).to(dtype).eval()
    state = shared.state_dict()
    apart.load_state_dict({name: state[name if name in state else first(name)] for name in apart.state_dict()})
    return shared, apart  # type: ignore[return-value]


def first(name: str) -> str:
    """The name of the same weights in the unit that lends them."""
    stage, _, rest = name.split(".", 2)
    return f"{stage}.1.{rest}"


def images(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1), dtype=dtype)


@pytest.mark.parametrize("edits", EDITS, ids=lambda edits: "-".join(map(str, edits.values())))
@pytest.mark.parametrize("sharing", ["kernels", "units"])
def test_it_is_the_unshared_network_with_equal_weights(sharing: str, edits: dict[str, Any]) -> None:
    shared, apart = pair(sharing, **edits)
    assert torch.equal(shared(images()), apart(images()))
    for network in (shared, apart):
        network(images()).logsumexp(1).sum().backward()
    gradients = {name: torch.zeros_like(p) for name, p in shared.named_parameters()}
    for name, parameter in apart.named_parameters():
        gradients[name if name in gradients else first(name)] += parameter.grad
    for name, parameter in shared.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("sharing", ["kernels", "units"])
def test_it_has_the_weights_of_two_units_a_stage(sharing: str) -> None:
    shared, small = inspect(get_spec("cifar_resnet26", sharing=sharing)), inspect("cifar_resnet14")
    steps = 2 * 2 * 2 * (16 + 32 + 64) if sharing == "kernels" else 0  # two norms of two vectors in two further units
    assert shared.params == small.params + steps
    assert shared.macs == inspect("cifar_resnet26").macs


def test_it_is_copied_pickled_exported_compiled_and_saved_as_one_network(tmp_path: Path) -> None:
    shared, _ = pair("units", torch.float32)
    x = images(torch.float32)
    wanted = shared(x)
    for twin in (copy.deepcopy(shared), pickle.loads(pickle.dumps(shared))):
        assert torch.equal(twin(x), wanted)
        with torch.no_grad():
            twin.layer1[1].conv1.weight.mul_(0)
        assert not torch.equal(twin(x), wanted)
        assert torch.equal(shared(x), wanted)
    torch.testing.assert_close(torch.export.export(shared, (x,)).module()(x), wanted)
    torch.testing.assert_close(torch.compile(shared, fullgraph=True, backend="aot_eager")(x), wanted)
    assert torch.equal(shared.double().float()(x), wanted)


def test_a_bundle_of_it_loads(tmp_path: Path) -> None:
    shared, _ = pair("kernels", torch.float32, num_classes=3)
    save_tiny(tmp_path, shared)
    assert torch.equal(load(tmp_path).model.eval()(images(torch.float32)), shared(images(torch.float32)))


@pytest.mark.parametrize("sharing", ["kernels", "units"])
@pytest.mark.parametrize("left_out", ["layer2.1", "layer2.2"])
def test_one_step_can_be_left_out_alone(sharing: str, left_out: str) -> None:
    """The unit that lends its layers, too, is one place."""
    shared, apart = pair(sharing, activation="full_pre")
    with without(shared, [left_out]), without(apart, [left_out]):
        assert torch.equal(shared(images()), apart(images()))
    assert responses_of(shared, [images()]) == responses_of(apart, [images()])


@pytest.mark.skipif(bool(reason()), reason=f"no fused kernels: {reason()}")
def test_the_fused_kernels_train_it_alike() -> None:
    shared, _ = pair("units", torch.float32)
    fused = copy.deepcopy(shared)
    assert accelerate(fused) == 13
    for network in (shared, fused):
        nn.functional.cross_entropy(network.train()(images(torch.float32)), torch.arange(4)).backward()
    for ours, theirs in zip(fused.parameters(), shared.parameters(), strict=True):
        assert (ours.grad - theirs.grad).norm() <= 1e-3 * theirs.grad.norm() + 1e-6
    for (name, ours), theirs in zip(fused.named_buffers(), shared.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4, msg=name)


def test_strides_that_differ_are_refused() -> None:
    with pytest.raises(InputError, match="stride_site='last_3x3'"):
        get_spec("resnet50_v2_slim", sharing="units")
