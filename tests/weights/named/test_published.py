"""Published weights: the catalog states what the packages state; a file comes from the first server that has it."""

from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path

import pytest
import torch

from residua._base.errors import InputError
from residua._base.places import cache_root
from residua._base.web.reach import unreachable
from residua.cli.app import main
from residua.families.sizes import is_for_photos
from residua.specs.catalog import get_spec
from residua.weights.create import create_model
from residua.weights.named.published_file import (
    cached_published,
    fetch_command,
    fetch_published,
    remove_published,
)
from residua.weights.peers.same_network import PEER_NETWORKS
from residua.weights.published.catalog import (
    PublishedWeights,
    default_weights,
    find_weights,
    published_weights,
    weights_of,
)
from servers import Behaviour
from weights.named.hubs import same, served_row


@pytest.fixture
def row(server: Behaviour, resnet18: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch) -> PublishedWeights:
    """The catalog's first row of ResNet-18, at the server: a file, and a repository with the same weights."""
    return served_row(server, resnet18, monkeypatch)


def test_the_catalog_states_what_the_packages_state() -> None:
    timm = pytest.importorskip("timm")
    torchvision = pytest.importorskip("torchvision")
    tool = pytest.importorskip("published_weights")
    stored = json.loads(tool.CATALOG.read_text())
    ours = {"torchvision": torchvision.__version__.partition("+")[0], "timm": timm.__version__}
    if stored["packages"] != ours:
        pytest.skip(f"the catalog is of {stored['packages']}, installed are {ours}")
    assert stored == json.loads(json.dumps(tool.catalog()))


def test_rows_are_usable() -> None:
    rows = published_weights()
    assert len({(row.network, row.name) for row in rows}) == len(rows) > 100
    for row in rows:
        assert row.network in PEER_NETWORKS[row.source]
        assert all(location.repository or len(location.sha256) >= 8 for location in row.locations)
        assert row.locations
        assert (row.top1 is None) == (row.accuracy_by == "")
        assert (row.licence == "") == (row.licence_by == "")
        assert row.top1 is None or 0.5 < row.top1 < row.top5 < 1  # type: ignore[operator]


def test_they_are_of_networks_for_photos() -> None:
    for network in list(dict.fromkeys(row.network for row in published_weights()))[::6]:
        assert is_for_photos(get_spec(network)), network


def test_defaults_are_torchvisions_where_it_has_the_network_and_never_restricted() -> None:
    for network in dict.fromkeys(row.network for row in published_weights()):
        row = default_weights(network)
        assert row is not None
        assert row.default
        assert not row.is_restricted
        assert (row.source == "torchvision") == (network in PEER_NETWORKS["torchvision"])
    assert str(default_weights("resnet50")) == (
        "torchvision:IMAGENET1K_V2: 80.86% top-1 on ImageNet, licence bsd-3-clause"
    )
    assert default_weights("plain18") is None
    assert any(row.is_restricted for row in weights_of("resnet18"))


def test_a_row_is_found_by_publisher_or_whole_name() -> None:
    assert find_weights("resnet50").name == "torchvision:IMAGENET1K_V2"
    assert find_weights("resnet50", "timm").name == "timm:a1_in1k"
    assert find_weights("resnet50", "torchvision:DEFAULT").name == "torchvision:IMAGENET1K_V2"
    assert find_weights("resnet50", "torchvision:IMAGENET1K_V1").top1 == 0.7613
    with pytest.raises(InputError, match=r"timm:a1_in1 of resnet50.*Did you mean timm:a1_in1k"):
        find_weights("resnet50", "timm:a1_in1")
    with pytest.raises(InputError, match="of which the catalog has none"):
        find_weights("plain18")


def test_a_file_is_downloaded_once(server: Behaviour, row: PublishedWeights) -> None:
    assert cached_published(row) is None
    path = fetch_published(row)
    assert path == cached_published(row) == cache_root() / "weights" / row.locations[0].sha256 / path.name
    assert fetch_published(row, patient=False) == path
    assert len(server.asked) == 1
    assert remove_published(row) == [path]
    assert cached_published(row) is None
    assert remove_published(row) == []


