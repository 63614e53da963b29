"""Dilation instead of stride: the weights stay, and every k-th pixel of the dense features is the nominal one's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from peers.randomised import randomised
from residua._base.errors import InputError
from residua.families.build import build
from residua.specs.catalog import get_spec
from residua.specs.resnet import ResNetSpec

SHALLOW = {"depths": (2, 3, 2, 2), "widths": (8, 16, 16, 24), "stem_width": 16}
BOTTLENECKS = ("first_1x1", "first_3x3", "last_3x3")
SHORTCUTS = ("none", "pad", "projection", "projection_all", "max_pool")


def _pair(spec: ResNetSpec, output_stride: int) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    nominal = randomised(build(spec))
    dense = build(spec.edit(output_stride=output_stride))
    dense.load_state_dict(nominal.state_dict(), strict=True, assign=True)
    return nominal, dense.eval()


def _check(spec: ResNetSpec, output_stride: int, height: int, width: int) -> None:
    nominal, dense = _pair(spec, output_stride)
    image = torch.randn(1, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        want, got = nominal.forward_features(image), dense.forward_features(image)
    factor = spec.own_stride // output_stride
    sides = [-(-side // output_stride) for side in (height, width)]
    if spec.pool_padding != "ceil":
        assert list(got.shape[2:]) == sides
    sampled = got[:, :, ::factor, ::factor]
    assert sampled.shape == want.shape
    assert ((sampled - want).abs().max() / want.abs().max()).item() < 1e-12


@pytest.mark.parametrize("output_stride", [4, 8, 16, 32])
@pytest.mark.parametrize("name", ["resnet50_v2_slim", "resnet50", "resnet50_keras", "resnet50_v2_keras", "resnet18_v2"])
def test_dense_extraction_then_subsampling_is_the_nominal_stride(name: str, output_stride: int) -> None:
    spec = get_spec(name, **SHALLOW)
    for height, width in ((96, 129), (97, 130)):
        _check(spec, output_stride, height, width)


@pytest.mark.parametrize("site", BOTTLENECKS)
@pytest.mark.parametrize("shortcut", SHORTCUTS)
@pytest.mark.parametrize("activation", ["post", "full_pre"])
def test_every_stride_site_and_shortcut(site: str, shortcut: str, activation: str) -> None:
    fields = {"stride_site": site, "shortcut": shortcut, "activation": activation}
    _check(get_spec("resnet50", **fields, **SHALLOW), 8, 66, 95)


@pytest.mark.parametrize("unit", [{"unit": "basic", "expansion": 1}, {"projection_kernel": 3}, {"cardinality": 2}])
def test_basic_units_3x3_projections_and_groups(unit: dict) -> None:
    spec = get_spec("resnet50", **SHALLOW, **unit)
    for output_stride in (4, 16):
        _check(spec, output_stride, 66, 95)


@pytest.mark.parametrize("name", ["cifar_resnet20", "cifar_resnet20_v2", "cifar_wrn16_1", "cifar_resnet29_v2_keras"])
def test_cifar_networks(name: str) -> None:
    for output_stride in (1, 2):
        _check(get_spec(name), output_stride, 32, 27)


def test_the_weights_and_the_parts_stay() -> None:
    nominal, dense = _pair(get_spec("resnet50"), 8)
    assert [*nominal.state_dict()] == [*dense.state_dict()]
    assert [name for name, _ in nominal.parts()] == [name for name, _ in dense.parts()]
    dilations = [stage[0].conv2.dilation[0] for stage in dense.stages()]
    assert dilations == [1, 1, 1, 2]
    assert [stage[-1].conv2.dilation[0] for stage in dense.stages()] == [1, 1, 2, 4]


def test_dilation_as_torchvision_has_it() -> None:
    """Its DeepLab backbones' dilations are ours, by value."""
    torchvision = pytest.importorskip("torchvision")
    peer = randomised(torchvision.models.resnet50(replace_stride_with_dilation=[False, True, True]))
    ours = build(get_spec("resnet50", output_stride=8))
    ours.load_state_dict(peer.state_dict(), strict=True, assign=True)
    image = torch.randn(1, 3, 75, 96, dtype=torch.float64)
    with torch.no_grad():
        want, got = peer(image), ours.eval()(image)
    assert ((got - want).abs().max() / want.abs().max()).item() < 1e-12


@pytest.mark.parametrize("output_stride", [8, 16])
def test_dilated_squeeze_and_excitation_as_timm_has_it(output_stride: int) -> None:
    """Its means are over other pixels, so that subsampling gives other values; timm's are the same."""
    timm = pytest.importorskip("timm")
    peer = randomised(timm.create_model("seresnet50", output_stride=output_stride))
    ours = build(get_spec("seresnet50", output_stride=output_stride))
    ours.load_state_dict(peer.state_dict(), strict=True, assign=True)
    image = torch.randn(1, 3, 75, 96, dtype=torch.float64)
    with torch.no_grad():
        want, got = peer(image), ours.eval()(image)
    assert ((got - want).abs().max() / want.abs().max()).item() < 1e-12


@pytest.mark.parametrize(
    ("name", "output_stride", "word"),
    [
        ("resnet50", 2, "one of 4, 8, 16, 32"),
        ("resnet50", 12, "one of 4, 8, 16, 32"),
        ("resnet50", 64, "The nearest is 32"),
        ("resnet50", -8, "The nearest is 4"),
        ("cifar_resnet20", 8, "one of 1, 2, 4"),
        ("cifar_resnet20_keras", 2, "padding='symmetric'"),
        ("vgg_like", 8, "residua models"),
    ],
)
def test_what_cannot_be_is_refused(name: str, output_stride: int, word: str) -> None:
    with pytest.raises(InputError) as caught:
        get_spec(name, output_stride=output_stride)
    assert word in str(caught.value)
