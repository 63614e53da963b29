"""The published weights that Residua knows by name, as their publishers' packages state them; no torch is imported."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import PurePosixPath
from typing import Any

from residua._base.errors import InputError, did_you_mean
from residua.specs.preprocess import PreprocessSpec

SOURCES = ("torchvision", "timm")
"""Who published them, in the order of preference."""
HUB = "hf://"
"""What begins the name of a location that is a repository of the Hub."""


@dataclass(frozen=True)
class Location:
    """Where the weights can be downloaded.

    Attributes:
        address: of the file; or `hf://ORG/REPO`, whose server states the hash of its file when it is asked.
        sha256: the first digits of the file's SHA-256, as the publisher's file name carries them; "" for a repository.
    """

    address: str
    sha256: str

    @property
    def repository(self) -> str:
        """Return the name of the repository, "" for the address of a file."""
        return self.address.removeprefix(HUB) if self.address.startswith(HUB) else ""


@dataclass(frozen=True)
class PublishedWeights:
    """The weights of one network by one publisher.

    Attributes:
        network: ours.
        name: `torchvision:WEIGHTS` or `timm:TAG`, as `create_model` and `train` take it.
        locations: in the order in which they are tried; files of the same weights, which need not be the same bytes.
        bytes: of the file at the first location, to 0.1 MiB; None where the publisher does not state it.
        top1: share of ImageNet-1k's validation images, one view, with `preprocess`; None where it is not known.
        top5: likewise.
        accuracy_by: who states the accuracies, "" where nobody does.
        licence: by its SPDX name, "" where the publisher does not state one.
        licence_by: who states it.
        training: where the publisher describes how they were trained, "" where it does not.
        preprocess: the evaluation transform that they were trained for.
        default: whether the publisher takes them where no others are named.
    """

    network: str
    name: str
    locations: tuple[Location, ...]
    bytes: int | None
    top1: float | None
    top5: float | None
    accuracy_by: str
    licence: str
    licence_by: str
    training: str
    preprocess: PreprocessSpec
    default: bool

    @property
    def source(self) -> str:
        """Return who published them, one of `SOURCES`."""
        return self.name.partition(":")[0]

    @property
    def tag(self) -> str:
        """Return the publisher's name of them."""
        return self.name.partition(":")[2]

    @property
    def is_restricted(self) -> bool:
        """Return whether the licence forbids commercial use; such weights are never taken unless they are named."""
        return "-nc-" in self.licence

    def __str__(self) -> str:
        accuracy = "accuracy not stated" if self.top1 is None else f"{self.top1:.2%} top-1 on ImageNet"
        return f"{self.name}: {accuracy}, licence {self.licence or 'not stated'}"


@functools.cache
def published_weights() -> tuple[PublishedWeights, ...]:
    """Return every row, sorted by network; of a network torchvision's first, and the publisher's default first."""
    text = (resources.files("residua") / "weights" / "published" / "catalog.json").read_text(encoding="utf-8")
    return tuple(_row(each) for each in json.loads(text)["weights"])


def weights_of(network: str, source: str | None = None) -> tuple[PublishedWeights, ...]:
    """Return the rows of a network, the preferred one first; () where there are none.

    Args:
        network: our name of it.
        source: one of `SOURCES`; None for all of them.
    """
    rows = [row for row in published_weights() if row.network == network]
    return tuple(row for row in rows if source in (None, row.source))


def default_weights(network: str) -> PublishedWeights | None:
    """Return the weights that training begins with by default; None where there are none of a free licence."""
    return next((row for row in weights_of(network) if row.default and not row.is_restricted), None)


def find_weights(network: str, name: str = "") -> PublishedWeights:
    """Return a row by the network and by who published it.

    Args:
        network: our name of it.
        name: "torchvision", "timm", the whole name with a tag, or "" for the default.

    Raises:
        InputError: no such network or row; what there is, is named.
    """
    rows = weights_of(network)
    if not rows:
        networks = list(dict.fromkeys(row.network for row in published_weights()))
        raise InputError(
            f"published weights of {network!r}, of which the catalog has none",
            "a network that has some; `residua weights` lists them",
            did_you_mean(network, networks, 2),
        )
    source, _, tag = name.partition(":")
    suits = [row for row in rows if source in ("", row.source)]
    if tag and tag != "DEFAULT":
        suits = [row for row in suits if row.tag == tag]
    elif not all(row.is_restricted for row in suits):
        # A licence that forbids commercial use is never chosen for somebody.
        suits = sorted((row for row in suits if not row.is_restricted), key=lambda row: not row.default)
    if not suits:
        names = [row.name for row in rows]
        raise InputError(
            f"{name} of {network}",
            f"one of {', '.join(names)}",
            did_you_mean(name, [*names, *SOURCES], 1) or f"Use {names[0]}",
        )
    return suits[0]


def _row(fields: dict[str, Any]) -> PublishedWeights:
    locations = tuple(Location(address, _hash_in(address)) for address in fields["locations"])
    return PublishedWeights(
        **fields | {"locations": locations, "preprocess": PreprocessSpec.from_json(fields["preprocess"])}
    )


def _hash_in(address: str) -> str:
    """Return the hash that ends the name of a file, by torch.hub's convention; "" for a repository."""
    return "" if address.startswith(HUB) else PurePosixPath(address).stem.rpartition("-")[2]
