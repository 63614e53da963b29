"""Networks taken apart: every parameter in one part, each end found by asking the network."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from laws.representatives import REPRESENTATIVES, spec_for
from residua.families.build import build, spec_of
from residua.families.end_points import stage_of
from residua.families.members import classifier_tensors, input_tensors, members, state_shapes
from residua.families.network import Classifier
from residua.specs.catalog import get_spec
from residua.training.step.freeze import frozen


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_the_parts_sum_to_the_network(name: str) -> None:
    spec = spec_for(name)
    found = members(spec)
    with torch.device("meta"):
        network = build(spec)
    assert [each.name for each in found] == [name for name, _ in (*network.parts(), *network.head_parts())]
    assert {each.name for each in found if each.aux} == set(network.aux_heads())
    every = [each for member in found for each in (member, member.aux) if each is not None]
    named = dict(network.named_parameters())
    held = [key for each in every for key in each.parameters]
    assert sorted(held) == sorted(named)
    assert sum(named[key].numel() for key in held) == sum(p.numel() for p in network.parameters())
    # What keeps statistics or drops values is called by a part: otherwise freezing would not reach it.
    called = {key for each in every for key in each.modules}
    kinds = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
    assert {key for key, module in network.named_modules() if isinstance(module, kinds)} <= called


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_the_ends_are_the_classifier_and_the_first_kernel(name: str) -> None:
    spec = spec_for(name).edit(num_classes=7)
    shapes = state_shapes(spec)
    heads, inputs = classifier_tensors(spec), input_tensors(spec)
    assert all(shapes[key].shape[0] == 7 for key in heads)
    assert len(heads) == 2 * (1 + sum(each.aux is not None for each in members(spec)))
    assert len(inputs) == 1
    assert shapes[inputs[0]].shape[1] % spec.in_channels == 0
    assert inputs[0] == next(iter(key for key in shapes if key.endswith("weight")))


class _Odd(Classifier):
    """Reads a weight without calling its layer, and shares its dropout and its ReLU between parts."""

    def __init__(self) -> None:
        super().__init__(spec_of("cifar_resnet8"))
        self.first, self.second = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(4, 10)

    def parts(self):  # type: ignore[no-untyped-def]
        return [
            ("one", lambda x: self.drop(nn.functional.conv2d(x, self.first.weight, self.first.bias))),
            ("two", lambda x: self.drop(self.second(x))),
        ]

    def forward_head(self, features: torch.Tensor) -> torch.Tensor:
        return self.fc(features.mean((2, 3)))


def test_weights_that_are_read_without_their_layer_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("residua.families.members.outline", lambda _: _Odd().to("meta"))
    members.cache_clear()
    found = members(spec_of("cifar_resnet8"))
    members.cache_clear()
    assert [each.parameters for each in found] == [
        ("first.weight", "first.bias"),
        ("second.weight", "second.bias"),
        ("fc.weight", "fc.bias"),
    ]
    assert [("drop" in each.modules) for each in found] == [True, True, False]


def test_a_parameter_that_no_part_reads_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Idle(_Odd):
        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Linear(2, 2)

    monkeypatch.setattr("residua.families.members.outline", lambda _: Idle().to("meta"))
    members.cache_clear()
    with pytest.raises(AssertionError, match="do not sum to the network"):
        members(spec_of("cifar_resnet8"))
    members.cache_clear()


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("resnet18", "stem layer1 layer2 layer3 layer4 features logits"),
        ("vgg13", "conv1 pool1 conv2 pool2 conv3 pool3 conv4 pool4 conv5 pool5 fc6 fc7 logits"),
        ("googlenet", "conv1 pool1 conv2 pool2 inception_3 pool3 inception_4 pool4 inception_5 pool5 logits"),
        ("resnet50_keras", "pool1_pool conv2 conv3 conv4 conv5 logits"),
        (
            "resnet50_v2_slim",
            "{0}conv1 {0}pool1 {0}block1 {0}block2 {0}block3 {0}block4 {0}postnorm global_pool {0}logits "
            "{0}spatial_squeeze logits",
        ),
    ],
)
def test_stages_of_every_vocabulary(name: str, stages: str) -> None:
    wanted = stages.format("resnet_v2_50/").split()
    spec = get_spec(name)
    points = [part.name for part in members(spec)]
    assert list(dict.fromkeys(map(stage_of, points))) == wanted
    # Of one stage after the other, none comes twice, and each can be frozen by its name.
    assert [stage for stage, _ in itertools.groupby(map(stage_of, points))] == wanted
    assert frozen(spec, wanted[2]).parameters
