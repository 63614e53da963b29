"""Weights by name, read: tensors under our names, strictly those of one network, with all that is known of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from residua._base.errors import InputError
from residua._base.public import public_address
from residua.families.members import state_shapes
from residua.specs.catalog import get_spec
from residua.specs.preprocess import PreprocessSpec
from residua.specs.provenance import Provenance
from residua.specs.schema import Spec
from residua.weights.bundle.read import read_bundle
from residua.weights.bundle.signed import is_bundle
from residua.weights.bundle.value import Bundle
from residua.weights.files.hub_config import HubConfig, read_config
from residua.weights.files.state_file import container_of, read_state
from residua.weights.identity import Identity, Target, identify
from residua.weights.named.locate import WeightsFile, is_remote, locate
from residua.weights.preprocess.settle import Statements, settle_preprocess
from residua.weights.sources.read_source import ConvertedWeights, guessed_source, read_weights
from residua.weights.state_diff import differences


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights that were found and read.

    Attributes:
        located: the file.
        identity: the network that they are of, and the one to build of them.
        tensors: the state dict of `identity.theirs`, complete but for `headless`.
        provenance: what is known of them, for the network that they are loaded into.
        bundle: what a run states beside them; None for weights of other people.
        headless: whether they lack the classifier.
        multilabel: whether their config.json states that an image may have several labels; a run states it by itself.
        assumed: the one of the notes that states the preprocessing that was assumed; "" where the file states its own.
    """

    located: WeightsFile
    identity: Identity
    tensors: dict[str, Tensor]
    provenance: Provenance
    bundle: Bundle | None = None
    headless: bool = False
    assumed: str = ""
    multilabel: bool = False

    @property
    def spec(self) -> Spec:
        """Return the network that they are of, with their own number of classes and channels."""
        return self.identity.theirs

    @property
    def preprocess(self) -> PreprocessSpec:
        """Return the evaluation transform that they were trained for, stated or assumed."""
        return self.provenance.preprocess

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the names of the outputs; () where they are unknown."""
        return self.provenance.classes


def resolve(name: str | Path, target: Target | None = None, *, new_classifier: bool = False) -> Weights:
    """Find weights by name (see `locate`), fetch them where they are not in the cache, and read them.

    Which network they are of is decided here, once. It is what a bundle or a config.json states, else the network
    wanted, in the form that the file has.

    Args:
        name: as for `locate`.
        target: the network that they are wanted for, whatever its number of classes and channels; None: the weights
            state it themselves, as a run and the Hub's config.json do.
        new_classifier: as in `read_weights`.

    Raises:
        InputError: as `locate`; weights of a different network, or of one that nothing states; tensors that are
            missing, unexpected or misshapen (all are named). Pickles are read as tensors alone; nothing in them is
            executed.
    """
    located = locate(name, None if target is None else target.spec)
    if is_bundle(located.path):
        bundle, tensors = read_bundle(located.path, located.config)
        identity = identify(located.name, bundle.spec, target)
        provenance = Provenance(
            located.name, located.sha256, bundle.preprocess, "", bundle.classes, form=tuple(identity.form.items())
        )
        return Weights(located, identity, tensors, provenance, bundle)
    config = read_config(located.config) if located.config else HubConfig()
    read = _read(located.path, _stated(name, config, target), located.source or config.source, new_classifier)
    identity = identify(located.name, read.spec, target)
    classes = located.classes or config.classes
    remote = is_remote(located.name)
    statements = Statements(located.preprocess, located.config, located.processor)
    settled = settle_preprocess(
        read.spec, read.source, located.path, statements if remote else Statements.beside(located.path)
    )
    provenance = Provenance(
        located.name,
        located.sha256,
        settled.spec,
        read.source,
        classes if len(classes) == read.spec.num_classes else (),
        form=tuple(identity.form.items()),
        notes=(*read.notes, *filter(None, (settled.assumption,))),
    )
    return Weights(
        located,
        identity,
        read.tensors,
        provenance,
        headless=read.headless,
        assumed=settled.assumption,
        multilabel=config.multilabel,
    )


def _stated(name: str | Path, config: HubConfig, target: Target | None) -> Spec:
    """Return the network to read a file as: the one that its config.json states, else the one wanted."""
    if config.network is not None:
        stated = get_spec(config.network)
        return stated if target is None else stated.edit(**_ends(target.spec))
    if target is not None:
        return target.spec
    architecture = f", of {config.architecture!r}" if config.architecture else ""
    raise InputError(
        f"{public_address(str(name))}{architecture}, which does not say which of our networks it is for",
        "a run, or weights with a config.json that names a network of `residua models`",
        "Name the network: load(…, model=NAME)",
    )


def _ends(spec: Spec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in ("num_classes", "in_channels", "input_size")}


def _read(path: Path, spec: Spec, source: str | None, new_classifier: bool) -> ConvertedWeights:
    """Return the network as the file has it, its tensors, and whose names they were; "" for our own."""
    if source is None and container_of(path) in ("torch", "safetensors") and path.suffix != ".keras":
        state = read_state(path)
        wanted = state_shapes(spec)
        if state.keys() == wanted.keys() and not differences(wanted, state):
            return ConvertedWeights(spec, state, guessed_source(spec, state.keys()), state.notes)
    if not spec.num_classes:  # the file may have a classifier, which nothing takes, or none
        spec, new_classifier = spec.edit(num_classes=get_spec(spec.name).num_classes), True
    return read_weights(path, spec, source, new_classifier=new_classifier)
