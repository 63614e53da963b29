"""Backbones: the maps are the network's own, their gradients true, and torchvision's detectors train on them."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.segmentation.deeplabv3 import DeepLabHead, DeepLabV3
from torchvision.models.segmentation.fcn import FCNHead
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from laws.representatives import REPRESENTATIVES, image_for, network_for
from peers.randomised import randomised
from residua._base.errors import InputError
from residua.families import resnet
from residua.families.backbone import Backbone, RemovedModule
from residua.families.build import build
from residua.specs.catalog import get_spec
from residua.weights.create import create_model

CONVOLUTIONAL = [name for name in REPRESENTATIVES if not name.startswith("highway_mlp")]
SMALL = {"depths": (1, 2, 1, 1), "widths": (8, 16, 16, 32), "stem_width": 16}


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_the_maps_are_the_networks_own(name: str) -> None:
    """Every family: shapes as said, values as `forward_intermediates` has them, nothing changed by later parts."""
    network, image = network_for(name), image_for(name)
    with torch.no_grad():
        points = network.forward_intermediates(image)
    wanted = [*network.state_dict()]
    names = [key for key, _ in network.parts()]
    backbone = Backbone(network, names=names).eval()
    kept = image.clone()
    with torch.no_grad():
        maps = backbone(image)
    assert torch.equal(image, kept)
    assert list(maps) == names == list(backbone.keys)
    for key, found in maps.items():
        assert torch.equal(found, points[key]), key
    assert [found.shape[1] for found in maps.values()] == list(backbone.channels)
    assert list(backbone.strides) == sorted(backbone.strides)
    # What is left has the whole network's names; what is gone belonged to the heads.
    left = [*backbone.network.state_dict()]
    assert left == [key for key in wanted if key in {*left}]
    # Networks in networks classify by their last convolution, which is a part.
    assert len(left) < len(wanted) or name in ("nin", "cifar_nin")


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_one_map_a_stride(name: str) -> None:
    backbone, image = Backbone(network_for(name)).eval(), image_for(name)
    assert sorted(set(backbone.strides)) == list(backbone.strides)
    with torch.no_grad():
        maps = backbone(image)
    assert [found.shape[1] for found in maps.values()] == list(backbone.channels)
    for found, stride in zip(maps.values(), backbone.strides, strict=True):
        # Old networks pad less than they should: a map may be some pixels smaller.
        assert image.shape[-1] / stride - 4 < found.shape[-1] <= image.shape[-1] / stride + 1


@pytest.mark.parametrize("name", ["resnet50", "resnet18_v2", "resnet50_v2_slim", "cifar_resnet20", "densenet121"])
def test_gradients_are_the_whole_networks(name: str) -> None:
    """A loss on every map: the backbone's gradients equal those through copies of what flows between the parts."""
    network = network_for(name)
    image, backbone = image_for(name), Backbone(copy.deepcopy(network))
    keys = backbone.keys

    def loss(maps: dict[str, Tensor]) -> Tensor:
        return sum((maps[key].sin() * (index + 1)).mean() for index, key in enumerate(keys))

    loss(network.forward_intermediates(image)).backward()
    loss(backbone(image)).backward()
    gradients = {key: p.grad for key, p in network.named_parameters()}
    for key, parameter in backbone.network.named_parameters():
        assert parameter.grad is not None, key
        assert torch.allclose(parameter.grad, gradients[key], rtol=1e-8, atol=1e-12), key


def test_gradients_agree_with_finite_differences() -> None:
    torch.manual_seed(0)
    spec = get_spec("resnet50", depths=(1, 1, 1), widths=(4, 4, 4), stem_width=4, num_classes=2)
    backbone = Backbone(randomised(build(spec)))
    image = torch.randn(1, 3, 16, 16, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: tuple(backbone(x).values()), image, fast_mode=True)


