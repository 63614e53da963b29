"""Units as a free list, no stem, and a pool of whole windows: the forms that TF-slim's functions have."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from peers.randomised import randomised
from residua._base.errors import InputError
from residua.anatomy import inspect
from residua.families.build import build, outline
from residua.layers.conv import max_pool2d
from residua.specs.catalog import get_spec
from residua.specs.schema import Spec

BLOCKS = ([(32, 8, 1)] * 2 + [(32, 8, 3)], [(48, 12, 1)])
REGULAR = ([(256, 64, 1)] * 2 + [(256, 64, 2)], [(512, 128, 1)] * 3 + [(512, 128, 2)])
REGULAR += ([(1024, 256, 1)] * 5 + [(1024, 256, 2)], [(2048, 512, 1)] * 3)


def _image(side: int, channels: int = 3) -> torch.Tensor:
    return torch.randn(1, channels, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def _network(name: str, **edits: Any) -> nn.Module:
    torch.manual_seed(0)
    return randomised(build(get_spec(name, **edits)))


def test_the_regular_form_as_a_list_is_the_same_network() -> None:
    regular, listed = get_spec("resnet50_v2_slim"), get_spec("resnet50_v2_slim", units=REGULAR)
    assert listed.diff(regular).keys() == {"units"}
    assert listed.own_stride == regular.own_stride == 32
    shapes = [{key: t.shape for key, t in outline(spec).state_dict().items()} for spec in (regular, listed)]
    assert shapes[0] == shapes[1]
    counts = [(a.params, a.macs, a.training) for a in map(inspect, (regular, listed))]
    assert counts[0] == counts[1]


def test_a_list_settles_the_regular_form() -> None:
    spec = get_spec("resnet50_v2_slim", units=BLOCKS)
    assert (spec.depths, spec.widths, spec.expansion, spec.inner_widths) == ((3, 1), (8, 12), 4, ())
    odd = get_spec("resnet50_v2_slim", units=[[(50, 7, 2)]])
    assert (odd.widths, odd.expansion, odd.inner_widths) == ((50,), 1, (7,))
    assert Spec.from_json(spec.to_json()) == spec
    assert spec.to_json()["units"][0][2] == [32, 8, 3]
    basic = get_spec("cifar_resnet8", units=[[(16, 16, 1), (16, 24, 1)], [(32, 32, 3)]])
    assert [*outline(basic).units()][1].conv1.out_channels == 24


@torch.no_grad()
def test_stride_3_and_its_dilation() -> None:
    nominal = _network("resnet50_v2_slim", units=BLOCKS, pool_padding="symmetric")
    assert nominal.spec.own_stride == 12
    assert nominal.forward_features(_image(97)).shape[2:] == (9, 9)
    dense = build(nominal.spec.edit(output_stride=4)).double().eval()
    dense.load_state_dict(nominal.state_dict(), strict=True)
    features = dense.forward_features(_image(97))
    assert features.shape[2:] == (25, 25)
    assert torch.allclose(features[:, :, ::3, ::3], nominal.forward_features(_image(97)), rtol=1e-10, atol=1e-10)
    assert inspect(nominal.spec).layers[-5].stride == (12, 12)


@pytest.mark.parametrize(
    ("name", "site", "kind"),
    [
        ("resnet50_v2_slim", "last_3x3", {}),
        ("resnet50", "first_3x3", {}),
        ("resnet50", "first_1x1", {}),
        ("cifar_resnet20", "first_3x3", {"shortcut": "pad"}),
        ("cifar_resnet20", "first_3x3", {"gate": "independent", "shortcut": "projection"}),
    ],
)
@torch.no_grad()
def test_any_unit_of_a_stage_may_stride(name: str, site: str, kind: dict[str, Any]) -> None:
    units = [[(32, 8, 1), (32, 8, 2), (32, 8, 1)], [(32, 8, 2), (48, 8, 1), (48, 8, 3), (48, 8, 1)]]
    nominal = _network(name, units=units, stride_site=site, padding="symmetric", pool_padding="symmetric", **kind)
    root = nominal.spec.stem_stride
    assert nominal.spec.strides == ((1, 2, 1), (2, 1, 3, 1))
    assert nominal.spec.reached_strides == (root, 2 * root, 4 * root, 12 * root)
    features, image = nominal.forward_features(_image(97)), _image(97)
    assert features.shape[2:] == ((97 - 1) // (12 * root) + 1,) * 2
    assert (12 * root,) * 2 in [part.stride for part in inspect(nominal.spec).parts]
    for dense_stride in (2 * root, 4 * root):
        dense = build(nominal.spec.edit(output_stride=dense_stride)).double().eval()
        dense.load_state_dict(nominal.state_dict(), strict=True)
        step = 12 * root // dense_stride
        assert torch.allclose(dense.forward_features(image)[:, :, ::step, ::step], features, rtol=1e-9, atol=1e-9)


def test_depths_may_differ_inside_a_stage() -> None:
    units = [[(32, 8, 1), (64, 8, 1), (64, 16, 1)]]
    network = outline(get_spec("resnet50_v2_slim", units=units))
    assert [unit.conv3.out_channels for unit in network.units()] == [32, 64, 64]
    assert [unit.downsample is not None for unit in network.units()] == [True, True, False]


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        ({"units": REGULAR, "depths": (3, 4, 6, 4)}, "with depths=(3, 4, 6, 4)"),
        ({"units": REGULAR, "widths": (64, 128, 256, 500)}, "widths[3]=500"),
        ({"units": REGULAR, "inner_widths": (64, 128, 256, 256)}, "inner_widths=(64, 128, 256, 256)"),
        ({"units": [[]]}, "at least one unit per stage"),
        ({"units": [[(256, 64)]]}, "a list of 3 whole numbers"),
        ({"units": [[(256, 64, 0)]]}, "units[0][0][2]=0. Wanted: a whole number, 1 to 64"),
        ({"units": [[(256, 64, 1)]], "cardinality": 48}, "multiples of cardinality=48"),
        ({"units": [[(64, 8, 1)], [(32, 8, 1)]], "shortcut": "pad"}, "channels that never shrink"),
        ({"units": BLOCKS, "output_stride": 8}, "one of 4, 12"),
        ({"units": [[(8, 8, 64)]] * 3}, "at most 4096 in all"),
    ],
)
def test_contradictions_are_refused_by_name(edits: dict, words: str) -> None:
    with pytest.raises(InputError) as caught:
        get_spec("resnet50_v2_slim", **edits)
    assert words in str(caught.value)


def test_a_later_edit_may_not_leave_the_list_behind() -> None:
    with pytest.raises(InputError, match="units of"):
        get_spec("resnet50_v2_slim", units=REGULAR).edit(depths=(3, 4, 6, 4))
    back = get_spec("resnet50_v2_slim", units=BLOCKS).edit(units=(), depths=(3, 4), widths=(8, 12))
    assert back.depths == (3, 4)


@pytest.mark.parametrize("name", ["resnet50_v2_slim", "resnet50_v1"])
@torch.no_grad()
def test_without_a_stem_the_units_read_the_input(name: str) -> None:
    """TF-slim's include_root_block=False: everything behind the root block."""
    few = {"depths": (1, 2, 1, 1), "num_classes": 5}
    whole, bare = _network(name, **few), _network(name, stem="none", in_channels=64, **few)
    state = whole.state_dict()
    bare.load_state_dict({key: state[key] for key in bare.state_dict()}, strict=True)
    assert whole.state_dict().keys() - bare.state_dict().keys() == {
        key for key in state if key.startswith(("conv1.", "bn1."))
    }
    image = _image(64)
    rooted = image
    for point, part in whole.parts():
        if "block" in point or point.startswith("layer"):
            break
        rooted = part(rooted)
    assert torch.allclose(bare(rooted), whole(image), rtol=1e-12, atol=1e-12)
    assert bare.spec.own_stride == 8
    assert [point for point, _ in bare.parts()] == [point for point, _ in whole.parts()][-len(bare.parts()) :]


