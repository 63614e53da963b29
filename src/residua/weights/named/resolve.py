"""Weights by name, read: tensors under our names, strictly those of one network, with all that is known of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from residua._base.errors import InputError
from residua._base.words import some
from residua.families.members import state_shapes
from residua.specs.catalog import get_spec
from residua.specs.preprocess import PreprocessSpec
from residua.specs.schema import Spec
from residua.weights.bundle.bundle import check_config, load_bundle
from residua.weights.bundle.config import OURS, config_of, network_of, preprocess_of, read_config
from residua.weights.convert import get_source, read_weights
from residua.weights.files.state_file import is_bundle, read_state
from residua.weights.named.locate import Located, locate
from residua.weights.peers.same_network import TWINS, unlike
from residua.weights.state_diff import differences

_PLAIN = (".safetensors", ".pth", ".pt", ".bin", ".th", ".ckpt", "")


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights that were found and read.

    Attributes:
        located: the file.
        spec: the network that they are of, with the file's own number of classes and channels.
        tensors: its state dict, complete.
        source: whose names the file has; "" for our own.
        preprocess: the evaluation transform that they were trained for; None where nobody says.
        classes: the names of the outputs; () where nobody says.
        form: fields that the network asked for has otherwise, though nobody asked for their values: it is to be
            built with these.
    """

    located: Located
    spec: Spec
    tensors: dict[str, Tensor]
    source: str
    preprocess: PreprocessSpec | None
    classes: tuple[str, ...]
    form: dict[str, Any] = field(default_factory=dict)


def resolve(given: str | Path, spec: Spec | None = None, asked: Collection[str] | None = None) -> Weights:
    """Find weights by name (see `locate`), fetch them where they are not at hand, and read them.

    Args:
        given: as for `locate`.
        spec: the network that they are for, whatever its number of classes and channels; None: the weights say it
            themselves, as a run and the Hub's config.json do.
        asked: the fields of `spec` that were asked for, where the others only come with its name: in those the
            network follows its weights, see `Weights.form`. None: all of them.

    Raises:
        InputError: as `locate`; weights of another network, or that do not say of which; tensors that are missing,
            unexpected or misshapen (all are named). Pickles are read as tensors alone; nothing in them is executed.
    """
    located = locate(given, spec)
    if is_bundle(located.path):
        return _from_bundle(located, spec, asked)
    config = read_config(located.config) if located.config else {}
    named = network_of(config)
    if spec is None:
        if named is None:
            architecture = f", of {config['architecture']!r}" if config.get("architecture") else ""
            raise InputError(
                f"{given}{architecture}, which does not say which of our networks it is for",
                "a run, or weights with a config.json that names a network of `residua models`",
                "Name the network: load(…, model=NAME)",
            )
        spec = get_spec(named)
    elif named is not None:
        refuse_another(located, get_spec(named), spec, asked)
    by_timm = named is not None and config["architecture"] != f"{OURS}{named}"
    found, tensors, source = _read(located.path, spec, located.source or ("timm" if by_timm else None))
    names = config.get("label_names")
    classes = located.classes or (tuple(map(str, names)) if isinstance(names, list) else ())
    preprocess = located.preprocess or preprocess_of(config)
    if preprocess is None and spec.name in TWINS.get(source, ()):
        preprocess = get_source(source).preprocess(found, located.path.name)
    classes = classes if len(classes) == found.num_classes else ()
    form = refuse_another(located, found, spec, asked)
    return Weights(located, found, tensors, source, preprocess, classes, form)


def _from_bundle(located: Located, spec: Spec | None, asked: Collection[str] | None) -> Weights:
    bundle = load_bundle(located.path)
    if located.config is not None:
        check_config(located.config, config_of(bundle.spec, bundle.classes, bundle.preprocess))
    form = refuse_another(located, bundle.spec, spec, asked) if spec is not None else {}
    return Weights(located, bundle.spec, bundle.tensors, "", bundle.preprocess, bundle.classes, form)


def refuse_another(located: Located, theirs: Spec, ours: Spec, asked: Collection[str] | None = None) -> dict[str, Any]:
    """Refuse weights that would fit and compute something else, as those of another stride do.

    Returns:
        What `Weights.form` holds.
    """
    free = set() if asked is None or theirs.name != ours.name else unlike(ours, theirs).keys() - set(asked)
    apart = {name: pair for name, pair in unlike(ours, theirs, loading=True).items() if name not in free}
    if apart:
        fields = [f"{name} {there!r} there, {here!r} here" for name, (here, there) in apart.items()]
        edits = ", ".join(f"{name}={there!r}" for name, (_, there) in apart.items())
        raise InputError(
            f"{located.given} holds a {theirs.name} for a {ours.name}, which differs: {some(fields, 8, '; ')}",
            "the weights of the same network; classes and channels may differ",
            f"Build {theirs.name}" + (f" with {edits}" if theirs.name == ours.name else "") + ", or give other weights",
        )
    return {name: getattr(theirs, name) for name in unlike(ours, theirs) if name in free}


def _read(path: Path, spec: Spec, source: str | None) -> tuple[Spec, dict[str, Tensor], str]:
    """Return the network as the file has it, its tensors, and whose names they were; "" for our own."""
    if source is None and path.suffix in _PLAIN and path.is_file():
        tensors = read_state(path)
        wanted = state_shapes(spec)
        if tensors.keys() == wanted.keys() and not differences(wanted, tensors):
            return spec, tensors, ""
    found = read_weights(path, spec, source)
    return found.spec, found.tensors, found.source
