"""The other direction: a run's weights as a state dict that a peer loads strictly."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import safetensors.torch
import torch
from torch import Tensor

from residua._base.errors import InputError, did_you_mean
from residua._base.files import atomic_path
from residua._base.words import counted, some
from residua.specs.preprocess import PreprocessSpec
from residua.specs.schema import Spec
from residua.weights.identity import counterpart
from residua.weights.open import load
from residua.weights.peers.same_network import PEER_NETWORKS, PeerNetwork
from residua.weights.run import Run
from residua.weights.sources.source import Tensors
from residua.weights.state_diff import mismatches

PEERS = ("torchvision", "timm")
_ENDINGS = (".safetensors", ".pth", ".pt")


@dataclass(frozen=True)
class PeerWeights:
    """What was written for a peer.

    Attributes:
        path: the file.
        peer: "torchvision" or "timm".
        model: the peer's name of the network.
        code: Python that builds the peer's network and loads the file strictly, into `model`.
        preprocess: the evaluation transform, which a bare state dict does not carry.
        classes: names in the order of the logits.
    """

    path: Path
    peer: str
    model: str
    code: str
    preprocess: PreprocessSpec
    classes: tuple[str, ...]


class _Target(Protocol):
    def from_ours(self, spec: Spec, tensors: Mapping[str, Tensor]) -> Tensors: ...


def write_for(run: Run | Path | str, peer: str, out: Path | str) -> PeerWeights:
    """Write a run's weights, those of `model` now, as `peer` names and lays them out.

    Args:
        run: a run, or whatever `load` takes.
        peer: "torchvision" or "timm".
        out: the file to write, which must not exist: `.safetensors`, or `.pth` or `.pt` for `torch.save`.

    Raises:
        InputError: the peer does not have this network, and why; no run there; `model` no longer fits `spec`; an
            `out` that exists or ends otherwise.
    """
    path = Path(out)
    if peer not in PEERS:
        raise InputError(f"peer={peer!r}", f"one of {', '.join(PEERS)}", did_you_mean(peer, PEERS, 1))
    if path.suffix not in _ENDINGS:
        raise InputError(f"{path}", f"a file that ends in {' or '.join(_ENDINGS)}", f"Use out={path.name}.safetensors")
    if path.exists():
        raise InputError(f"{path} exists", "a file that does not exist yet", "Give a new out=…, or remove it first")
    run = run if isinstance(run, Run) else load(run)
    spec = run.spec
    peer_network = _peer_network(spec, peer)
    tensors = {name: tensor.detach().cpu() for name, tensor in run.model.state_dict().items()}
    if problems := mismatches(spec, tensors):
        raise InputError(
            f"a model that no longer fits its run's {spec.name}: {'; '.join(problems)}",
            "the network of the run's spec",
            "Build another network with create_model instead of changing this one's layers",
        )
    target: _Target = importlib.import_module(f"residua.weights.sources.{peer}")
    state = {name: tensor.contiguous().clone() for name, tensor in target.from_ours(spec, tensors).items()}
    with atomic_path(path) as beside:
        if path.suffix == ".safetensors":
            safetensors.torch.save_file(state, beside, metadata={"format": "pt"})
        else:
            torch.save(state, beside)
    return PeerWeights(
        path, peer, peer_network.name, _code(spec, peer, peer_network, path), run.preprocess_spec, run.classes
    )


def _peer_network(spec: Spec, peer: str) -> PeerNetwork:
    """Return the peer's network, or say why it has none."""
    theirs = counterpart(spec, peer)
    peer_network = theirs.peer_network
    if peer_network is None:
        others = [name for name in PEERS if spec.name in PEER_NETWORKS[name]]
        raise InputError(
            f"{spec.name} for {peer}, which has no network that computes the same",
            f"one of {some(sorted(PEER_NETWORKS[peer]), 60)}",
            f"Use peer={others[0]!r}, which has it"
            if others
            else "Keep the run: model.safetensors holds plain tensors",
        )
    if theirs.departures:
        raise InputError(
            f"a {spec.name} with {theirs.sentence}: {peer}'s {peer_network.name} would compute "
            "something else with them",
            f"a {spec.name} as the catalog has it",
            "Keep the run: model.safetensors holds plain tensors",
        )
    if peer == "torchvision" and not spec.num_classes:
        raise InputError(
            f"a {spec.name} with num_classes=0 for torchvision, whose networks have a classifier",
            "a network with a classifier",
            "Use peer='timm', which builds networks without" if spec.name in PEER_NETWORKS["timm"] else "Keep the run",
        )
    if peer == "torchvision" and spec.in_channels != 3:
        raise InputError(
            f"a {spec.name} with {counted(spec.in_channels, 'input channel')} for torchvision, whose networks take 3",
            "a network with 3 input channels",
            "Use peer='timm', which builds any number" if spec.name in PEER_NETWORKS["timm"] else "Keep the run",
        )
    return peer_network


def _code(spec: Spec, peer: str, peer_network: PeerNetwork, path: Path) -> str:
    """Return the lines that build the peer's network and load the file."""
    reads = (
        f"safetensors.torch.load_file({str(path)!r})" if path.suffix == ".safetensors" else f"torch.load({str(path)!r})"
    )
    ends = f", num_classes={spec.num_classes}"
    if peer == "timm":
        ends += "" if spec.in_channels == 3 else f", in_chans={spec.in_channels}"
        made = f"timm.create_model({peer_network.name!r}{ends})"
    else:
        aux = getattr(spec, "aux_heads", None)
        # torchvision's own renormalisation would come on top of the run's preprocessing.
        ends += "" if aux is None else f", aux_logits={bool(aux)}, transform_input=False, init_weights=False"
        made = f"torchvision.models.get_model({peer_network.name!r}, weights=None{ends})"
    return f"model = {made}; model.load_state_dict({reads}, strict=True)"
