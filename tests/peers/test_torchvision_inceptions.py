"""GoogLeNet and Inception-v3 beside torchvision's: weights load with strict=True, and all logits agree."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torchvision.models.googlenet import BasicConv2d, Inception, InceptionAux

from peers.randomised import randomised
from residua.data.preprocess.normalise import normalise
from residua.specs.preprocess import PreprocessSpec
from residua.weights.create import create_model

PEERS = {"googlenet_bn": "googlenet", "inception_v3": "inception_v3"}
# Published sizes, where the auxiliary pools must be the published ones, and another.
SIZES = [("googlenet_bn", 224), ("googlenet_bn", 97), ("inception_v3", 299), ("inception_v3", 107)]


@functools.cache
def _peer(name: str, **arguments: object) -> nn.Module:
    """torchvision's network in eval mode; a test that changes it takes a copy."""
    torch.manual_seed(0)
    return _drawn(torchvision.models.get_model(PEERS[name], weights=None, init_weights=False, **arguments))


@pytest.fixture(autouse=True, scope="module")
def _peers_end_with_the_module() -> Iterator[None]:
    yield
    _peer.cache_clear()


def _drawn(network: nn.Module) -> nn.Module:
    """Randomised, with kernels that carry the image through: with smaller ones the biases alone decide the logits."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
    return randomised(network)


def _image(size: int, batch: int = 1) -> Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def _difference(got: Tensor, want: Tensor) -> float:
    assert want.std() > 1e-3
    return ((got - want).abs().max() / want.abs().max()).item()


def _without_dropout(network: nn.Module) -> nn.Module:
    for layer in network.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    return network.train()


@pytest.mark.parametrize(("name", "size"), SIZES)
@torch.no_grad()
def test_logits(name: str, size: int) -> None:
    peer, ours = _peer(name), create_model(name).double().eval()
    ours.load_state_dict(peer.state_dict(), strict=True)
    assert list(ours.state_dict()) == list(peer.state_dict())
    assert _difference(ours(_image(size)), peer(_image(size))) <= 1e-12


@pytest.mark.parametrize("name", PEERS)
@torch.no_grad()
def test_logits_without_auxiliary_heads(name: str) -> None:
    peer, ours = _peer(name, aux_logits=False), create_model(name, aux_heads=False).double().eval()
    ours.load_state_dict(peer.state_dict(), strict=True)
    assert _difference(ours(_image(96)), peer(_image(96))) <= 1e-12
    assert isinstance(ours.train()(_image(96, 2)), Tensor)


@pytest.mark.parametrize(("name", "size"), [SIZES[0], SIZES[1], SIZES[2]])
@torch.no_grad()
def test_auxiliary_logits_in_training(name: str, size: int) -> None:
    """Also what the batch leaves in the running statistics is the peer's."""
    peer, ours = _without_dropout(copy.deepcopy(_peer(name))), _without_dropout(create_model(name).double())
    ours.load_state_dict(peer.state_dict(), strict=True)
    want, got = peer(_image(size, 2)), ours(_image(size, 2))
    # torchvision's GoogLeNet returns the later classifier first.
    assert [_difference(a, b) <= 1e-10 for a, b in zip((got.logits, *got.aux[::-1]), want, strict=True)]
    for (key, theirs), value in zip(peer.state_dict().items(), ours.state_dict().values(), strict=True):
        assert torch.allclose(value.double(), theirs.double(), rtol=1e-10, atol=1e-12), key


@pytest.mark.parametrize("name", PEERS)
@torch.no_grad()
def test_half_mean_and_deviation_are_torchvisions_transform_input(name: str) -> None:
    """torchvision's pretrained networks turn ImageNet's normalisation into TensorFlow's range inside; ours get it."""
    peer, ours = _peer(name, transform_input=True), create_model(name).double().eval()
    ours.load_state_dict(peer.state_dict(), strict=True)
    pixels = torch.randint(256, (1, 3, 96, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    theirs = normalise(pixels, PreprocessSpec(96, 96), dtype=torch.float64)
    half = normalise(pixels, PreprocessSpec(96, 96, mean=(0.5,) * 3, std=(0.5,) * 3), dtype=torch.float64)
    assert _difference(ours(half), peer(theirs)) <= 1e-6
    assert _difference(ours(theirs), peer(theirs)) > 1e-3


class _BiasedConv(BasicConv2d):
    """Convolution with bias and ReLU, without batch normalisation."""

    def __init__(self, in_channels: int, out_channels: int, **arguments: int) -> None:
        nn.Module.__init__(self)
        self.conv = nn.Conv2d(in_channels, out_channels, **arguments)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x))


class _WideInception(Inception):
    """The third branch with the 5×5 that the paper has."""

    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__(*arguments, **{**named, "conv_block": _BiasedConv})
        conv = self.branch3[1].conv
        self.branch3[1].conv = nn.Conv2d(conv.in_channels, conv.out_channels, 5, padding=2)


class _WindowAux(InceptionAux):
    """Averages over 5×5 windows, stride 3; the adaptive pool behind leaves 4×4 as it is."""

    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__(*arguments, **{**named, "conv_block": _BiasedConv})

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.avg_pool2d(x, 5, 3))


def _caffe_form() -> nn.Module:
    """torchvision's GoogLeNet changed into BVLC's: the record's own cross-check, here with LRN and every head."""
    torch.manual_seed(0)
    peer = torchvision.models.GoogLeNet(init_weights=False, blocks=[_BiasedConv, _WideInception, _WindowAux])
    norm = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)
    peer.maxpool1 = nn.Sequential(peer.maxpool1, norm)
    peer.maxpool2 = nn.Sequential(norm, peer.maxpool2)
    peer.maxpool4 = nn.MaxPool2d(3, 2, ceil_mode=True)
    return _drawn(peer)


@torch.no_grad()
def test_the_2014_form() -> None:
    peer, ours = _without_dropout(_caffe_form()), _without_dropout(create_model("googlenet").double())
    ours.load_state_dict(peer.state_dict(), strict=True)
    # Large values, so that LRN has something to do.
    for size in (224, 256):
        want, got = peer(50 * _image(size)), ours(50 * _image(size))
        differences = [_difference(a, b) for a, b in zip((got.logits, *got.aux[::-1]), want, strict=True)]
        assert max(differences) <= 1e-12
    other = _without_dropout(create_model("googlenet", lrn=False).double())
    other.load_state_dict(peer.state_dict(), strict=True)
    assert _difference(other(50 * _image(224)).logits, peer(50 * _image(224)).logits) > 1e-3


@pytest.mark.parametrize(
    ("name", "edits"),
    [
        ("googlenet_bn", {"branch3_kernel": 5}),
        ("googlenet_bn", {"last_pool": 3}),
        ("googlenet_bn", {"lrn": True}),
        ("googlenet_bn", {"bn_eps": 1e-5}),
        ("inception_v3", {"pool_counts_padding": False}),
        ("inception_v3", {"bn_eps": 1e-5}),
    ],
)
@torch.no_grad()
def test_every_field_matters(name: str, edits: dict) -> None:
    """The parity above would see each of these fields set otherwise."""
    peer, ours = _peer(name), create_model(name, **edits).double().eval()
    wanted = ours.state_dict()
    state = {key: value for key, value in peer.state_dict().items() if value.shape == wanted[key].shape}
    ours.load_state_dict(wanted | state, strict=True)
    assert _difference(ours(_image(96)), peer(_image(96))) > 1e-3
