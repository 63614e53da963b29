"""The ledger: nothing by hand, receipts kept while they hold, verdicts by rule."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import ledger
import ledger_page
import ledger_receipts
import pytest
from accuracy_table import lines, verdict
from ledger_receipts import Entry, code_hash, read, renew
from our_results import JPEG, Outcome

from residua.specs.catalog import list_models
from residua.verification.peers import PEERS
from residua.verification.verify import Receipt, verify
from residua.weights.peers.same_network import peer_network_of

DOCS = ledger.DOCS
OURS = Outcome(
    network="cifar_resnet20",
    dataset="CIFAR-10 test",
    views="single",
    protocol="single 32×32 view",
    metric="top-1 error",
    values=(8.6, 8.8, 8.9),
    seeds=(0, 1, 2),
    images=10_000,
    train_images=None,
    epochs=164,
    recipe="paper",
    minutes=(10.0, 11.0, 12.0),
    commit="abc1234",
    versions={"torch": "2.14.1"},
    machine={},
    source="x.json",
)


def test_the_page_is_made_from_the_committed_json() -> None:
    if not (DOCS / "ledger.json").is_file():
        pytest.skip("no docs/ledger.json: make ledger")
    assert (DOCS / "ledger.md").read_text("utf-8") == ledger_page.page(DOCS)


def test_every_network_of_a_peer_is_compared() -> None:
    """Whom a peer has too, TF-slim's and those of Keras's example included, has an equal receipt beside it."""
    if not (DOCS / "ledger.json").is_file():
        pytest.skip("no docs/ledger.json: make ledger")
    entries = read(DOCS / "ledger.json")
    wanted = {name: [peer for peer in PEERS if peer_network_of(name, peer)] for name in list_models()}
    equal = {name: [entry.peer for entry in entries[name].receipt.parity if entry.ok] for name in wanted}
    assert equal == wanted
    assert equal["resnet200_v2_slim"] == ["slim"]
    assert equal["cifar_resnet164_v2_keras"] == ["keras"]


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that were verified; only torchvision is asked, and pretends to be all."""
    asked: list[str] = []

    def watched(names: list[str], peers: tuple[str, ...]) -> Any:
        asked.extend(names)
        return verify(names, peers=["torchvision"])

    monkeypatch.setattr(ledger_receipts, "verify", watched)
    current = verify("cifar_nin", peers=["torchvision"]).versions
    monkeypatch.setattr(ledger_receipts, "current_versions", lambda: current)
    return asked


def test_receipts_are_kept_while_they_hold(
    tmp_path: Path, verified: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, names = tmp_path / "ledger.json", ["resnet18", "plain18"]
    made = renew(path, names)
    assert verified == names
    assert read(path) == {name: made[name] for name in ("plain18", "resnet18")}  # in the catalog's order
    renew(path, names)
    assert verified == names
    renew(path, ["plain18"], everything=True)
    assert verified == [*names, "plain18"]
    broken = {**made, "plain18": replace(made["plain18"], receipt=_failing(made["plain18"].receipt))}
    ledger_receipts.write(path, broken)
    assert not json.loads(path.read_text())["ok"]
    renew(path, names)
    assert verified == [*names, "plain18", "plain18"]
    monkeypatch.setattr(ledger_receipts, "code_hash", lambda: "other sources")
    renew(path, ["resnet18"])
    assert verified[-1] == "resnet18"


def _failing(receipt: Receipt) -> Receipt:
    return replace(receipt, counts=replace(receipt.counts, differences=("parameters",)))


def test_the_page_has_every_row(tmp_path: Path) -> None:
    found = verify(["resnet18", "resnet50_v1", "plain34"], peers=["torchvision"])
    entries = {receipt.name: Entry(receipt, found.versions, "code") for receipt in found.receipts}
    rows = [line for line in ledger_page.receipts(entries) if line.startswith("| ")]
    assert [row.split("|")[1].strip() for row in rows] == ["network", "resnet18", "resnet50_v1", "plain34"]
    assert len({row.count("|") for row in rows}) == 1
    text = "\n".join(ledger_page.receipts(entries))
    assert "float64, at most 1e-09" in text
    assert "Not compared yet: alexnet, " in text
    entries["plain34"] = replace(entries["plain34"], versions={"torch": "1.0"})
    assert "- torch 1.0: plain34." in ledger_page.receipts(entries)
    assert ledger_page.receipts(entries)[0].endswith(": all but those below.")


def test_sources_are_distinguished(tmp_path: Path) -> None:
    root = tmp_path / "residua"
    shutil.copytree(Path(ledger_receipts.residua.__file__).parent, root, ignore=shutil.ignore_patterns("__pycache__"))
    assert code_hash(root) == code_hash()
    with (root / "training/loop.py").open("a") as stream:
        stream.write("# other\n")
    assert code_hash(root) == code_hash()  # no receipt depends on it
    with (root / "layers/conv.py").open("a") as stream:
        stream.write("# other\n")
    assert code_hash(root) != code_hash()


def test_wrong_input(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert ledger.main(["resnet5O"], tmp_path) == 2
    assert "resnet5O" in capsys.readouterr().err
    assert ledger.main(["--page"], tmp_path) == 2
    assert "make ledger" in capsys.readouterr().err
    monkeypatch.setitem(PEERS, "timm", replace(PEERS["timm"], modules=("no_such_library",)))
    assert ledger.main(["resnet18"], tmp_path) == 2
    assert "timm" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("edits", "papers", "other_files", "said"),
    [
        ({}, (8.75,), False, "agrees"),
        ({}, (6.0, 8.75), False, "agrees"),
        ({}, (8.0,), False, "below by 0.77"),
        ({}, (10.0, 9.5), False, "above by 0.73"),
        ({"values": (8.6,), "seeds": (0,)}, (8.75,), False, "agrees"),  # within the images' interval
        ({"values": (8.6,), "seeds": (0,)}, (7.5,), False, "below by 1.10"),
        ({}, (8.75,), True, "not comparable: other files"),
        ({"train_images": 5000}, (8.75,), False, "not comparable: part of the training images"),
        ({}, (), False, "nothing published"),
    ],
)
def test_verdicts(edits: dict[str, Any], papers: tuple[float, ...], other_files: bool, said: str) -> None:
    assert verdict(replace(OURS, **edits), papers, other_files) == said
    assert verdict(None, papers) == "not run"


def test_the_table_of_accuracies() -> None:
    published = json.loads((DOCS / "results/published.json").read_text("utf-8"))["results"]
    text = lines(published, [OURS, replace(OURS, dataset=JPEG, values=(18.66,), seeds=(0,))])
    (jpeg, lossless) = sorted(line for line in text if line.startswith("| cifar_resnet20 |"))[::-1]
    assert "8.75 (arXiv 1512.03385 Table 6)" in lossless
    assert "8.27 (akamaster/pytorch_resnet_cifar10)" in lossless
    assert lossless.endswith("| 8.77 ± 0.15 | 3 | 164, paper | abc1234 | torch 2.14.1 | 11.0 | agrees |")
    assert jpeg.endswith("| not comparable: other files |")
    rows = [line for line in text if line.startswith("| ")]
    assert sum(line.endswith("| not run |") for line in rows) == len(rows) - 4  # two heads, two of ours
    for row in published:
        assert any(line.startswith(f"| {row['network']} |") and f"{row['value']:g}" in line for line in rows), row
