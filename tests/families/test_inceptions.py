"""GoogLeNet and Inception-v3: end points, auxiliary heads, sizes, fields, fresh weights, refusals."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peers.randomised import randomised
from residua._base.errors import InputError
from residua.families.build import build
from residua.families.network import AuxLogits, Classifier
from residua.families.sizes import check_batch, check_input, nearest_size
from residua.layers.inception import ConvNormAct, window_pool
from residua.specs.catalog import get_spec

NAMES = ("googlenet", "googlenet_bn", "inception_v3")
SMALLEST = {"googlenet": 31, "googlenet_bn": 15, "inception_v3": 75}
HEADS = {"googlenet": ("aux1", "aux2"), "googlenet_bn": ("aux1", "aux2"), "inception_v3": ("AuxLogits",)}
NARROW = ((8, 8, 8, 8, 8, 8),) * 9


def _network(name: str, **edits: object) -> Classifier:
    torch.manual_seed(0)
    return build(get_spec(name, num_classes=5, **edits))


def _image(size: int, batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_end_points_are_caffes() -> None:
    names = "conv1/7x7_s2 pool1/3x3_s2 pool1/norm1 conv2/3x3_reduce conv2/3x3 conv2/norm2 pool2/3x3_s2"
    names += " inception_3a/output inception_3b/output pool3/3x3_s2 inception_4a/output inception_4b/output"
    names += " inception_4c/output inception_4d/output inception_4e/output pool4/3x3_s2 inception_5a/output"
    names += " inception_5b/output pool5/7x7_s1 logits"
    assert list(_network("googlenet", widths=NARROW).forward_intermediates(_image(32))) == names.split()


def test_end_points_are_torchvisions() -> None:
    names = "conv1 maxpool1 conv2 conv3 maxpool2 inception3a inception3b maxpool3 inception4a inception4b inception4c"
    names += " inception4d inception4e maxpool4 inception5a inception5b avgpool logits"
    assert list(_network("googlenet_bn", widths=NARROW).forward_intermediates(_image(32))) == names.split()


def test_end_points_are_slims() -> None:
    names = "Conv2d_1a_3x3 Conv2d_2a_3x3 Conv2d_2b_3x3 MaxPool_3a_3x3 Conv2d_3b_1x1 Conv2d_4a_3x3 MaxPool_5a_3x3"
    names += " Mixed_5b Mixed_5c Mixed_5d Mixed_6a Mixed_6b Mixed_6c Mixed_6d Mixed_6e Mixed_7a Mixed_7b Mixed_7c"
    network = _network("inception_v3").eval()
    with torch.no_grad():
        points = network.forward_intermediates(_image(299, 1))
    assert list(points)[: len(names.split())] == names.split()
    # Table 1 of the paper.
    sides = {"MaxPool_3a_3x3": (64, 73), "MaxPool_5a_3x3": (192, 35), "Mixed_5d": (288, 35)}
    sides |= {"Mixed_6e": (768, 17), "Mixed_7c": (2048, 8)}
    assert {name: tuple(points[name].shape[1:3]) for name in sides} == sides


@pytest.mark.parametrize("name", NAMES)
def test_without_auxiliary_heads_exactly_their_parameters_are_gone(name: str) -> None:
    with torch.device("meta"):
        whole, bare = build(get_spec(name)).state_dict(), build(get_spec(name, aux_heads=False)).state_dict()
    gone = {key for key in whole if key.split(".")[0] in HEADS[name]}
    assert gone
    assert {key: value.shape for key, value in bare.items()} == {
        key: value.shape for key, value in whole.items() if key not in gone
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_head_is_trained_by_its_own_loss(name: str) -> None:
    """Each auxiliary loss reaches its head and what lies before its end point, and nothing behind."""
    network = _network(name)
    output = network(_image(nearest_size(network.spec, 32)))
    assert isinstance(output, AuxLogits)
    assert [logits.shape for logits in (output.logits, *output.aux)] == [(2, 5)] * (1 + len(HEADS[name]))
    for head, logits in zip(HEADS[name], output.aux, strict=True):
        network.zero_grad()
        logits.square().sum().backward(retain_graph=True)
        reached = {key.split(".")[0] for key, p in network.named_parameters() if p.grad is not None and p.grad.any()}
        assert head in reached
        assert not reached & {"fc", *HEADS[name]} - {head}
    network.zero_grad()
    output.logits.square().sum().backward()
    unreached = {key.split(".")[0] for key, p in network.named_parameters() if p.grad is None}
    assert unreached == set(HEADS[name])


@pytest.mark.parametrize("name", NAMES)
def test_evaluation_never_runs_the_heads(name: str) -> None:
    network = _network(name).eval()
    with torch.no_grad():
        image = _image(SMALLEST[name])
        want = network(image)
        for head in HEADS[name]:
            for parameter in network.get_submodule(head).parameters():
                parameter.fill_(float("nan"))
        assert torch.equal(network(image), want)


@pytest.mark.parametrize("name", NAMES)
def test_smallest_size(name: str) -> None:
    """One pixel less leaves nothing to pool; the auxiliary heads ask for no more than the network."""
    spec = get_spec(name, num_classes=5)
    assert nearest_size(spec, 1) == SMALLEST[name]
    check_input(spec, SMALLEST[name])
    with pytest.raises(InputError, match=f"image_size={SMALLEST[name]}"):
        check_input(spec.edit(input_size=8), SMALLEST[name] - 1)


def test_a_batch_of_one_that_batch_normalisation_cannot_take_is_refused() -> None:
    """Inception-v3's auxiliary head has one pixel before its batch normalisation at every size up to the published."""
    spec = get_spec("inception_v3", num_classes=5)
    with pytest.raises(InputError, match="batch_size=2"):
        check_batch(spec, 299, 1)
    check_batch(spec, 75, 2)
    check_batch(spec.edit(aux_heads=False), 299, 1)
    check_batch(spec, 299, 1, hold=nn.Module.eval)
    check_batch(get_spec("googlenet", widths=NARROW), 32, 1)


