"""`verify`: the receipts of named networks, or of all: counts against the published, logits against the peers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from residua._base.console import Progress
from residua._base.errors import InputError, did_you_mean
from residua._base.public import public_address
from residua._base.words import some
from residua.specs.catalog import get_spec, list_models
from residua.specs.edit_text import read_edits
from residua.verification.counts import CountReceipt, count
from residua.verification.parity import OtherTensors, ParityReceipt, compare
from residua.verification.peers import PEERS, absent
from residua.weights.bundle.value import versions
from residua.weights.peers.same_network import peer_network_of


@dataclass(frozen=True)
class Receipt:
    """What was found of one network.

    Attributes:
        name: in the catalog.
        paper: where it was published.
        counts: parameters and MACs, and what was published of them.
        parity: one comparison for each peer that was asked and has the network.
        refused: the peers whose weights did not convert: peer -> why.
        edited: whether fields of the spec are other than the catalog's.
        lacking: the peers that have no network of these tensors, since it is edited; no fault of either.
    """

    name: str
    paper: str
    counts: CountReceipt
    parity: tuple[ParityReceipt, ...] = ()
    refused: dict[str, str] = field(default_factory=dict)
    edited: bool = False
    lacking: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The name, and whether the network is edited."""
        return f"{self.name}, edited" if self.edited else self.name

    @property
    def ok(self) -> bool:
        """Whether every receipt holds."""
        return self.counts.ok and not self.refused and all(receipt.ok for receipt in self.parity)

    @property
    def differences(self) -> tuple[str, ...]:
        """What does not hold, a phrase each."""
        failed = [
            f"logits {receipt.error:.1e} off {receipt.peer}'s {receipt.model}, beyond {receipt.limit:.0e}"
            if receipt.error > receipt.limit
            else f"{receipt.peer}'s {receipt.model} hardly follows its input: the comparison proves nothing"
            for receipt in self.parity
            if not receipt.ok
        ]
        return (*self.counts.differences, *failed, *(f"{peer}: {why}" for peer, why in self.refused.items()))


@dataclass(frozen=True)
class Verification:
    """What `verify` returns.

    Attributes:
        receipts: one for each network, in the order asked.
        peers: the peers that were asked, those without any of the networks included.
        absent: peers that were to be asked and are not installed: peer -> the command that installs it.
        versions: of Residua, torch, Python and each peer.
    """

    receipts: tuple[Receipt, ...]
    peers: tuple[str, ...]
    absent: dict[str, str]
    versions: dict[str, str]

    @property
    def ok(self) -> bool:
        """Whether every receipt of every network holds; an absent peer fails nothing."""
        return all(receipt.ok for receipt in self.receipts)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values, the verdicts with it."""
        rows = []
        for receipt in self.receipts:
            row = asdict(receipt) | {"ok": receipt.ok, "differences": list(receipt.differences)}
            row["counts"] |= {"ok": receipt.counts.ok, "flops": 2 * receipt.counts.macs}
            for entry, parity in zip(row["parity"], receipt.parity, strict=True):
                entry["ok"] = parity.ok
            rows.append(row)
        return {"ok": self.ok, "versions": self.versions, "absent": self.absent, "peers": self.peers, "networks": rows}


def verify(
    models: str | Sequence[str] = (),
    *,
    peers: str | Sequence[str] | None = None,
    edits: Sequence[str] | Mapping[str, Any] = (),
    progress: Progress | None = None,
) -> Verification:
    """Count networks against what was published, and compare their logits with the peers that are installed.

    A peer's network gets random weights, every statistic and bias included; they are converted by the rules of
    `residua.convert`; both see the same images. All compute in float64, and must agree to 1e-9 of the largest logit.
    TF-slim, which needs a TensorFlow of 2023, is an independent reading of its published graph.

    Args:
        models: names or shell patterns of names; none: every listed network.
        peers: whom to compare with, of "torchvision", "timm", "keras", "slim"; None: all of them where `models` names
            any, else nobody (counts of all take seconds, all logits minutes).
        edits: of the networks' specs: {"shortcut": "none"}, or words such as "shortcut=none". Publications and peers
            stay those of the unedited networks. A peer whose tensors an edited network does not take has no such
            network: nothing is compared with it.
        progress: called with (networks done, networks in all).

    Raises:
        InputError: an unknown network or peer; the nearest names are given.
    """
    names = _names([models] if isinstance(models, str) else models)
    peers = [peers] if isinstance(peers, str) else peers
    wanted = (tuple(PEERS) if models else ()) if peers is None else tuple(dict.fromkeys(peers))
    for peer in wanted:
        if peer not in PEERS:
            raise InputError(f"peer {peer!r}", f"one of {', '.join(PEERS)}", did_you_mean(peer, PEERS, 1))
    missing = absent(wanted)
    asked = tuple(peer for peer in wanted if peer not in missing)
    receipts = []
    for done, name in enumerate(names):
        if progress:
            progress(done, len(names))
        receipts.append(_receipt(name, asked, edits))
    if progress:
        progress(len(names), len(names))
    return Verification(tuple(receipts), wanted, missing, versions() | {peer: PEERS[peer].version for peer in asked})


def _receipt(name: str, peers: Sequence[str], edits: Sequence[str] | Mapping[str, Any]) -> Receipt:
    listed = get_spec(name)
    changes = edits if isinstance(edits, Mapping) else read_edits(listed, edits)
    spec = listed.edit(**changes)
    edited = spec != listed
    parity, refused, lacking = [], {}, []
    for peer in peers:
        if peer_network_of(name, peer) is not None:
            try:
                parity.append(compare(name, peer, **changes))
            except OtherTensors as error:
                if edited:
                    lacking.append(peer)
                else:
                    refused[peer] = str(error)
            except InputError as error:
                refused[peer] = str(error)
    return Receipt(name, spec.paper, count(spec), tuple(parity), refused, edited, tuple(lacking))


def _names(models: Sequence[str]) -> list[str]:
    """Return the networks that names and patterns stand for, each once."""
    if not isinstance(models, Iterable):
        raise InputError(f"models {models!r}", "names of networks, or none", "See them all with: residua models")
    names: dict[str, None] = {}
    unknown = []
    for model in models:
        matching = list_models(model)
        if not matching and any(sign in model for sign in "*?["):
            unknown.append(model)
        elif not matching:
            matching = [get_spec(model).name]
        names |= dict.fromkeys(matching)
    if unknown:
        raise InputError(
            f"patterns that match no network: {some(map(public_address, unknown))}",
            "names of the catalog, or shell patterns such as 'resnet*'",
            "See them all with: residua models",
        )
    return list(names) if models else list_models()
