"""Old weights, new ends: another classifier, other image channels; everything else strictly as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from residua._base.errors import InputError
from residua.families.build import build
from residua.families.members import classifier_tensors, input_tensors
from residua.families.network import Classifier
from residua.specs.catalog import get_spec
from residua.weights.create import create_model
from residua.weights.named.transfer import fit_channels
from weights.bundles import save_tiny, tiny_model, tiny_spec

# A network of each family that is small enough; auxiliary heads and classifiers that are convolutions among them.
NETWORKS = [
    "googlenet_bn",
    "vgg11_bn",
    "cifar_resnet8",
    "cifar_resnet20_v2",
    "cifar_densenet_bc40_12",
    "cifar_highway19",
    "nin",
]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_tiny(tmp_path / "run")
    return tmp_path / "run"


def state(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def test_a_new_classifier_starts_fresh_and_the_rest_is_the_files(saved: Path) -> None:
    torch.manual_seed(3)
    drawn = state(create_model(tiny_spec(), num_classes=7))
    torch.manual_seed(3)
    network = create_model(tiny_spec(), num_classes=7, weights=saved)
    old = tiny_model().state_dict()
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, drawn[name] if name.startswith("fc.") else old[name]), name
    assert network.provenance is not None
    assert network.provenance.fresh == ("fc.weight", "fc.bias")
    assert "fc.weight, fc.bias newly drawn" in str(network.provenance)


def test_as_many_classes_keep_their_classifier(saved: Path) -> None:
    network = create_model(tiny_spec(), num_classes=3, weights=saved)
    assert torch.equal(network.fc.weight, tiny_model().fc.weight)  # type: ignore[union-attr]
    assert network.provenance is not None
    assert network.provenance.fresh == ()


def test_another_number_of_classes_has_to_be_meant(saved: Path) -> None:
    with pytest.raises(InputError, match=r"2 misshapen: fc.*num_classes=7 for a new classifier, or num_classes=3"):
        create_model(tiny_spec(num_classes=7), weights=saved)
    with pytest.raises(InputError, match=r"misshapen: conv1\.weight.*in_channels=4 to fit the first kernel"):
        create_model(tiny_spec(in_channels=4), weights=saved)


def test_only_the_ends_may_differ(saved: Path, tmp_path: Path) -> None:
    broken = tiny_model().state_dict()
    broken["layer1.0.conv1.weight"] = torch.zeros(5, 4, 3, 3)
    del broken["bn1.bias"]
    torch.save(broken, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"1 missing: bn1\.bias.*1 misshapen: layer1\.0\.conv1\.weight"):
        create_model(tiny_spec(), num_classes=7, in_channels=1, weights=tmp_path / "w.pth")


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6, 9])
def test_an_image_whose_channels_are_alike_gives_what_it_gave(saved: Path, channels: int) -> None:
    grey = torch.randn(2, 1, 16, 16)
    network = create_model(tiny_spec(), in_channels=channels, weights=saved).eval()
    assert network.spec.in_channels == channels
    with torch.no_grad():
        expected = tiny_model()(grey.expand(-1, 3, -1, -1))
        torch.testing.assert_close(network(grey.expand(-1, channels, -1, -1)), expected, rtol=1e-4, atol=1e-5)
    assert network.provenance is not None
    assert network.provenance.adapted == (() if channels == 3 else ("conv1.weight",))


def test_the_kernels_of_the_colours() -> None:
    kernel = torch.arange(6.0).view(1, 3, 1, 2)
    red, green, blue = kernel[0].squeeze(1)
    assert torch.equal(fit_channels(kernel, 3, 1)[0, 0, 0], red + green + blue)
    assert torch.equal(fit_channels(kernel, 3, 4)[0, :, 0], torch.stack([red / 2, green, blue, red / 2]))
    six = fit_channels(kernel, 3, 6)
    assert torch.equal(six, torch.cat([kernel, kernel], 1) * 3 / 6)
    assert torch.equal(fit_channels(kernel, 3, 3), kernel)
    grey = fit_channels(kernel[:, :1], 1, 3)
    assert torch.equal(grey, kernel[:, :1] * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1))


@given(st.integers(1, 5), st.integers(1, 12))
def test_the_sum_over_the_channels_stays(given_: int, wanted: int) -> None:
    torch.manual_seed(given_ * wanted)
    for shape in ((4, given_, 3, 3), (4, given_ * 25)):
        kernel = torch.randn(*shape, dtype=torch.float64)
        found = fit_channels(kernel, given_, wanted)
        assert found.shape[1] == shape[1] // given_ * wanted
        before, after = (k.view(4, n, -1).sum(1) for k, n in ((kernel, given_), (found, wanted)))
        torch.testing.assert_close(before, after)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_family_takes_new_ends(name: str, tmp_path: Path) -> None:
    spec = get_spec(name, num_classes=11)
    torch.manual_seed(0)
    old = build(spec)
    torch.save(old.state_dict(), tmp_path / "w.pth")
    network = create_model(name, num_classes=5, in_channels=1, weights=tmp_path / "w.pth")
    ends = {*classifier_tensors(spec), *input_tensors(spec)}
    for key, tensor in old.state_dict().items():
        if key not in ends:
            assert torch.equal(network.state_dict()[key], tensor), key
    assert {key for key, t in old.state_dict().items() if t.shape != network.state_dict()[key].shape} == ends
    assert network.provenance is not None
    assert set(network.provenance.fresh) | set(network.provenance.adapted) == ends
    size = 32 if spec.input_size == 32 else 64
    assert network.eval()(torch.zeros(1, 1, size, size)).shape == (1, 5)


def test_provenance_survives_a_copy(saved: Path) -> None:
    import copy
    import pickle

    network = create_model(tiny_spec(), weights=saved)
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert isinstance(other, Classifier)
        assert other.provenance == network.provenance


def test_auxiliary_classifiers_may_be_left_out_and_not_made_up(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = build(get_spec("googlenet_bn", num_classes=4))
    torch.save(whole.state_dict(), tmp_path / "whole.pth")
    network = create_model("googlenet_bn", num_classes=4, aux_heads=False, weights=tmp_path / "whole.pth")
    assert all(torch.equal(t, whole.state_dict()[name]) for name, t in network.state_dict().items())
    torch.save(network.state_dict(), tmp_path / "bare.pth")
    with pytest.raises(InputError, match=r"missing: .*aux1.*aux_heads=False"):
        create_model("googlenet_bn", num_classes=4, weights=tmp_path / "bare.pth")