@pytest.mark.parametrize(("side", "least"), [(14, 4), (17, 5), (20, 4), (30, 5)])
def test_the_window_pool_is_the_published_one_where_it_fits(side: int, least: int) -> None:
    x = torch.randn(1, 2, side, side)
    assert torch.equal(window_pool(x, least), F.avg_pool2d(x, 5, 3))


@pytest.mark.parametrize(("side", "least"), [(1, 4), (4, 4), (13, 4), (16, 5), (3, 5)])
def test_below_it_the_map_is_averaged_on_a_grid(side: int, least: int) -> None:
    x = torch.randn(1, 2, side, side)
    pooled = window_pool(x, least)
    assert pooled.shape[-2:] == (least, least)
    if side == least:
        assert torch.equal(pooled, x)
    # A map of one value stays that value.
    assert torch.allclose(window_pool(torch.ones_like(x), least), torch.ones(1, 2, least, least))
    assert window_pool(torch.ones(1, 2, 3 * least + 2, side), least).shape[-2:] == (least, least)


def test_without_gamma_the_network_is_that_with_gamma_one() -> None:
    """Keras's and slim's batch normalisation, which has no gamma, is torch's with gamma = 1."""
    torch.manual_seed(0)
    shifted = randomised(build(get_spec("inception_v3", num_classes=5, bn_scale=False)))
    scaled = build(get_spec("inception_v3", num_classes=5)).double().eval()
    state = shifted.state_dict()
    assert not [key for key in state if key.endswith("bn.weight")]
    ones = {key: torch.ones_like(value) for key, value in scaled.state_dict().items() if key not in state}
    assert all(key.endswith("bn.weight") for key in ones)
    scaled.load_state_dict(state | ones, strict=True)
    image = _image(96).double()
    with torch.no_grad():
        assert torch.allclose(shifted(image), scaled(image), rtol=1e-12)
        assert all(
            torch.allclose(a, b, rtol=1e-9)
            for a, b in zip(_flat(_deterministic(shifted)(image)), _flat(_deterministic(scaled)(image)), strict=True)
        )


def _deterministic(network: nn.Module) -> nn.Module:
    for layer in network.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    return network.train()


def _flat(output: AuxLogits) -> list[Tensor]:
    return [output.logits, *output.aux]


@pytest.mark.parametrize("scale", [True, False])
def test_the_shared_module_computes_its_formula(scale: bool) -> None:
    torch.manual_seed(0)
    layer = randomised(ConvNormAct(3, 4, (1, 7), stride=2, padding=(0, 2), scale=scale, eps=1e-2))
    x = torch.randn(2, 3, 9, 11, dtype=torch.float64)
    y = F.conv2d(x, layer.conv.weight, stride=2, padding=(0, 2))
    gamma = layer.bn.weight if scale else torch.ones(4, dtype=torch.float64)
    shape = (1, 4, 1, 1)
    y = (y - layer.bn.running_mean.view(shape)) / (layer.bn.running_var.view(shape) + 1e-2).sqrt()
    want = F.relu(y * gamma.view(shape) + layer.bn.bias.view(shape))
    assert torch.allclose(layer(x), want, rtol=1e-12)
    assert ConvNormAct(3, 4, 5)(x.float()).shape == (2, 4, 9, 11)
    assert ConvNormAct(3, 4, 3, padding=0, norm=False)(x.float()).shape == (2, 4, 7, 9)


