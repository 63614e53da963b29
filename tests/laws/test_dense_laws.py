"""Laws of dense connectivity, and of recomputing it in the backward pass."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from peers.randomised import randomised
from residua.families.build import build
from residua.specs.catalog import get_spec


def _image(size: int = 16, batch: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, 3, size, size, generator=generator, dtype=torch.float64)


@torch.no_grad()
def test_a_block_keeps_its_input_and_what_its_layers_add() -> None:
    """Each layer reads all that stands before it, and nothing it reads is changed on the way to the block's end."""
    torch.manual_seed(0)
    network = randomised(build(get_spec("cifar_densenet_bc22_12")))
    points = network.forward_intermediates(_image())
    block, (entering, leaving) = points["denseblock1"], network.spec.block_channels[0]
    assert block.shape[1] == leaving
    assert torch.equal(block[:, :entering], points["stem"])
    for index, layer in enumerate(network.features.denseblock1):
        channels = entering + 12 * index
        added = block[:, channels : channels + 12]
        assert torch.allclose(added, layer(block[:, :channels]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("bottleneck", [0, 4])
def test_recomputing_changes_no_bit(bottleneck: int, dropout: float) -> None:
    """Logits, gradients and running statistics of two steps are equal: nothing is normalised or counted twice."""
    spec = get_spec("cifar_densenet_bc22_12", bottleneck=bottleneck, dropout=dropout)
    ordinary, saving = build(spec).double(), build(spec.edit(recompute=True)).double()
    saving.load_state_dict(ordinary.state_dict(), strict=True)
    for step in range(2):
        torch.manual_seed(step)
        want = ordinary(_image())
        torch.manual_seed(step)
        got = saving(_image())
        assert torch.equal(got, want)
        for logits in (want, got):
            logits.square().mean().backward()
        for ours, theirs in zip(saving.parameters(), ordinary.parameters(), strict=True):
            assert torch.allclose(ours.grad, theirs.grad, rtol=1e-12, atol=1e-14)
        for name, buffer in ordinary.named_buffers():
            assert torch.equal(saving.get_buffer(name), buffer), name
    assert saving.features.denseblock1.denselayer1.norm1.num_batches_tracked == 2


class _Made(TorchDispatchMode):
    """Remembers the storages that operations make, without keeping them."""

    def __init__(self) -> None:
        super().__init__()
        self.storages: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                self.storages[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        return out

    def alive(self) -> int:
        """Bytes that something still holds."""
        return sum(size for reference, size in self.storages.values() if not reference.expired())


def _kept(name: str, **edits: object) -> int:
    """Bytes that one forward pass in training leaves for the backward pass."""
    network = build(get_spec(name, **edits))
    image = _image(batch=1).float()
    with _Made() as made:
        logits = network(image)
    kept = made.alive()
    assert logits.grad_fn is not None
    return kept


def test_recomputing_keeps_less() -> None:
    """Ordinarily what is kept grows with the square of the depth; recomputed, with the depth."""
    fields = {"depths": (16,), "stem_width": 12, "bottleneck": 0}
    twice = fields | {"depths": (32,)}
    ordinary = [_kept("cifar_densenet40_12", **f) for f in (fields, twice)]
    saving = [_kept("cifar_densenet40_12", recompute=True, **f) for f in (fields, twice)]
    assert saving[0] < ordinary[0] / 3
    assert saving[1] < ordinary[1] / 6
    assert saving[1] / saving[0] < 2.2 < 3.4 < ordinary[1] / ordinary[0]
    assert _kept("cifar_densenet_bc100_12", recompute=True) < _kept("cifar_densenet_bc100_12") / 2


def test_nothing_is_recomputed_where_nothing_is_kept() -> None:
    network = build(get_spec("cifar_densenet_bc10_12", recompute=True))
    ordinary = build(get_spec("cifar_densenet_bc10_12"))
    ordinary.load_state_dict(network.state_dict())
    with torch.no_grad():
        assert torch.equal(network.train()(_image().float()), ordinary.train()(_image().float()))
    want = network.eval()(_image().float())
    names = {type(node).__name__ for node in _graph(want.grad_fn)}
    assert not any("Checkpoint" in name for name in names)


def _graph(node: torch.autograd.graph.Node | None, seen: set | None = None) -> set:
    seen = set() if seen is None else seen
    if node is not None and node not in seen:
        seen.add(node)
        for following, _ in node.next_functions:
            _graph(following, seen)
    return seen


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_recomputing_compiles_in_one_graph(backend: str) -> None:
    torch.compiler.reset()
    torch.manual_seed(0)
    spec = get_spec("cifar_densenet_bc10_12", recompute=True)
    plain, compiled = build(spec).double(), build(spec).double()
    compiled.load_state_dict(plain.state_dict(), strict=True)
    want, got = plain(_image()), torch.compile(compiled, fullgraph=True, backend=backend)(_image())
    assert torch.allclose(got, want, rtol=1e-12)
    for logits in (want, got):
        logits.square().mean().backward()
    for ours, theirs in zip(compiled.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, rtol=1e-9, atol=1e-12)
    for name, buffer in plain.named_buffers():
        assert torch.allclose(compiled.get_buffer(name), buffer, rtol=1e-12), name


@pytest.mark.parametrize("name", ["cifar_densenet10_12", "cifar_densenet_bc16_12"])
@pytest.mark.parametrize("recompute", [False, True])
def test_every_parameter_learns(name: str, recompute: bool) -> None:
    torch.manual_seed(0)
    network = build(get_spec(name, recompute=recompute, dropout=0.1)).double()
    network(_image()).square().mean().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_gradients_are_true() -> None:
    spec = get_spec("cifar_densenet_bc10_2", stem_width=4, num_classes=2)
    network = randomised(build(spec))
    assert torch.autograd.gradcheck(network, _image(8, 1).requires_grad_(), fast_mode=True)


def test_dropout_stands_behind_every_convolution_but_the_first() -> None:
    network = build(get_spec("cifar_densenet_bc16_12", dropout=0.3))
    zeros = {}
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Dropout):
            layer.register_forward_hook(lambda _, __, out, name=name: zeros.setdefault(name, []).append(out))
    network(_image().float())
    # Two convolutions a layer, six layers, two transitions.
    assert sum(len(outputs) for outputs in zeros.values()) == 14
    for outputs in zeros.values():
        assert 0.1 < (outputs[0] == 0).double().mean() < 0.5
    network.eval()
    assert torch.equal(network(_image().float()), network(_image().float()))


def test_weights_start_as_torchvisions() -> None:
    torch.manual_seed(0)
    network = build(get_spec("densenet121"))
    for name in ("denseblock4.denselayer16.conv1", "denseblock3.denselayer1.conv2", "transition2.conv"):
        weight = network.features.get_submodule(name).weight
        assert math.isclose(weight.std().item(), math.sqrt(2 / weight[0].numel()), rel_tol=0.02)
    assert not network.classifier.bias.any()
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert all(norm.weight.eq(1).all() and norm.bias.eq(0).all() and norm.running_var.eq(1).all() for norm in norms)
