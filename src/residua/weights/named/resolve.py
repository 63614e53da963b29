"""Weights by name, read: tensors under our names, strictly those of one network, with all that is known of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from residua._base.errors import InputError
from residua._base.http import public_address
from residua.families.members import state_shapes
from residua.specs.catalog import get_spec
from residua.specs.preprocess import PreprocessSpec, describe
from residua.specs.schema import Spec
from residua.weights.bundle.read import read_bundle
from residua.weights.bundle.signed import is_bundle
from residua.weights.files.hub_config import HubConfig, read_config
from residua.weights.files.state_file import container_of, read_state
from residua.weights.identity import Asked, Identity, identify
from residua.weights.named.locate import Located, locate
from residua.weights.peers.same_network import TWINS
from residua.weights.sources.read_source import Converted, get_source, read_weights
from residua.weights.state_diff import differences


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights that were found and read.

    Attributes:
        located: the file.
        identity: the network that they are of, and the one that was asked for.
        tensors: the state dict of `identity.theirs`, complete.
        source: whose names the file has; "" for our own.
        preprocess: the evaluation transform that they were trained for; None where it is unknown.
        classes: the names of the outputs; () where they are unknown.
        headless: whether they lack the classifier.
        notes: what was taken of the file, what was left out and what was assumed, a sentence each.
        assumed: the one of `notes` that states the preprocessing that was assumed; "" where the file states its own.
    """

    located: Located
    identity: Identity
    tensors: dict[str, Tensor]
    source: str
    preprocess: PreprocessSpec | None
    classes: tuple[str, ...]
    headless: bool = False
    notes: tuple[str, ...] = ()
    assumed: str = ""

    @property
    def spec(self) -> Spec:
        """Return the network that they are of, with their own number of classes and channels."""
        return self.identity.theirs

    @property
    def form(self) -> dict[str, Any]:
        """Return the fields that the network asked for takes from them; see `Identity.form`."""
        return self.identity.form


def resolve(name: str | Path, asked: Asked | None = None, *, new_classifier: bool = False) -> Weights:
    """Find weights by name (see `locate`), fetch them where they are not in the cache, and read them.

    Args:
        name: as for `locate`.
        asked: the network that they are for, whatever its number of classes and channels; None: the weights state it
            themselves, as a run and the Hub's config.json do.
        new_classifier: as in `read_weights`.

    Raises:
        InputError: as `locate`; weights of a different network, or of one that nothing states; tensors that are
            missing, unexpected or misshapen (all are named). Pickles are read as tensors alone; nothing in them is
            executed.
    """
    located = locate(name, None if asked is None else asked.spec)
    if is_bundle(located.path):
        bundle, tensors = read_bundle(located.path, located.config)
        identity = identify(located.name, bundle.spec, asked)
        return Weights(located, identity, tensors, "", bundle.preprocess, bundle.classes)
    config = read_config(located.config) if located.config else HubConfig()
    spec = _wanted(name, located, config, asked)
    read = _read(located.path, spec, located.source or config.source, new_classifier)
    theirs, source = read.spec, read.source
    classes = located.classes or config.classes
    preprocess = located.preprocess or config.preprocess
    assumed = ""
    if preprocess is None and spec.name in TWINS.get(source, ()):
        preprocess = get_source(source).preprocess(theirs, located.path.name)
        assumed = (
            f"Preprocessing assumed, as {source}'s weights for this network expect: {describe(preprocess)}. Where the "
            "file's own is different, convert the file and state it."
        )
    classes = classes if len(classes) == theirs.num_classes else ()
    identity = identify(located.name, theirs, asked)
    notes = (*read.notes, *([assumed] if assumed else []))
    return Weights(located, identity, read.tensors, source, preprocess, classes, read.headless, notes, assumed)


def _wanted(name: str | Path, located: Located, config: HubConfig, asked: Asked | None) -> Spec:
    """Return the network to read a file as: the one asked for, else the one that its config.json states."""
    stated = get_spec(config.network) if config.network is not None else None
    if asked is not None:
        if stated is not None:
            identify(located.name, stated, asked)
        return asked.spec
    if stated is None:
        architecture = f", of {config.architecture!r}" if config.architecture else ""
        raise InputError(
            f"{public_address(str(name))}{architecture}, which does not say which of our networks it is for",
            "a run, or weights with a config.json that names a network of `residua models`",
            "Name the network: load(…, model=NAME)",
        )
    return stated


def _read(path: Path, spec: Spec, source: str | None, new_classifier: bool) -> Converted:
    """Return the network as the file has it, its tensors, and whose names they were; "" for our own."""
    if source is None and container_of(path) in ("torch", "safetensors") and path.suffix != ".keras":
        state = read_state(path)
        wanted = state_shapes(spec)
        if state.keys() == wanted.keys() and not differences(wanted, state):
            return Converted(spec, state, "", state.notes)
    return read_weights(path, spec, source, new_classifier=new_classifier)