@torch.no_grad()
def test_without_a_stem_it_has_output_strides_and_a_drawing() -> None:
    spec = get_spec("resnet50_v2_slim", stem="none", in_channels=16, depths=(1, 1, 1, 1), output_stride=2)
    assert build(spec).eval().forward_features(_image(32, 16).float()).shape[2:] == (16, 16)
    anatomy = inspect(spec, (16, 32, 32))
    assert anatomy.params == sum(p.numel() for p in outline(spec).parameters())
    assert anatomy.layers[0].inputs == ("image",)
    with pytest.raises(InputError, match="one of 1, 2, 4, 8"):
        spec.edit(output_stride=16)
    with pytest.raises(InputError, match="stem_norm=True with stem='none'"):
        get_spec("cifar_resnet20_v2", stem="none")


@torch.no_grad()
def test_valid_pools_have_whole_windows_alone() -> None:
    pool, x = max_pool2d(3, 2, "valid"), torch.randn(2, 4, 112, 111)
    assert torch.equal(pool(x), F.max_pool2d(x, 3, 2))
    assert pool(x).shape[2:] == (55, 55)
    spec = get_spec("resnet50_v2_slim", pool_padding="valid")
    pools = (layer for layer in inspect(spec).layers if layer.operation == "max_pool2d")
    assert next(pools).output == (64, 55, 55)
