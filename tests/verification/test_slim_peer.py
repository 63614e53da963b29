"""TF-slim as a peer: the reading is TF-slim's own graph, ours computes the same, and what differs is a difference."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from peers import slim_graphs
from residua.cli.app import main
from residua.specs.catalog import get_spec
from residua.verification import slim_peer
from residua.verification.parity import compare
from residua.verification.slim_peer import SlimNetwork, blocks
from residua.verification.verify import verify
from residua.weights.peers.same_network import PeerNetwork, peer_network_of
from residua.weights.sources.read_source import ours_from

REFERENCE = json.loads((Path(__file__).parents[1] / "reference/slim_resnet_v2_50.json").read_text())
SCOPE = "resnet_v2_50"
NETWORK = PeerNetwork(SCOPE)
LIMITS = {"gamma": (0.6, 1.4), "moving_variance": (0.5, 2.0)}


def _by_name(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Draw a variable as tools/slim_reference.py did for TF-slim itself."""
    generator = np.random.RandomState(zlib.crc32(name.encode()))
    leaf = name.rpartition("/")[2]
    if leaf == "weights":
        values = generator.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:3]))
    else:
        values = generator.uniform(*LIMITS.get(leaf, (-0.3, 0.3)), shape)
    return torch.from_numpy(values.astype(np.float32))