def test_a_map_that_a_later_part_works_in_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also behind a part that hands on its input as it is."""
    plain = resnet.Network.parts

    def parts(self: nn.Module) -> list:
        found = plain(self)
        name, unit = found[3]
        return [*found[:3], ("same", lambda x: x), (name, lambda x: unit(x.mul_(2))), *found[4:]]

    monkeypatch.setattr(resnet.Network, "parts", parts)
    network = randomised(build(get_spec("cifar_resnet8")))
    image = torch.randn(1, 3, 16, 16, dtype=torch.float64)
    with torch.no_grad():
        points = network.forward_intermediates(image)
        maps = Backbone(network, names=[name for name, _ in network.parts()])(image)
    for name, found in maps.items():
        assert torch.equal(found, points[name]), name


def test_what_comes_after_the_last_map_is_gone() -> None:
    backbone = create_model("resnet50", features_only=True, out_indices=(0, -3))
    assert (backbone.keys, backbone.channels, backbone.strides) == (("layer1.2", "layer2.3"), (256, 512), (4, 8))
    left = {name.split(".")[0] for name in backbone.network.state_dict()}
    assert left == {"conv1", "bn1", "layer1", "layer2"}
    assert isinstance(backbone.network.fc, RemovedModule)
    loss = sum(found.mean() for found in backbone(torch.randn(2, 3, 32, 32)).values())
    loss.backward()
    assert [name for name, p in backbone.named_parameters() if p.grad is None] == []


def test_names_rename_and_stages_mean_their_last_unit() -> None:
    image = torch.randn(1, 3, 64, 64)
    backbone = create_model("resnet50", features_only=True, names={"layer4": "out", "layer3": "aux"}).eval()
    assert (backbone.keys, backbone.strides) == (("aux", "out"), (16, 32))
    slim = create_model("resnet50_v2_slim", features_only=True, names=["resnet_v2_17/block2"], **SMALL)
    assert (slim.keys, slim.strides) == (("resnet_v2_17/block2",), (16,))
    with torch.no_grad():
        assert list(backbone(image)) == ["aux", "out"]


def test_weights_load_as_for_the_whole_network(tmp_path: Path) -> None:
    whole = create_model("cifar_resnet20", num_classes=7).eval()
    torch.save(whole.state_dict(), tmp_path / "weights.pt")
    backbone = create_model("cifar_resnet20", 7, weights=tmp_path / "weights.pt", features_only=True).eval()
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(backbone(image)["features"], whole.forward_features(image))
        pickled = pickle.loads(pickle.dumps(backbone))
        for copied in (copy.deepcopy(backbone), pickled):
            assert torch.equal(copied(image)["features"], backbone(image)["features"])


def test_export_and_compile_take_it() -> None:
    backbone = create_model("resnet50", features_only=True, **SMALL).eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        want = backbone(image)
        exported = torch.export.export(backbone, (image,)).module()(image)
        compiled = torch.compile(backbone, fullgraph=True, backend="eager")(image)
    torch.compiler.reset()
    for found in (exported, compiled):
        assert list(found) == list(want)
        assert all(torch.allclose(found[key], want[key], atol=1e-5) for key in want)


class _Pyramid(nn.Module):
    """A backbone and torchvision's feature pyramid, as its detectors want them."""

    def __init__(self, body: Backbone) -> None:
        super().__init__()
        self.body, self.out_channels = body, 32
        self.fpn = FeaturePyramidNetwork(list(body.channels), self.out_channels, LastLevelMaxPool())

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        return self.fpn(self.body(x))


def _step(model: nn.Module, loss: Tensor, stem: nn.Module) -> None:
    before = stem.weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    loss.backward()
    assert loss.isfinite()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    assert all(p.grad.isfinite().all() for p in model.parameters())
    assert stem.weight.grad.abs().max() > 0
    optimizer.step()
    assert not torch.equal(stem.weight, before)


