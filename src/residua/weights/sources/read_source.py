"""Read a file of a known source: tensors under our names, every one checked."""

from __future__ import annotations

import fnmatch
import importlib
import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from residua._base.errors import InputError, did_you_mean
from residua._base.files import check_local
from residua._base.run_files import MODEL_FILE
from residua._base.words import counted, some
from residua.families.members import classifier_tensors, input_tensors, state_shapes
from residua.specs.schema import Spec
from residua.weights.bundle.signed import is_bundle
from residua.weights.files.state_file import container_of
from residua.weights.peers.same_network import PEER_NETWORKS
from residua.weights.sources.names import SOURCES as SOURCES
from residua.weights.sources.source import Source, Tensors
from residua.weights.state_diff import differences, listed

# What else stands in place of a classifier: heads of self-supervised training, and of other frameworks.
_HEAD = re.compile(
    r"(head|heads|classifier|projection_head|prediction_head|projector|predictor|prototypes|mlp_head|1)\."
)
_ENDINGS = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar", ".h5", ".keras", ".index")
_LARGEST_COUNT = 2**53  # above it, not every whole number is a float
_FALLBACK = "torchvision"  # whose rules read what no source knows: its names are ours
_BACKGROUND = 1  # outputs that TensorFlow's ImageNet networks have more than classes


class ConvertedWeights(NamedTuple):
    """What `read_weights` returns.

    Attributes:
        spec: the network, its classes, channels and source-dependent fields as the file has them.
        tensors: the state dict of that network, every difference excluded.
        source: the name of the source; "" for our own names.
        notes: what was assumed or left out, a sentence each.
        headless: whether the file has no classifier, and `tensors` lack it.
    """

    spec: Spec
    tensors: Tensors
    source: str
    notes: tuple[str, ...]
    headless: bool = False


def read_weights(
    file: Path | str,
    spec: Spec,
    source: str | None = None,
    *,
    keep_background: int | None = None,
    new_classifier: bool = False,
) -> ConvertedWeights:
    """Read a file of a source and return the tensors as `spec`'s network has them, every one checked.

    Args:
        file: as in `convert`.
        spec: the network; its classes and channels follow the file.
        source: one of `SOURCES`; None: guessed.
        keep_background: how many outputs are wanted, where that is known: 1,001 keeps TensorFlow's background.
        new_classifier: a classifier will be drawn: a backbone without one, or with a head of another form, will do.

    Raises:
        InputError: as `convert`.
    """
    check_local("file", file)
    path = Path(file)
    if path.is_dir():
        raise InputError(
            f"{path} is a folder",
            "a file of weights",
            _instead_of(path),
        )
    if is_bundle(path):
        raise InputError(
            f"{path} is a Residua bundle", "somebody else's weights", "Use its folder as the run that it is"
        )
    name, tensors, notes = _read(path, source, spec)
    weights = ours_from(
        spec,
        tensors,
        name,
        subject=f"{path} ({name})" if name else str(path),
        keep_background=keep_background,
        new_classifier=new_classifier,
    )
    return weights._replace(notes=(*notes, *weights.notes))


def ours_from(
    spec: Spec,
    tensors: Mapping[str, Tensor],
    source: str,
    *,
    subject: str = "",
    keep_background: int | None = None,
    new_classifier: bool = False,
) -> ConvertedWeights:
    """Return a source's tensors as `spec`'s network has them, every one checked; what `read_weights` does with a file.

    Args:
        spec: the network; its classes and channels follow the tensors.
        tensors: under the source's names.
        source: one of `SOURCES`; "" for our own names.
        subject: what an error calls them.
        keep_background: as in `read_weights`.
        new_classifier: as in `read_weights`.

    Raises:
        InputError: as `convert`.
    """
    peer = get_source(source)
    left = [name for name in tensors if peer.TRAINING and re.fullmatch(peer.TRAINING, name)]
    tensors = {name: tensor for name, tensor in tensors.items() if name not in set(left)} if left else tensors
    spec = peer.adapt(spec, tensors)
    state = peer.to_ours(spec, tensors)
    spec, state, notes = _with_ends(spec, state, peer, keep_background)
    if left:
        notes.append(f"State of training left out: {counted(len(left), 'tensor')}, {some(left, 3)}.")
    wanted = state_shapes(spec)
    # Counters of batches, which old torch and every other framework do without; inference never reads them.
    for key in wanted:
        if key.endswith("num_batches_tracked"):
            state.setdefault(key, torch.zeros((), dtype=torch.int64))
    state = _with_whole_counters(state, wanted, notes)
    headless = new_classifier and bool(differences(wanted, state))
    if headless:
        wanted, state, head = _without_head(spec, wanted, state)
        notes += [f"The file's own head was left out: {some(head, 4)}."] if head else []
    problems = differences(wanted, state) or _not_finite(state)
    if (
        problems
        and not headless
        and not differences(*_without_head(spec, wanted, state)[:2])
        and not _not_finite(state)
    ):
        raise InputError(
            f"{subject or source} holds a backbone of {spec.name} without its classifier: {'; '.join(problems)}",
            "a backbone and its classifier",
            "Train a classifier on it: residua train DATA --model MODEL --weights FILE --out RUN; in Python, "
            "create_model(…, num_classes=N, weights=FILE) adds a new one",
        )
    if problems:
        raise InputError(
            f"{subject or source} does not fit {spec.name}: {'; '.join(problems)}",
            f"the weights of {spec.name}, as {source or 'Residua'} writes them",
            "Name the network that the file is for with model=…, or its source with source=…",
        )
    state = {key: state[key].to(tensor.dtype) for key, tensor in wanted.items()}
    return ConvertedWeights(spec, state, source, tuple(notes), headless)


