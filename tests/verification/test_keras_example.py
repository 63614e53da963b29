"""Keras's CIFAR-10 example as a peer: its networks of every legal depth, in `verify` and in `bench`."""

from __future__ import annotations

import json
from types import ModuleType

import pytest

from residua._base.errors import InputError
from residua.bench.bench import bench
from residua.cli.app import main
from residua.specs.catalog import get_spec
from residua.verification.keras_example import build_example, is_example
from residua.verification.parity import compare
from residua.verification.verify import verify
from residua.weights.peers.same_network import peer_network_of

# Parameters as the example prints them; with the statistics of its normalisations, as `summary()` counts.
PUBLISHED = {"ResNet20v1": 274_442, "ResNet29v2": 849_002, "ResNet56v2": 1_673_738}


@pytest.mark.parametrize(("name", "params"), PUBLISHED.items())
def test_the_builder_has_the_examples_parameters(name: str, params: int, keras: ModuleType) -> None:
    network = build_example(keras, name, (32, 32, 3), 10)
    assert network.count_params() == params
    assert network.output_shape == (None, 10)
    assert [layer.name for layer in network.layers][-2].startswith("flatten")


def test_convolutions_stand_for_the_depth(keras: ModuleType) -> None:
    """ResNet20v1: 19 convolutions and two projections; ResNet29v2: 28 and three. The dense layer is the last one."""
    for name, convolutions, projections in (("ResNet20v1", 19, 2), ("ResNet29v2", 28, 3)):
        made = [
            layer
            for layer in build_example(keras, name, (32, 32, 3), 10).layers
            if isinstance(layer, keras.layers.Conv2D)
        ]
        assert len(made) == convolutions + projections
        assert all(layer.use_bias and layer.padding == "same" for layer in made)


@pytest.mark.parametrize("name", ["ResNet21v1", "ResNet2v1", "ResNet28v2", "ResNet20v3", "ResNet50V2"])
def test_depths_that_the_example_refuses(name: str, keras: ModuleType) -> None:
    with pytest.raises(ValueError, match=name):
        build_example(keras, name, (32, 32, 3), 10)


def test_keras_applications_are_not_the_example() -> None:
    assert is_example("ResNet20v1")
    assert not is_example("ResNet50V2")
    assert not is_example("ResNet50")


@pytest.mark.filterwarnings("ignore::residua._base.errors.Notice")  # which of ours a name of theirs is
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("cifar_resnet8_keras", "ResNet8v1"),
        ("cifar_resnet20_keras", "ResNet20v1"),
        ("cifar_resnet26_keras", "ResNet26v1"),
        ("cifar_resnet11_v2_keras", "ResNet11v2"),
        ("cifar_resnet29_v2_keras", "ResNet29v2"),
    ],
)
def test_ours_computes_the_same_and_follows_the_image(ours: str, theirs: str, keras: ModuleType) -> None:
    receipt = compare(ours, "keras")
    assert (receipt.peer, receipt.model, receipt.precision) == ("keras", theirs, "float64")
    assert receipt.version == keras.__version__
    assert receipt.input == (2, 3, 32, 32)
    assert receipt.error <= receipt.limit == 1e-9 < 1e-2 < receipt.response
    assert receipt.ok
    assert get_spec(theirs) == get_spec(ours)
    assert keras.config.floatx() == "float32"


def test_torchs_padding_is_a_difference(keras: ModuleType) -> None:
    outcome = verify("cifar_resnet20_keras", peers="keras", edits={"padding": "symmetric"})
    assert not outcome.ok
    assert "off keras's ResNet20v1, beyond 1e-09" in outcome.receipts[0].differences[0]


def test_the_command_shows_both(keras: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["verify", "cifar_resnet20_keras", "cifar_resnet29_v2_keras", "--peer", "keras", "--json"]
    assert main(words) == 0
    document = json.loads(capsys.readouterr().out)
    compared = [(row["name"], entry["model"]) for row in document["networks"] for entry in row["parity"]]
    assert compared == [("cifar_resnet20_keras", "ResNet20v1"), ("cifar_resnet29_v2_keras", "ResNet29v2")]
    assert all(row["ok"] for row in document["networks"])


def test_what_keras_has_not() -> None:
    assert peer_network_of("cifar_resnet20", "keras") is None
    assert peer_network_of("cifar_resnet20_v2", "keras") is None
    assert peer_network_of("cifar_resnet20_keras", "timm") is None
    with pytest.raises(InputError, match="cifar_resnet20 for peer='keras'"):
        compare("cifar_resnet20", "keras")


def test_the_benchmark_measures_beside_it(keras: ModuleType) -> None:
    small = {"batch": 2, "batches": 1, "warm_up": 0, "device": "cpu"}
    report = bench("cifar_resnet8_keras", peer="keras", **small)
    assert [result.case.source for result in report.results] == ["residua", "keras"]
    with pytest.raises(InputError, match="at 64 pixels, where it is another network"):
        bench("cifar_resnet8_keras", peer="keras", resolution=64, **small)
