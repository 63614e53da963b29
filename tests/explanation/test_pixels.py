"""Methods that attribute to pixels, where the answer is known: on linear functions, and by completeness."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from residua._base.errors import InputError
from residua.explanation.input_gradients import integrated_gradients, smooth_grad
from residua.explanation.methods import attribute, black
from residua.explanation.occlusion import occlusion
from residua.families.build import build
from residua.specs.catalog import get_spec
from residua.specs.preprocess import PreprocessSpec


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, 12, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(360, 4)).double()


def weights(linear: nn.Module, targets: list[int]) -> Tensor:
    return linear[1].weight.detach()[targets].view(-1, 3, 12, 10)  # type: ignore[index]


def test_of_a_linear_function(linear: nn.Module, images: Tensor) -> None:
    targets = torch.tensor([1, 3])
    wanted = weights(linear, [1, 3])
    found = integrated_gradients(linear, images, targets, baseline=0.5, steps=1)
    assert torch.allclose(found.values, wanted * (images - 0.5))
    assert found.delta is not None
    assert found.delta.abs().max() < 1e-12
    assert torch.allclose(found.maps, found.values.sum(1).clamp(min=0))
    smooth = smooth_grad(linear, images, targets, samples=3)
    assert torch.allclose(smooth.values, wanted)
    assert torch.allclose(smooth.maps, wanted.abs().sum(1))


def test_occlusion_of_a_linear_function(linear: nn.Module, images: Tensor) -> None:
    """Covering a square changes the sum of weight times change over it; a pixel gets the mean."""
    change = (weights(linear, [1, 3]) * (images - 0.5)).sum(1)
    fall, times = torch.zeros_like(change), torch.zeros_like(change)
    for top in (0, 3, 6, 9):
        for left in (0, 3, 6):
            square = (slice(None), slice(top, top + 4), slice(left, left + 4))
            fall[square] += change[square].sum((1, 2))[:, None, None]
            times[square] += 1
    assert (times > 0).all()
    for at_once in (1, 5, 100):
        found = occlusion(linear, images, torch.tensor([1, 3]), window=4, stride=3, baseline=0.5, at_once=at_once)
        assert torch.allclose(found.values[:, 0], fall / times)


def test_completeness() -> None:
    """The attributions sum to the rise of the score, the more exactly the more steps (proposition 1)."""
    torch.manual_seed(0)
    network = build(get_spec("cifar_resnet8", widths=(4, 6, 8), stem_width=4, num_classes=5)).double().eval()
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    start = torch.tensor([-1.0, 0.5, 0.2], dtype=torch.float64).view(3, 1, 1)
    few, many = (integrated_gradients(network, images, baseline=start, steps=steps) for steps in (2, 200))
    with torch.no_grad():
        rise = network(images) - network(start.expand_as(images))
    wanted = rise.gather(1, many.targets[:, None])[:, 0]
    assert many.delta is not None
    assert few.delta is not None
    assert torch.allclose(many.values.sum((1, 2, 3)) - wanted, many.delta)
    assert many.delta.abs().max() < 0.02 * wanted.abs().min()
    assert many.delta.abs().max() < few.delta.abs().max()


def test_how_many_at_once_changes_nothing(images: Tensor) -> None:
    torch.manual_seed(0)
    network = build(get_spec("cifar_resnet8", widths=(4, 6, 8), stem_width=4, num_classes=5)).double()
    for method in (integrated_gradients, smooth_grad, occlusion):
        first, second = (method(network, images, at_once=count).values for count in (1, 7))
        assert torch.allclose(first, second, rtol=1e-8, atol=1e-12)


def test_noise_is_a_share_of_each_images_range_and_a_function_of_the_seed(images: Tensor) -> None:
    """Of the sum of squares the gradient is twice the input: the mean noise can be read off it."""

    class Squares(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x**2).sum((1, 2, 3), keepdim=False)[:, None]

    scaled = torch.stack([images[0], 10 * images[0]])
    model = Squares()
    added = smooth_grad(model, scaled, samples=1, noise=0.1, seed=4).values / 2 - scaled
    width = images[0].max() - images[0].min()
    assert added[0].std() == pytest.approx(0.1 * float(width), rel=0.15)
    assert torch.allclose(10 * added[0], added[1])
    assert torch.equal(smooth_grad(model, scaled, seed=4).values, smooth_grad(model, scaled, seed=4).values)
    assert not torch.equal(smooth_grad(model, scaled, seed=4).values, smooth_grad(model, scaled, seed=5).values)
    assert torch.allclose(smooth_grad(model, scaled, samples=2, noise=0).values, 2 * scaled)


def test_integrated_gradients_of_a_run_start_from_black() -> None:
    preprocess = PreprocessSpec(16, 16, mean=(0.5, 0.4, 0.3), std=(0.5, 0.2, 0.1))
    assert torch.allclose(black(preprocess).flatten(), torch.tensor([-1.0, -2.0, -3.0]))
    network = build(get_spec("cifar_resnet8", widths=(4, 6, 8), stem_width=4, num_classes=5))
    images = black(preprocess).expand(1, 3, 16, 16)
    found = attribute("integrated-gradients", network, images, preprocess)
    assert found.values.abs().max() == 0, "a black image differs from black nowhere"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda model, x: integrated_gradients(model, x, steps=0), "steps=0"),
        (lambda model, x: integrated_gradients(model, x, at_once=0), "at_once=0"),
        (lambda model, x: integrated_gradients(model, x, baseline=torch.zeros(7)), r"shape \(7,\)"),
        (lambda model, x: smooth_grad(model, x, samples=0), "samples=0"),
        (lambda model, x: smooth_grad(model, x, noise=-0.1), "noise=-0.1"),
        (lambda model, x: smooth_grad(model, x, noise=float("nan")), "noise=nan"),
        (lambda model, x: occlusion(model, x, window=11), "window=11"),
        (lambda model, x: occlusion(model, x, window=0), "window=0"),
        (lambda model, x: occlusion(model, x, window=2, stride=3), "stride=3"),
        (lambda model, x: attribute("edges", model, x, PreprocessSpec()), "one of gradcam"),
        (lambda model, x: attribute("occlusion", model, x, PreprocessSpec(), layer="layer3"), "gradcam"),
    ],
)
def test_numbers_out_of_range(linear: nn.Module, images: Tensor, call: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        call(linear, images)  # type: ignore[operator]
