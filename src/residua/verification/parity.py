"""The same weights in, the same logits out: one network of ours beside a peer's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from residua._base.errors import InputError
from residua.families.build import build
from residua.specs.catalog import get_spec
from residua.specs.schema import Spec
from residua.verification.keras_peer import has_one_size
from residua.verification.peers import PEERS
from residua.weights.peers.same_network import peer_network_of
from residua.weights.sources.read_source import ours_from

# Height and width, pixels: unequal, so that no transposition hides; small, and legal for every network of the family.
_SIZES = {"resnet": (48, 80), "densenet": (48, 80), "vgg": (48, 80), "inception_v3": (299, 320)}
_LEAST = (96, 128)  # for every other family


class OtherTensors(InputError):
    """The tensors of a peer's network are not those of ours."""


@dataclass(frozen=True)
class ParityReceipt:
    """One comparison of logits.

    Attributes:
        peer: the library.
        model: its name of the network.
        version: of the library.
        precision: in which both computed.
        input: (B, C, H, W) of the images, normally distributed.
        error: the largest difference of two logits over the largest logit; infinite where ours are not finite.
        response: how much the logits follow the image: the largest difference of a logit between the two images, over
            the largest logit. A proof of networks that ignore their input would prove nothing.
        limit: the largest `error` that counts as equal.
    """

    peer: str
    model: str
    version: str
    precision: str
    input: tuple[int, int, int, int]
    error: float
    response: float
    limit: float

    @property
    def ok(self) -> bool:
        """Whether both compute the same logits, on images whose logits differ."""
        return self.error <= self.limit and self.response >= 100 * self.limit


@torch.no_grad()
def compare(name: str, peer: str, *, seed: int = 0, **edits: Any) -> ParityReceipt:
    """Give a peer's network random weights, convert them, and compare the logits of two random images.

    Args:
        name: of a network for which `peer_network_of(name, peer)` has one.
        peer: one of `PEERS`, installed.
        seed: of the weights and the images.
        edits: of our network, beside those that make it the peer's.

    Raises:
        OtherTensors: the conversion refused the peer's tensors.
        InputError: the peer has no such network; our network gives no logits of an image.
    """
    peer_network, library = peer_network_of(name, peer), PEERS[peer]
    if peer_network is None:
        raise InputError(f"{name} for peer={peer!r}", "a network that the peer has", "Name a different peer")
    spec = get_spec(name, **peer_network.edits | edits)
    spec.require_logits(f"comparing logits with {peer}'s")
    height, width = _size(spec, peer)
    generator = torch.Generator().manual_seed(seed + 1)
    images = torch.randn(2, spec.in_channels, height, width, generator=generator, dtype=library.precision)
    theirs = library.answer(peer_network, spec, images, seed)
    try:
        ours = ours_from(spec, theirs.tensors, peer, subject=f"{peer}'s {peer_network.name}")
    except InputError as refusal:
        raise OtherTensors(refusal.given, refusal.wanted, refusal.remedy) from refusal
    with torch.device("meta"):
        network = build(ours.spec)
    network.load_state_dict(ours.tensors, strict=True, assign=True)
    logits = network.to(library.precision).eval()(images)
    scale = theirs.logits.abs().max()
    error = ((logits - theirs.logits).abs().max() / scale).item()
    return ParityReceipt(
        peer=peer,
        model=peer_network.name,
        version=library.version,
        precision=str(library.precision).removeprefix("torch."),
        input=(len(images), spec.in_channels, height, width),
        error=error if error == error else float("inf"),
        response=((theirs.logits[0] - theirs.logits[1]).abs().max() / scale).item(),
        limit=library.limit,
    )


def _size(spec: Spec, peer: str) -> tuple[int, int]:
    if peer == "keras" and has_one_size(spec):
        return spec.input_size, spec.input_size
    return _SIZES.get(spec.family, _LEAST)
