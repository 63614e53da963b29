"""Re-estimated batch normalisation: exact moments, whatever the batch size, and nothing else is touched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from evaluation.runs import colour_folder, colour_run
from residua._base.errors import InputError
from residua.evaluation.batch_norm import reestimate_bn
from residua.evaluation.evaluate import evaluate
from residua.evaluation.measures.metrics import NotFinite
from residua.families.build import build
from residua.layers.shared import SharedLayer
from residua.specs.catalog import get_spec


@dataclass
class Batch:
    images: Tensor


@dataclass
class Batches:
    images: Tensor
    size: int

    def epoch(self, epoch: int) -> Iterator[Batch]:
        for part in self.images.split(self.size):
            yield Batch(part)


def network() -> nn.Module:
    torch.manual_seed(0)
    return build(get_spec("cifar_resnet8", num_classes=3, input_size=8))


IMAGES = torch.randn(30, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 3 + 5


def test_one_pass_gives_the_population_moments_of_the_first_layer() -> None:
    model = network()
    found = reestimate_bn(model, Batches(IMAGES, 7), passes=1)
    assert (found.count, found.passes, found.layers) == (30, 1, 7)
    inputs = model.conv1(IMAGES).transpose(0, 1).flatten(1).double()
    assert torch.allclose(model.bn1.running_mean.double(), inputs.mean(1), atol=1e-5)
    assert torch.allclose(model.bn1.running_var.double(), inputs.var(1, correction=0), rtol=1e-5)


def test_the_batch_size_changes_nothing() -> None:
    states = []
    for size in (1, 8, 30):
        model = network()
        assert reestimate_bn(model, Batches(IMAGES, size)).settled
        states.append({name: t for name, t in model.state_dict().items() if "running" in name})
    for other in states[1:]:
        for name, tensor in states[0].items():
            assert torch.allclose(tensor, other[name], rtol=2e-3, atol=2e-3), name


def test_it_settles_where_every_layer_has_its_moments() -> None:
    model = network()
    found = reestimate_bn(model, Batches(IMAGES, 10))
    assert found.change <= 1e-3
    assert 1 < found.passes <= 10
    # A batch of everything then is normalised alike by its own statistics and by the running ones.
    model.eval()
    settled = model(IMAGES)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.train()
            layer.momentum = 0.0
    assert torch.allclose(settled, model(IMAGES), atol=2e-2)


@pytest.mark.parametrize("depth", [20, 56])
def test_it_settles_at_any_depth(depth: int) -> None:
    """From whatever statistics: set all at once from one pass, errors grow a thousandfold before they end."""
    torch.manual_seed(0)
    model = build(get_spec(f"cifar_resnet{depth}", widths=(4, 4, 4), stem_width=4, num_classes=3, input_size=8))
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in norms:
        layer.running_mean.normal_()
        layer.running_var.uniform_(0.1, 4)
    found = reestimate_bn(model, Batches(IMAGES, 10))
    assert (found.layers, found.settled) == (depth - 1, True)
    assert found.passes <= 10
    # Of all images in one batch, training's statistics are the fixed point.
    settled = [(layer.running_mean.clone(), layer.running_var.clone()) for layer in norms]
    for layer in norms:
        layer.train()
        layer.momentum = 1.0
    model(IMAGES)
    for layer, (mean, variance) in zip(norms, settled, strict=True):
        scale = variance + layer.eps
        assert float(((layer.running_mean - mean).abs() / scale.sqrt()).max()) < 1e-2
        unbiased = layer.running_var * (1 - 1 / (30 * 4))
        assert float(((unbiased - variance).abs() / scale).max()) < 2e-2


def test_a_layer_at_several_places_has_the_moments_of_all() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
            self.again = SharedLayer(self.norm)
            self.seen: list[Tensor] = []

        def forward(self, x: Tensor) -> Tensor:
            self.seen = []
            for norm in (self.norm, self.again, self.again):
                self.seen.append(self.conv(x))
                x = x + norm(self.seen[-1]).relu()
            return x

    torch.manual_seed(0)
    model = Recurrent()
    assert reestimate_bn(model, Batches(IMAGES, 10)).settled
    model.eval()(IMAGES)
    inputs = torch.cat(model.seen).transpose(0, 1).flatten(1)
    assert torch.allclose(model.norm.running_mean, inputs.mean(1), atol=1e-2)
    assert torch.allclose(model.norm.running_var, inputs.var(1, correction=0), rtol=1e-2)


def test_what_has_not_settled_is_reported() -> None:
    found = reestimate_bn(network(), Batches(IMAGES, 3), passes=1)
    assert not found.settled
    assert found.change > 1e-3


def test_modes_momentum_weights_and_counts_are_as_before() -> None:
    model = network().train()
    model.layer2.eval()
    modes = [module.training for module in model.modules()]
    before = {name: t.clone() for name, t in model.state_dict().items() if "running" not in name}
    reestimate_bn(model, Batches(IMAGES, 10), passes=1)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(model.state_dict()[name], t) for name, t in before.items())
    assert {layer.momentum for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)} == {0.1}
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_auxiliary_heads_keep_theirs() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.main, self.aux = nn.BatchNorm2d(3), nn.BatchNorm2d(3)

        def forward(self, x: Tensor) -> Tensor:
            return self.aux(x) if self.training else self.main(x)

    model = Two()
    assert reestimate_bn(model, Batches(IMAGES, 10)).passes == 2
    assert model.aux.running_mean.tolist() == [0, 0, 0] != model.main.running_mean.tolist()


def test_what_cannot_be_estimated() -> None:
    with pytest.raises(InputError, match="vgg11, which has no batch normalisation"):
        reestimate_bn(build(get_spec("vgg11", grid=1, num_classes=2)), Batches(IMAGES, 10))
    with pytest.raises(InputError, match="without images"):
        reestimate_bn(network(), _Nothing())
    with pytest.raises(InputError, match="passes=0"):
        reestimate_bn(network(), Batches(IMAGES, 10), passes=0)
    model = network()
    with pytest.raises(NotFinite):
        reestimate_bn(model, Batches(IMAGES * float("nan"), 10))
    assert model.training
    assert not any(module._forward_pre_hooks for module in model.modules())


class _Nothing:
    def epoch(self, epoch: int) -> Iterator[Batch]:
        return iter(())


def test_a_run_is_evaluated_with_statistics_of_its_training_part(tmp_path: Path) -> None:
    for part in ("train", "test"):
        colour_folder(tmp_path / "data" / part, count=5)
    folder = colour_run(tmp_path / "run", data=tmp_path / "data")
    content = (folder / "model.safetensors").read_bytes()
    plain, fresh = evaluate(folder), evaluate(folder, reestimate=True)
    assert plain.reestimated is None
    assert fresh.reestimated is not None
    assert (fresh.reestimated.count, fresh.reestimated.layers) == (12, 7)
    assert fresh.loss != plain.loss
    assert (folder / "model.safetensors").read_bytes() == content
    assert evaluate(folder).loss == plain.loss


def test_without_the_cache_every_training_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for part in ("train", "test"):
        colour_folder(tmp_path / "data" / part, count=5)
    folder = colour_run(tmp_path / "run", data=tmp_path / "data")
    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path / "cache"))
    uncached = evaluate(folder, reestimate=True, cache=False)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert evaluate(folder, reestimate=True).loss == uncached.loss
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
