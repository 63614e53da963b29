"""Laws that every network of the catalog obeys, whatever its family: it is a value, a sum of parts, and portable."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch

from laws.representatives import REPRESENTATIVES, image_for, network_for
from residua.families.build import build
from residua.specs.catalog import get_spec, list_models
from residua.specs.schema import Spec


@pytest.mark.parametrize("name", list_models())
def test_spec_survives_json(name: str) -> None:
    assert Spec.from_json(get_spec(name).to_json()) == get_spec(name)


@pytest.mark.parametrize("name", list_models())
def test_spec_network_spec(name: str) -> None:
    with torch.device("meta"):
        network = build(get_spec(name))
    assert network.spec == get_spec(name)
    assert not [n for n, p in network.named_parameters() if not p.is_meta], "values are made in initialise, not before"


@pytest.mark.parametrize("name", REPRESENTATIVES)
@torch.no_grad()
def test_a_network_is_a_value(name: str) -> None:
    """deepcopy, pickle, torch.save and a state dict give the same logits."""
    network, image = network_for(name), image_for(name)
    want = network(image)
    buffer = io.BytesIO()
    torch.save(network, buffer)
    buffer.seek(0)
    copies = (copy.deepcopy(network), pickle.loads(pickle.dumps(network)), torch.load(buffer, weights_only=False))
    for copied in copies:
        assert torch.equal(copied(image), want)
    rebuilt = build(Spec.from_json(network.spec.to_json())).double().eval()
    rebuilt.load_state_dict(network.state_dict(), strict=True)
    assert torch.equal(rebuilt(image), want)


@pytest.mark.parametrize("name", REPRESENTATIVES)
@torch.no_grad()
def test_batch_layout_and_half_precision(name: str) -> None:
    """Eval mode does not depend on the batch's size nor on the layout; half precision gives finite logits."""
    network, image = network_for(name), image_for(name, batch=3)
    want = network(image)
    assert want.std() > 0
    alone = torch.cat([network(image[i : i + 1]) for i in range(3)])
    assert torch.allclose(alone, want, rtol=1e-9, atol=1e-9)
    last = network.to(memory_format=torch.channels_last)(image.contiguous(memory_format=torch.channels_last))
    assert torch.allclose(last, want, rtol=1e-9, atol=1e-9)
    assert network.bfloat16()(image.bfloat16()).isfinite().all()


@pytest.mark.parametrize("name", REPRESENTATIVES)
@torch.no_grad()
def test_parts_make_the_whole(name: str) -> None:
    network, image = network_for(name), image_for(name)
    kept = image.clone()
    points = network.forward_intermediates(image)
    want = network(image)
    assert torch.equal(image, kept), "the caller's image was changed"
    assert torch.equal(points["logits"], want)
    assert torch.equal(network.forward_head(network.forward_features(image)), want)
    assert all(point.isfinite().all() for point in points.values())
    names = [part for part, _ in network.parts()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_export(name: str) -> None:
    network, image = network_for(name), image_for(name)
    exported = torch.export.export(network, (image,)).module()
    with torch.no_grad():
        assert torch.allclose(exported(image), network(image), rtol=1e-9)


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_compile_in_one_graph(name: str) -> None:
    """Training mode too: nothing in the forward pass breaks the graph."""
    torch.compiler.reset()
    network, image = network_for(name), image_for(name)
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    with torch.no_grad():
        assert torch.allclose(compiled(image), network(image), rtol=1e-9)
    outputs = compiled.train()(image)
    logits = outputs if isinstance(outputs, torch.Tensor) else outputs.logits
    logits.square().mean().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
