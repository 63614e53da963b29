"""`residua verify`: what is equal passes, what differs is said and fails, and nothing is compared with itself."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from types import ModuleType

import pytest
import torch
from torch import nn

from residua._base.errors import InputError
from residua.cli.app import main
from residua.specs.catalog import get_spec
from residua.specs.published import published
from residua.verification import counts
from residua.verification.counts import count, rounds_to
from residua.verification.parity import compare
from residua.verification.peers import PEERS, drawn
from residua.verification.verify import verify
from residua.weights.peers.same_network import PEER_GRAPHS, PEER_NETWORKS, PeerNetwork


def test_equal_to_the_record_and_to_the_peers(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("timm", reason="no timm: pip install 'residua[peers]'")
    assert main(["verify", "resnet18", "--peer", "torchvision", "--peer", "timm", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (row,) = document["networks"]
    assert document["ok"]
    assert row["ok"]
    assert row["differences"] == []
    assert row["counts"]["flops"] == 2 * row["counts"]["macs"]
    assert [entry["peer"] for entry in row["parity"]] == ["torchvision", "timm"]
    for entry in row["parity"]:
        assert entry["error"] <= 1e-9 < 1e-2 < entry["response"]
        assert document["versions"][entry["peer"]] == entry["version"]


@pytest.mark.parametrize("name", ["resnet50_v2_keras", "densenet121"])
def test_keras(name: str, keras: ModuleType) -> None:
    found = compare(name, "keras")
    assert found.ok
    assert found.precision == "float64"
    assert found.error <= 1e-9 < 1e-2 < found.response
    assert keras.config.floatx() == "float32"
    assert hasattr(keras.applications, found.model)


def test_another_network_of_the_peer_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """He's own stride site beside torchvision's: the same tensors, another function."""
    monkeypatch.setitem(PEER_NETWORKS["torchvision"], "resnet50_v1", PeerNetwork("resnet50"))
    assert main(["verify", "resnet50_v1", "--peer", "torchvision"]) == 1
    shown = capsys.readouterr().out
    assert "✗  resnet50_v1: logits" in shown
    assert "off torchvision's resnet50, beyond 1e-09" in shown


def test_weights_that_do_not_fit_are_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PEER_NETWORKS["torchvision"], "resnet34", PeerNetwork("resnet18"))
    found = verify("resnet34", peers=["torchvision"])
    assert not found.ok
    assert "missing" in found.receipts[0].differences[0]


def test_another_record_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    record = published("resnet18")
    assert record is not None
    monkeypatch.setattr(counts, "published", lambda name: replace(record, params=record.params + 1))
    assert main(["verify", "resnet18", "--peer", "none"]) == 1
    assert f"parameters {record.params:,} instead of {record.params + 1:,}" in capsys.readouterr().out


def test_a_paper_that_rounds_otherwise_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "alexnet*", "--peer", "none"]) == 0
    shown = capsys.readouterr().out
    assert "≈  alexnet_2012: parameters: 60M in Krizhevsky 2012" in shown
    assert "2 networks, 0 with differences" not in shown  # for people, on stderr


def test_an_edited_network_is_not_the_published_one() -> None:
    assert "parameters" in count(get_spec("resnet18", widths=(65, 128, 256, 512))).differences[0]


def test_an_edited_network_whose_tensors_no_peer_has_is_counted_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """Peers have nothing to compare it with: no conversion is recommended, and notes are no differences."""
    edit = ["--set", "stem=none", "--peer", "torchvision,slim"]
    assert main(["verify", "resnet50", *edit]) == 1
    shown = capsys.readouterr()
    wanted = published("resnet50")
    assert wanted is not None
    ours = count(get_spec("resnet50", stem="none"))
    row = next(line for line in shown.out.splitlines() if line.startswith("resnet50, edited"))
    assert f"{ours.params:,}" in row
    assert f"✗  resnet50, edited: parameters {ours.params:,} instead of {wanted.params:,}" in shown.out
    assert "\n   resnet50, edited: torchvision has no such network; only counts are compared" in shown.out
    assert "unexpected" not in shown.out + shown.err
    failures = [line for line in shown.out.splitlines() if line.startswith("✗  resnet50")]
    assert [line.split(": ")[1].split()[0] for line in failures] == ["parameters", "MACs"]
    (receipt,) = verify("resnet50", peers="torchvision", edits={"stem": "none"}).receipts
    assert (receipt.lacking, receipt.refused, receipt.parity) == (("torchvision",), {}, ())
    (receipt,) = verify("resnet18", peers="torchvision", edits={"stem": "imagenet"}).receipts
    assert (receipt.edited, receipt.title, len(receipt.parity)) == (False, "resnet18", 1)


def test_a_network_that_ignores_its_input_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = compare("alexnet", "torchvision")
    assert found.ok
    assert not replace(found, response=99 * found.limit).ok
    assert not replace(found, error=float("nan")).ok


def test_every_twin_is_a_network_of_its_peer() -> None:
    import timm
    import torchvision

    assert {network.name for network in PEER_NETWORKS["torchvision"].values()} <= set(torchvision.models.list_models())
    assert {network.name for network in PEER_NETWORKS["timm"].values()} <= set(timm.list_models())
    assert set(PEER_NETWORKS) | set(PEER_GRAPHS) == set(PEERS)
    # A network has one reading of a peer: what its library builds is not built again.
    for peer, graphs in PEER_GRAPHS.items():
        assert not [name for name in PEER_NETWORKS.get(peer, ()) if any(re.fullmatch(graph, name) for graph in graphs)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["verify", "resnet5O"], "resnet50"),
        (["verify", "nonsense*"], "nonsense*"),
        (["verify", "resnet18", "--peer", "torchvison"], "torchvison"),
        (["verify", "resnet50_v2_slim", "--peer", "slm"], "Did you mean slim?"),
        (["verify", "resnet50_v2_slim", "--peer", "Slim"], "Did you mean slim?"),
        (["verify", "resnet50_v2_slim", "--peer", "slim,none"], "--peer none beside slim"),
        (["verify", "resnet50_v2_slim", "--peer", "none", "--peer", "all"], "--peer none beside all"),
        (["verify", "resnet50_v2_slim", "--peer", "slim", "--peer", ""], "--peer"),
        (["verify", "resnet50_v2_slim", "--peer"], "--peer"),
        (["verify", "resnet51_v2_slim", "--peer", "slim"], "resnet50_v2_slim"),
    ],
)
def test_wrong_input(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""


def test_an_unknown_peer_of_the_library() -> None:
    with pytest.raises(InputError, match="keras"):
        verify("resnet18", peers=["kears"])
    with pytest.raises(InputError, match="slim"):
        verify("resnet50_v2_slim", peers="slimm")


def test_an_absent_peer_is_named_and_fails_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(PEERS, "timm", replace(PEERS["timm"], modules=("no_such_library",)))
    assert main(["verify", "resnet18", "--peer", "timm"]) == 0
    assert "timm is not installed and was not asked: pip install" in capsys.readouterr().err


def test_what_no_rule_draws_is_refused() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.temperature = nn.Parameter(torch.ones(()))

    with pytest.raises(RuntimeError, match="temperature"):
        drawn(Odd(), torch.zeros(2, 3, 8, 8))


@pytest.mark.parametrize(
    ("exact", "printed", "close"),
    [
        (25_557_032, "25.6M", True),
        (25_557_032, "25.5M", True),  # within 1%
        (25_557_032, "26.5M", False),
        (270_896, "0.27M", True),
        (3_800_000_000, "3.8G", True),
        (4_089_184_256, "3.8G", False),
    ],
)
def test_rounded_figures(exact: int, printed: str, close: bool) -> None:
    assert rounds_to(exact, printed) is close