def test_xavier_starts_as_caffe() -> None:
    """Uniform with variance 1 / fan-in, biases 0.2, the classifiers' 0 (bvlc_googlenet's fillers)."""
    network = _network("googlenet")
    weight = network.inception5b.branch2[1].conv.weight
    bound = (3 / weight[0].numel()) ** 0.5
    assert weight.abs().max() <= bound
    assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.01)
    biases = {key: set(p.tolist()) for key, p in network.named_parameters() if key.endswith("bias")}
    zero = {"fc.bias", "aux1.fc2.bias", "aux2.fc2.bias"}
    assert {key for key, values in biases.items() if values == {0.0}} == zero
    assert all(values == {torch.tensor(0.2).item()} for key, values in biases.items() if key not in zero)


@pytest.mark.parametrize(
    ("name", "edits", "deviations"),
    [
        ("googlenet_bn", {}, {"inception5b.branch2.1.conv": 0.01, "aux1.fc1": 0.01, "fc": 0.01}),
        ("inception_v3", {}, {"Mixed_7c.branch1x1.conv": (2 / 2048) ** 0.5, "fc": (2 / 2048) ** 0.5}),
        ("inception_v3", {}, {"AuxLogits.conv1.conv": 0.01, "AuxLogits.fc": 0.001}),
        ("inception_v3", {"initial": "normal"}, {"Mixed_7c.branch1x1.conv": 0.1, "AuxLogits.conv1.conv": 0.01}),
    ],
)
def test_normal_starts(name: str, edits: dict, deviations: dict[str, float]) -> None:
    network = _network(name, **edits)
    for key, deviation in deviations.items():
        assert network.get_submodule(key).weight.std().item() == pytest.approx(deviation, rel=0.05)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.weight.eq(1).all()
            assert not layer.bias.any()
    assert all(value.isfinite().all() for value in network.state_dict().values())


@torch.no_grad()
def test_a_fresh_inception_keeps_its_values_in_scale() -> None:
    """Before the running statistics have followed: a validation after the first steps must not overflow."""
    features = _network("inception_v3").eval().forward_features(_image(75))
    assert 0.01 < features.std() < 100
    torchvisions = _network("inception_v3", initial="normal").eval().forward_features(_image(75))
    assert torchvisions.std() > 1e6


@pytest.mark.parametrize(
    ("name", "edits", "words"),
    [
        ("googlenet", {"widths": NARROW[:8]}, "9 modules 3a"),
        ("googlenet", {"widths": ((1, 2, 3),) * 9}, "6 whole numbers"),
        ("googlenet", {"widths": ((8, 8, 8, 8, 8, 0),) * 9}, "widths.0..5.=0. Wanted: a whole number, 1 to "),
        ("googlenet", {"branch3_kernel": 4}, "3 or 5"),
        ("googlenet", {"last_pool": 5}, "2 or 3"),
        ("googlenet", {"aux_pool": "windows"}, "window"),
        ("googlenet", {"aux_weight": -0.1}, "aux_heads=False"),
        ("googlenet", {"aux_dropout": 1.0}, "probability"),
        ("googlenet_bn", {"bn_momentum": 2.0}, "bn_momentum=2.0. Wanted: a finite number, 0 to 1"),
        ("googlenet_bn", {"aux_head": True}, "aux_heads"),
        ("inception_v3", {"pool_widths": (32, 64)}, "3 whole numbers"),
        ("inception_v3", {"factor_widths": (0, 1, 1, 1)}, "factor_widths.0.=0. Wanted: a whole number, 1 to "),
        ("inception_v3", {"bn_eps": 0.0}, "bn_eps=0.0. Wanted: a finite number, 1e-12 to 1"),
        ("inception_v3", {"bn_scale": 1}, "true or false"),
        ("inception_v3", {"aux_weight": float("nan")}, "finite number"),
    ],
)
def test_bad_specs_are_refused(name: str, edits: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        get_spec(name, **edits)
