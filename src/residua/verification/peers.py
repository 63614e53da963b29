"""The peers: which are installed, and how each builds one of its networks with weights that hide nothing."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from residua.specs.schema import Spec
from residua.verification import keras_peer, slim_peer
from residua.verification.draws import BIASES, LEAST_VARIANCE, MEANS_OFF, SCALES, VARIANCE_FACTORS
from residua.weights.peers.same_network import PeerNetwork
from residua.weights.sources.source import Tensors


@dataclass(frozen=True)
class Answer:
    """What a peer's network computes for a batch, and the weights that it uses.

    Attributes:
        tensors: under the peer's names, float32 (the network computed with these very numbers).
        logits: (B, num_classes), on the CPU, in the precision of the peer.
    """

    tensors: Tensors
    logits: Tensor


@dataclass(frozen=True)
class Peer:
    """A library that has networks of ours too, or an independent reading of its published graph.

    Attributes:
        name: of the peer, and of its module of `residua.weights.sources`.
        modules: what must be importable.
        install: the command that installs it.
        precision: what its networks compute in here.
        limit: the relative error of the logits that still counts as the same function, in that precision.
        answer: (peer_network, spec, images (B, C, H, W) float64, seed) -> its logits and its weights.
        graph: which published graph is computed in place of the library; "" for the library itself.
    """

    name: str
    modules: tuple[str, ...]
    install: str
    precision: torch.dtype
    limit: float
    answer: Callable[[PeerNetwork, Spec, Tensor, int], Answer]
    graph: str = ""

    @property
    def installed(self) -> bool:
        """Whether its modules can be found; nothing is imported."""
        return all(importlib.util.find_spec(module) is not None for module in self.modules)

    @property
    def version(self) -> str:
        """The installed version, or the graph that was read."""
        return self.graph or importlib.metadata.version(self.modules[0])


def drawn(network: nn.Module, images: Tensor, seed: int = 0) -> nn.Module:
    """Draw every parameter and statistic of a network, none left at a default that could hide a difference.

    Kernels keep the variance of activations (He 2015); the rest is drawn from the ranges of `draws`. Statistics are
    those of `images` (B, C, H, W), somewhat off: with others, activations would grow with depth until rounding decides
    the logits. A network on the meta device is put on the CPU.

    Raises:
        RuntimeError: a parameter or buffer that no rule knows: it would hide.
    """
    if any(parameter.is_meta for parameter in network.parameters()):
        network.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    norms = [layer for layer in network.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    scales = {id(layer.weight) for layer in norms}
    with torch.no_grad():
        for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
            kind = name.rpartition(".")[2]
            if kind == "weight" and tensor.ndim > 1:
                tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5, generator=generator)
            elif id(tensor) in scales:
                tensor.uniform_(*SCALES, generator=generator)
            elif kind == "bias":
                tensor.uniform_(*BIASES, generator=generator)
            elif kind not in ("running_mean", "running_var", "num_batches_tracked"):
                raise RuntimeError(f"{name}: no rule draws it")
            else:
                tensor.zero_()
        _measure(network, norms, images)
        for layer in norms:
            mean, variance = layer.running_mean, layer.running_var
            if mean is None or variance is None:
                raise RuntimeError("a norm without statistics: the comparison would depend on the batch")
            variance.clamp_(min=LEAST_VARIANCE * float(variance.mean()))
            mean += variance.sqrt() * torch.empty_like(mean).uniform_(*MEANS_OFF, generator=generator)
            variance *= torch.empty_like(variance).uniform_(*VARIANCE_FACTORS, generator=generator)
    return network.eval()


def _measure(network: nn.Module, norms: list[nn.modules.batchnorm._BatchNorm], images: Tensor) -> None:
    """Set every statistic to that of one batch."""
    kept = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 1.0
    if norms:
        network.train()(images.to(torch.float32))
    for layer, momentum in zip(norms, kept, strict=True):
        layer.momentum = momentum


def absent(peers: Iterable[str]) -> dict[str, str]:
    """Return the install command of each named peer that is not installed."""
    return {name: PEERS[name].install for name in peers if not PEERS[name].installed}


def _torchvision(peer_network: PeerNetwork, spec: Spec, images: Tensor, seed: int) -> Answer:
    models = importlib.import_module("torchvision.models")
    aux = getattr(spec, "aux_heads", None)
    # Its initialisation is slow for these two, and every weight is drawn below.
    options = {} if aux is None else {"aux_logits": aux, "init_weights": False, "transform_input": False}
    with torch.device("meta"):
        network = models.get_model(peer_network.name, weights=None, num_classes=spec.num_classes, **options)
    return _answer(network, images, seed)


def _timm(peer_network: PeerNetwork, spec: Spec, images: Tensor, seed: int) -> Answer:
    timm = importlib.import_module("timm")
    with torch.device("meta"):
        network = timm.create_model(peer_network.name, num_classes=spec.num_classes, in_chans=spec.in_channels)
    return _answer(network, images, seed)


@torch.no_grad()
def _answer(network: nn.Module, images: Tensor, seed: int) -> Answer:
    drawn(network, images, seed)
    tensors = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    return Answer(tensors, network.to(images.dtype)(images))


def _keras(peer_network: PeerNetwork, spec: Spec, images: Tensor, seed: int) -> Answer:
    logits, tensors = keras_peer.logits_and_weights(peer_network, spec, images, seed)
    return Answer(tensors, logits)


def _slim(peer_network: PeerNetwork, spec: Spec, images: Tensor, seed: int) -> Answer:
    logits, tensors = slim_peer.logits_and_weights(peer_network, spec, images, seed)
    return Answer(tensors, logits)


PEERS: dict[str, Peer] = {
    "torchvision": Peer("torchvision", ("torchvision",), "pip install torchvision", torch.float64, 1e-9, _torchvision),
    "timm": Peer("timm", ("timm",), "pip install 'residua[peers]'", torch.float64, 1e-9, _timm),
    "keras": Peer("keras", ("keras", "tensorflow"), "pip install 'residua[peers]'", torch.float64, 1e-9, _keras),
    "slim": Peer("slim", ("torch",), "pip install residua", torch.float64, 1e-9, _slim, slim_peer.GRAPH),
}