@pytest.mark.parametrize("case", [case for case in REFERENCE if case["output_stride"] == 0], ids=lambda c: c["size"])
@torch.no_grad()
def test_the_reading_is_tf_slims_graph(case: dict[str, Any]) -> None:
    """All 75 end points that TF-slim 1.1.0 itself computed: names, order, shapes and values."""
    network = SlimNetwork(SCOPE, blocks(50), classes=1000)
    network(torch.zeros(1, 3, 64, 64))  # names the variables
    network.variables = {name: _by_name(name, tuple(value.shape)) for name, value in network.variables.items()}
    size = case["size"]
    pixels = np.random.RandomState(size).standard_normal((1, size, size, 3)).astype(np.float32)
    points = network(torch.from_numpy(pixels).permute(0, 3, 1, 2).double())
    assert list(points) == list(case["points"])
    for name, (shape, (mean, deviation, *picks)) in case["points"].items():
        values = points[name].permute(0, 2, 3, 1) if points[name].dim() == 4 else points[name][:, None, None]
        assert list(values.shape[1:]) == shape, name
        flat = values.reshape(-1)
        scale = flat.abs().max().item()
        picked = [flat[i].item() for i in (0, len(flat) // 3, len(flat) // 2, len(flat) - 1)]
        assert picked == pytest.approx(picks, abs=1e-5 * scale), name
        assert flat.mean().item() == pytest.approx(mean, abs=1e-5 * scale)
        assert flat.std(correction=0).item() == pytest.approx(deviation, abs=1e-5 * scale)


@pytest.mark.parametrize("sides", [(48, 80), (49, 81), (50, 83)])
def test_the_pool_is_tensorflows(sides: tuple[int, int], tensorflow: Any) -> None:
    """Even and odd sides, of values below zero too, where zeros around would show."""
    values = torch.randn(1, 3, *sides, generator=torch.Generator().manual_seed(0)) - 2
    wanted = tensorflow.nn.max_pool2d(values.permute(0, 2, 3, 1).numpy(), 3, 2, "SAME").numpy()
    assert np.array_equal(F.max_pool2d(slim_peer._padded_as_same(values), 3, 2).permute(0, 2, 3, 1), wanted)


def test_equal_to_tensorflows_operations(tensorflow: Any) -> None:
    """The same variables in TensorFlow's own operations, at an odd side behind the stem."""
    variables = slim_graphs.Variables(tensorflow.compat.v1)
    pixels = np.random.default_rng(0).standard_normal((2, 50, 82, 3)).astype(np.float32)
    wanted = slim_graphs.resnet_v2(variables, tensorflow.constant(pixels), (3, 4, 6, 3), 7, SCOPE)["logits"].numpy()
    network = SlimNetwork(SCOPE, blocks(50), classes=7)
    network.variables = {name: torch.from_numpy(value.numpy()) for name, value in variables.values.items()}
    logits = network(torch.from_numpy(pixels).permute(0, 3, 1, 2))[f"{SCOPE}/logits"].flatten(1)
    assert len(network.variables) == len(variables.values)  # it asked for no other
    assert np.abs(logits.numpy() - wanted).max() <= 1e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("layers", [50, 101, 152, 200])
def test_ours_computes_the_same_and_follows_the_image(layers: int) -> None:
    receipt = compare(f"resnet{layers}_v2_slim", "slim")
    assert (receipt.peer, receipt.model) == ("slim", f"resnet_v2_{layers}")
    assert (receipt.precision, receipt.version) == ("float64", "graph of tf-slim 1.1.0")
    assert receipt.input == (2, 3, 48, 80)
    assert receipt.error <= receipt.limit == 1e-9 < 1e-2 < receipt.response
    assert receipt.ok


def test_every_variable_hides_nothing() -> None:
    """Drawn, not left at a default; float32 whatever is computed in; another seed draws others."""
    images = torch.randn(2, 3, 48, 80, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    logits, variables = slim_peer.logits_and_weights(NETWORK, get_spec("resnet50_v2_slim"), images, 0)
    assert (logits.shape, logits.dtype) == ((2, 1000), torch.float64)
    assert {value.dtype for value in variables.values()} == {torch.float32}
    assert sum(v.numel() for name, v in variables.items() if "/moving_" not in name) == 25_568_360
    assert [name for name, value in variables.items() if value.std() < 1e-3] == []
    assert all((value > 0).all() for name, value in variables.items() if name.endswith("moving_variance"))
    again, same = slim_peer.logits_and_weights(NETWORK, get_spec("resnet50_v2_slim"), images, 0)
    assert torch.equal(again, logits)
    assert all(torch.equal(same[name], value) for name, value in variables.items())
    other, _ = slim_peer.logits_and_weights(NETWORK, get_spec("resnet50_v2_slim"), images, 1)
    assert not torch.equal(other, logits)


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ({"pool_padding": "symmetric"}, "off slim's resnet_v2_50, beyond 1e-09"),
        ({"stride_site": "first_3x3"}, "off slim's resnet_v2_50, beyond 1e-09"),
        ({"bn_eps": 1e-3}, "off slim's resnet_v2_50, beyond 1e-09"),
        ({"output_stride": 8}, "off slim's resnet_v2_50, beyond 1e-09"),
        ({"depths": (3, 4, 5, 3)}, "parameters"),
    ],
)
def test_an_edited_network_is_a_difference(edits: dict[str, Any], said: str) -> None:
    outcome = verify("resnet50_v2_slim", peers="slim", edits=edits)
    assert not outcome.ok
    assert any(said in difference for difference in outcome.receipts[0].differences)


def test_the_stride_in_the_next_stages_first_unit_is_the_same_function() -> None:
    """The record's remark on TF-slim's networks, shown: equal logits, at more multiply-accumulates."""
    (receipt,) = verify("resnet50_v2_slim", peers="slim", edits={"stride_site": "first_1x1"}).receipts
    assert receipt.differences == ("MACs 3,857,973,248 instead of 3,482,255,360",)
    assert [entry.ok for entry in receipt.parity] == [True]


def test_the_command_shows_the_comparison(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "resnet50_v2_slim", "--peer", "slim,torchvision", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (row,) = document["networks"]
    assert row["name"] == "resnet50_v2_slim"
    assert [(entry["peer"], entry["model"], entry["ok"]) for entry in row["parity"]] == [("slim", SCOPE, True)]
    assert document["versions"]["slim"] == "graph of tf-slim 1.1.0"
    assert document["absent"] == {}
    assert main(["verify", "resnet50_v2_slim", "--peer", "slim"]) == 0
    shown = capsys.readouterr().out
    assert "slim" in shown.splitlines()[0]
    assert "slim  an independent reading of the graph of tf-slim 1.1.0, not the library itself" in shown
    assert "e-1" in shown.splitlines()[2]


def test_networks_that_it_has_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert peer_network_of("resnet50_v2", "slim") is None
    assert peer_network_of("resnet34_v2_slim", "slim") is None
    (receipt,) = verify("resnet50_v2", peers="slim").receipts
    assert (receipt.ok, receipt.parity) == (True, ())
    assert main(["verify", "resnet50_v2", "--peer", "slim"]) == 0
    shown = capsys.readouterr()
    assert "slim has none of these networks." in shown.err
    assert "not the library itself" not in shown.out


@torch.no_grad()
def test_the_weights_convert_as_a_checkpoint_does() -> None:
    images = torch.randn(2, 3, 48, 80, generator=torch.Generator().manual_seed(1))
    _, variables = slim_peer.logits_and_weights(NETWORK, get_spec("resnet50_v2_slim", num_classes=5), images, 0)
    assert variables[f"{SCOPE}/logits/weights"].shape == (1, 1, 2048, 5)
    assert ours_from(get_spec("resnet50_v2_slim"), variables, "slim").spec.num_classes == 5