def get_source(name: str) -> Source:
    """Return a source by its name; "" for our own names, which are torchvision's.

    Raises:
        InputError: no source of that name.
    """
    name = name or _FALLBACK
    if name not in SOURCES:
        raise InputError(f"source {name!r}", f"one of {', '.join(sorted(SOURCES))}", did_you_mean(name, SOURCES, 1))
    return Source.of(importlib.import_module(f"residua.weights.sources.{name}"))


def guessed_source(spec: Spec, names: Collection[str]) -> str:
    """Return the source that writes these names of tensors; "" where they are ours, of a network that it lacks."""
    name = next((name for name in SOURCES if get_source(name).recognises(names)), _FALLBACK)
    own = {key for key in state_shapes(spec) if not key.endswith("num_batches_tracked")}
    is_ours = name == _FALLBACK or own <= set(names)
    return "" if is_ours and spec.name not in PEER_NETWORKS.get(name, ()) else name


def trained_on(spec: Spec, source: str) -> str:
    """Return the data set whose class names weights have that come without any: of small images, or the source's."""
    if getattr(spec, "stem", "") == "cifar":
        return "cifar10"
    return get_source(source).DATA if source else ""


def _read(path: Path, source: str | None, spec: Spec) -> tuple[str, Tensors, list[str]]:
    """Return the source's name, its tensors, and a note where the source was guessed."""
    if source is not None:
        tensors = get_source(source).read(path)
        return source, tensors, [*getattr(tensors, "notes", ())]
    kind = container_of(path)
    if kind == "hdf5":
        return "keras", get_source("keras").read(path), ["Source guessed from the content, HDF5: keras."]
    for name in SOURCES:
        # Content before names: Lightning writes files of torch that end as TensorFlow's checkpoints do.
        if kind and not (kind == "torch" and name == "keras"):
            continue
        if any(fnmatch.fnmatchcase(path.name.lower(), pattern) for pattern in get_source(name).FILES):
            return name, get_source(name).read(path), [f"Source guessed from the name {path.name}: {name}."]
    tensors = get_source(_FALLBACK).read(path)
    name = guessed_source(spec, tensors.keys())
    notes = [f"Source guessed from the names of the tensors: {name}."] if name else []
    return name, tensors, [*getattr(tensors, "notes", ()), *notes]


def _without_head(
    spec: Spec, wanted: Mapping[str, Tensor], state: Tensors
) -> tuple[dict[str, Tensor], Tensors, list[str]]:
    """Return what is wanted and what is there without classifiers, and which tensors of the file were left out."""
    heads = classifier_tensors(spec)
    modules = tuple(f"{name.rpartition('.')[0]}." for name in heads)
    body = {name: tensor for name, tensor in wanted.items() if name not in heads}
    left = [
        name for name in state if name not in body and (name.startswith(modules) or name in heads or _HEAD.match(name))
    ]
    return body, {name: tensor for name, tensor in state.items() if name not in left}, left


def _with_whole_counters(state: Tensors, wanted: Mapping[str, Tensor], notes: list[str]) -> Tensors:
    """Return the tensors with counters as whole numbers, where a script turned all of a state dict into floats.

    A count beyond the largest number of its type became infinity: it is 0 then, which inference never reads.
    """
    floats = [name for name, like in wanted.items() if not like.is_floating_point() and name in state]
    floats = [name for name in floats if state[name].is_floating_point() and state[name].shape == wanted[name].shape]
    lost = [name for name in floats if name.endswith("num_batches_tracked") and bool((state[name] == math.inf).all())]
    if lost:
        notes.append(f"Counters of batches set to 0: {len(lost)} are infinity, {some(lost, 3)}.")
    whole = {name: state[name].double() for name in floats if name not in lost}
    whole = {name: t for name, t in whole.items() if bool(((t == t.round()) & (t.abs() <= _LARGEST_COUNT)).all())}
    return (
        state
        | {name: tensor.to(wanted[name].dtype) for name, tensor in whole.items()}
        | {name: torch.zeros(state[name].shape, dtype=wanted[name].dtype) for name in lost}
    )


def _instead_of(folder: Path) -> str:
    """Return what to give in place of a folder."""
    if is_bundle(folder / MODEL_FILE):
        return "A run needs no conversion; write_for(…, peer=…) writes its weights for torchvision or timm"
    files = sorted(path for path in folder.iterdir() if path.suffix in _ENDINGS)
    return f"Give a file in it: {some(map(str, files), 3)}" if files else "Give the file of weights"


def _with_ends(spec: Spec, state: Tensors, peer: Source, wanted: int | None) -> tuple[Spec, Tensors, list[str]]:
    """Return the spec with the file's channels and classes, and the tensors without the background's output."""
    notes: list[str] = []
    heads = classifier_tensors(spec)
    for key in input_tensors(spec)[:1]:
        if key in state and state[key].ndim == 4:
            spec = spec.edit(in_channels=state[key].shape[1])
    outputs = next((state[key].shape[0] for key in reversed(heads) if key in state and state[key].ndim), None)
    if outputs is None:
        return spec, state, notes
    classes = 1000 if wanted is None else wanted
    if peer.BACKGROUND_FIRST and outputs == classes + _BACKGROUND:
        state = {key: t[_BACKGROUND:] if key in heads and t.ndim else t for key, t in state.items()}
        outputs -= _BACKGROUND
        notes.append(f"The first of {outputs + _BACKGROUND} outputs, the background, was left out.")
    return spec.edit(num_classes=outputs), state, notes


def _not_finite(state: Tensors) -> list[str]:
    names = [name for name, t in state.items() if t.is_floating_point() and not t.isfinite().all()]
    return [f"{len(names)} with NaN or infinity: {listed(names)}"] if names else []