@pytest.mark.parametrize("fault", ["absent", "other content"])
def test_the_second_place_serves_where_the_first_does_not(
    server: Behaviour, row: PublishedWeights, resnet18: dict[str, torch.Tensor], fault: str
) -> None:
    first = next(name for name in server.files if name.startswith("/resnet18-"))
    content = server.files.pop(first)
    if fault == "other content":
        server.files[first] = content[:-1] + b"?"
    assert same(create_model("resnet18", weights="torchvision:IMAGENET1K_V1"), resnet18)
    assert fetch_published(row).name == "model.safetensors"
    assert not (cache_root() / "weights" / row.locations[0].sha256 / first[1:]).exists()
    # Kept weights need no server at all, whichever location they are from.
    asked = len(server.asked)
    assert same(create_model("resnet18", weights="torchvision:IMAGENET1K_V1"), resnet18)
    assert len(server.asked) == asked
    assert [path.name for path in remove_published(row)] == ["model.safetensors"]


def test_every_place_that_fails_is_named_with_its_reason(server: Behaviour, row: PublishedWeights) -> None:
    server.files.clear()
    server.redirects.clear()
    with pytest.raises(InputError, match=r"404.*hf://timm.*holds no model.*residua weights get resnet18; then copy"):
        fetch_published(row)


def test_offline_nothing_is_asked(server: Behaviour, row: PublishedWeights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESIDUA_OFFLINE", "1")
    with pytest.raises(InputError, match=r"not in the cache.*RESIDUA_OFFLINE.*residua weights get resnet18"):
        fetch_published(row)
    assert not server.asked


def test_a_silent_server_is_left_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        hosts.append(address[0])
        if address[0] == "silent.example":
            threading.Event().wait(2)
        raise OSError(111, "refused")

    hosts: list[str] = []
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("residua._base.web.reach.socket.create_connection", connect)
    started = time.monotonic()
    reasons = unreachable(["https://silent.example/a", "https://closed.example/b"], 0.1)
    assert time.monotonic() - started < 1
    assert "within 0.1 s" in reasons["https://silent.example/a"]
    assert "refused" in reasons["https://closed.example/b"]
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    assert "proxy.example" in unreachable(["https://far.example/a"], 1)["https://far.example/a"]


def test_the_command_lists_fetches_and_removes(
    server: Behaviour, row: PublishedWeights, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["weights", "path", "resnet18"]) == 1
    assert "residua weights get resnet18" in capsys.readouterr().err
    assert main(["weights", "get", "resnet18"]) == 0
    path = capsys.readouterr().out.splitlines()[-1]
    assert Path(path).is_relative_to(tmp_path)
    assert main(["weights", "path", "resnet18"]) == 0
    assert capsys.readouterr().out.strip() == path
    assert main(["weights", "list", "resnet18", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert (rows[0]["cached"], rows[0]["default"], rows[0]["licence"]) == (path, True, "bsd-3-clause")
    assert all(each["cached"] is None for each in rows[1:])
    assert main(["weights"]) == 0
    out = capsys.readouterr().out
    assert out.count("\nresnet50 ") == 1
    assert next(line for line in out.splitlines() if line.startswith("resnet18 ")).endswith("yes")
    assert main(["weights", "rm", "resnet18"]) == 0
    assert not Path(path).exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["get"], "without a network"),
        (["get", "resnet5"], "Did you mean"),
        (["get", "plain18"], "the catalog has none"),
        (["get", "resnet18", "--from", "keras"], "one of torchvision:IMAGENET1K_V1"),
        (["list", "x*"], "the catalog has none"),
        (["geet", "resnet18"], "Did you mean get"),
    ],
)
def test_wrong_words_are_refused(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", *words]) == 2
    assert message in capsys.readouterr().err


def test_the_command_that_is_advised_fetches_the_same_weights(capsys: pytest.CaptureFixture[str]) -> None:
    advised = "residua weights get resnet50 --from timm:a1_in1k"
    assert main(["weights", "path", "resnet50", "--from", "timm:a1_in1k"]) == 1
    assert capsys.readouterr().err.rstrip().endswith(f"fetch it: {advised}")
    assert main(["weights", "get", "resnet50", "--from", "timm:a1_in1k"]) == 2
    assert f"network: {advised}; then copy" in capsys.readouterr().err
    assert fetch_command(find_weights("resnet50")) == "residua weights get resnet50"