@pytest.mark.parametrize(
    ("name", "edits", "stem"),
    [
        ("resnet50", SMALL, "conv1"),
        ("resnet50_v2_slim", SMALL, "conv1"),
        ("densenet121", {"depths": (2, 2, 2, 2)}, "features.conv0"),
    ],
)
def test_faster_rcnn_takes_a_training_step(name: str, edits: dict, stem: str) -> None:
    """torchvision's detector with its own defaults for anchors and pooling: four maps named 0 to 3."""
    torch.manual_seed(0)
    probe = create_model(name, features_only=True, **edits)
    names = {key: str(index) for index, key in enumerate(probe.keys[-4:])}
    body = create_model(name, features_only=True, names=names, **edits)
    model = FasterRCNN(_Pyramid(body), num_classes=3, min_size=96, max_size=128).train()
    images = [torch.rand(3, 96, 96), torch.rand(3, 80, 112)]
    boxes = torch.tensor([[8.0, 8.0, 48.0, 56.0], [30.0, 20.0, 78.0, 70.0]])
    targets = [{"boxes": boxes, "labels": torch.tensor([1, 2])}, {"boxes": boxes[:1], "labels": torch.tensor([2])}]
    losses = model(images, targets)
    assert set(losses) == {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"}
    _step(model, sum(losses.values()), body.network.get_submodule(stem))
    assert len(model.eval()(images)) == 2


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("resnet50", ("layer3", "layer4")),
        ("resnet50_v2_slim", ("resnet_v2_17/block3", "resnet_v2_17/postnorm")),
    ],
)
def test_deeplab_takes_a_training_step(name: str, stages: tuple[str, str], output_stride: int) -> None:
    torch.manual_seed(0)
    names = dict(zip(stages, ("aux", "out"), strict=True))
    body = create_model(name, features_only=True, names=names, output_stride=output_stride, **SMALL)
    assert body.strides[-1] == output_stride
    aux, out = body.channels
    model = DeepLabV3(body, DeepLabHead(out, 5), FCNHead(aux, 5)).train()
    image, mask = torch.randn(2, 3, 65, 65), torch.randint(0, 5, (2, 65, 65))
    assert body(image)["out"].shape[-1] == -(-65 // output_stride)
    scores = model(image)
    assert scores["out"].shape == (2, 5, 65, 65)
    loss = nn.functional.cross_entropy(scores["out"], mask) + 0.5 * nn.functional.cross_entropy(scores["aux"], mask)
    _step(model, loss, body.network.conv1)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"out_indices": 4}, "some of 0 to 3, each once: its maps of stride 4, 8, 16, 32"),
        ({"out_indices": (0, 0)}, "each once"),
        ({"out_indices": ()}, "some of 0 to 3"),
        ({"names": ["layer5"]}, "Did you mean layer"),
        ({"names": []}, "Name at least one"),
        ({"names": ["layer4", "layer4.2"]}, "none twice"),
        ({"names": {"layer3": "out", "layer4": "out"}}, "none twice"),
        ({"names": ["layer4"], "out_indices": (1,)}, "Leave one out"),
    ],
)
def test_maps_that_are_not_there_are_refused(fields: dict, word: str) -> None:
    with pytest.raises(InputError) as caught:
        create_model("resnet50", features_only=True, **fields)
    assert word in str(caught.value)


@pytest.mark.parametrize(
    ("name", "fields", "word"),
    [
        ("resnet50", {"out_indices": (1,)}, "Add features_only=True"),
        ("resnet50", {"names": ["layer4"]}, "Add features_only=True"),
        ("highway_mlp10", {"features_only": True}, "a network of convolutions"),
        ("vgg16", {"features_only": True, "output_stride": 8}, "a family that has it: resnet"),
        ("densenet121", {"output_stride": 16}, "a family that has it: resnet"),
        ("cifar_resnet20", {"features_only": True, "output_stride": 8}, "one of 1, 2, 4"),
    ],
)
def test_what_a_network_cannot_be_is_refused(name: str, fields: dict, word: str) -> None:
    with pytest.raises(InputError) as caught:
        create_model(name, **fields)
    assert word in str(caught.value)
