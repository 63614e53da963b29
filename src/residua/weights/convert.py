"""Strangers' weights at home: a file of a known source -> a run folder that says all that it needs."""

from __future__ import annotations

import fnmatch
import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from residua._base.errors import InputError, did_you_mean
from residua._base.files import check_name
from residua._base.words import compact, some
from residua.families.build import spec_of
from residua.families.members import classifier_tensors, input_tensors, state_shapes
from residua.families.sizes import check_input
from residua.specs.preprocess import PreprocessSpec
from residua.specs.schema import Spec
from residua.weights.bundle.bundle import CONFIG_FILE, MODEL_FILE, save_bundle
from residua.weights.class_names import class_names
from residua.weights.files.state_file import is_bundle
from residua.weights.named.locate import sha256_weights
from residua.weights.run import Run, load
from residua.weights.sources.source import Source, Tensors
from residua.weights.state_diff import differences

# In the order in which names are tried: the last, whose names our networks share, takes what no other knows.
SOURCES = ("keras", "slim", "cifar_resnet", "timm", "torchvision")
_BACKGROUND = 1  # outputs that TensorFlow's ImageNet networks have more than classes


class Converted(NamedTuple):
    """What `read_weights` returns.

    Attributes:
        spec: the network, its classes, channels and source-dependent fields as the file has them.
        tensors: the state dict of that network, every difference excluded.
        source: the name of the source.
        notes: what was assumed or left out, a sentence each.
    """

    spec: Spec
    tensors: Tensors
    source: str
    notes: tuple[str, ...]


def convert(
    file: Path | str,
    *,
    model: str | Spec,
    out: Path | str,
    source: str | None = None,
    classes: Path | str | Sequence[str] | None = None,
    image_size: int | None = None,
    preprocess: PreprocessSpec | None = None,
) -> Run:
    """Convert a file of weights into a run folder, ready for evaluate, predict and further training.

    Args:
        file: the weights: `.pth`, `.safetensors`, `.h5`, `.keras`, or a TensorFlow checkpoint's prefix.
        model: the network that they are for: a name of the catalog or a spec. Classes and channels follow the file.
        out: the run folder to write; it must not exist, or be empty.
        source: who wrote the file, one of `SOURCES`; None: guessed from the names of the tensors, and noted.
        classes: names in the order of the outputs: a list, or a text file with one a line. None: those of the data
            set that the source's weights were trained on where their number fits, else class_0, class_1, …
        image_size: side of the network's input, pixels; None: what the source's weights were trained for.
        preprocess: the evaluation transform; None: the source's.

    Returns:
        The run. Its `data` says where it comes from: source, name and SHA-256 of the file (see `sha256_weights`), and
        notes.

    Raises:
        InputError: an unreadable or unsafe file; tensors that are missing, unexpected or misshapen (all are named);
            class names that do not fit; a side that the network does not take; an `out` that is in use. Nothing is
            written then.
    """
    check_name("file", file)
    check_name("out", out)
    path, folder = Path(file), Path(out)
    _refuse_used(folder)
    spec = spec_of(model)
    if image_size is not None:
        check_input(spec, image_size)
    found = read_weights(path, spec, source, keep_background=_count(classes))
    spec = found.spec
    data = "cifar10" if getattr(spec, "stem", "") == "cifar" else get_source(found.source).DATA
    names, named = class_names(classes, spec.num_classes, data)
    preprocess = preprocess or get_source(found.source).preprocess(spec, path.name)
    if image_size is not None:
        preprocess = resized(preprocess, image_size)
    if preprocess.image_size != spec.input_size:
        check_input(spec, preprocess.image_size)
        spec = spec.edit(input_size=preprocess.image_size)
    origin = {
        "source": found.source,
        "file": path.name,
        "sha256": sha256_weights(path),
        "notes": [*found.notes, *([named] if named else [])],
    }
    save_bundle(
        folder,
        tensors=found.tensors,
        spec=spec,
        classes=names,
        preprocess=preprocess,
        metrics={},
        data={"converted": origin},
    )
    return load(folder)


def read_weights(
    file: Path | str, spec: Spec, source: str | None = None, *, keep_background: int | None = None
) -> Converted:
    """Read a file of a source and return the tensors as `spec`'s network has them, every one checked.

    Args:
        file: as in `convert`.
        spec: the network; its classes and channels follow the file.
        source: one of `SOURCES`; None: guessed.
        keep_background: how many outputs are wanted, where that is known: 1,001 keeps TensorFlow's background.

    Raises:
        InputError: as `convert`.
    """
    path = Path(file)
    if path.is_dir():
        raise InputError(
            f"{path} is a folder",
            "a file of weights",
            "A run folder needs no conversion; to write its weights for somebody else: --to torchvision or --to timm",
        )
    if is_bundle(path):
        raise InputError(
            f"{path} is a Residua bundle", "somebody else's weights", "Use its folder as the run that it is"
        )
    name, tensors, notes = _read(path, source)
    found = ours_from(spec, tensors, name, given=f"{path} ({name})", keep_background=keep_background)
    return found._replace(notes=(*notes, *found.notes))


def ours_from(
    spec: Spec, tensors: Mapping[str, Tensor], source: str, *, given: str = "", keep_background: int | None = None
) -> Converted:
    """Return a source's tensors as `spec`'s network has them, every one checked; what `read_weights` does with a file.

    Args:
        spec: the network; its classes and channels follow the tensors.
        tensors: under the source's names.
        source: one of `SOURCES`.
        given: what an error calls them.
        keep_background: as in `read_weights`.

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
        notes.append(f"State of training left out: {len(left)} tensors, {some(left, 3)}.")
    wanted = state_shapes(spec)
    # Counters of batches, which old torch and every other framework do without; inference never reads them.
    for key in wanted:
        if key.endswith("num_batches_tracked"):
            state.setdefault(key, torch.zeros((), dtype=torch.int64))
    problems = differences(wanted, state) + _not_finite(state)
    if problems:
        raise InputError(
            f"{given or source} does not fit {spec.name}: {'; '.join(problems)}",
            f"the weights of {spec.name}, as {source} writes them",
            "Name the network that the file is for with --model, or its source with --from",
        )
    state = {key: state[key].to(tensor.dtype) for key, tensor in wanted.items()}
    return Converted(spec, state, source, tuple(notes))


def get_source(name: str) -> Source:
    """Return the module of a source.

    Raises:
        InputError: no source of that name.
    """
    if name not in SOURCES:
        raise InputError(f"source {name!r}", f"one of {', '.join(sorted(SOURCES))}", did_you_mean(name, SOURCES, 1))
    module: Source = importlib.import_module(f"residua.weights.sources.{name}")
    return module


def resized(preprocess: PreprocessSpec, image_size: int) -> PreprocessSpec:
    """Return the transform for another side, pixels, the crop's share of the image kept."""
    share = preprocess.resize / preprocess.image_size
    return replace(preprocess, image_size=image_size, resize=max(image_size, round(image_size * share)))


def _read(path: Path, source: str | None) -> tuple[str, Tensors, list[str]]:
    """Return the source's name, its tensors, and a note where the source was guessed."""
    if source is not None:
        return source, get_source(source).read(path), []
    for name in SOURCES:
        if any(fnmatch.fnmatchcase(path.name.lower(), pattern) for pattern in get_source(name).FILES):
            return name, get_source(name).read(path), [f"Source guessed from the name {path.name}: {name}."]
    tensors = get_source("torchvision").read(path)
    name = next((n for n in SOURCES if get_source(n).recognises(tensors.keys())), "torchvision")
    return name, tensors, [f"Source guessed from the names of the tensors: {name}."]


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
    return [f"{len(names)} with NaN or infinity: {', '.join(compact(names))}"] if names else []


def _count(classes: Path | str | Sequence[str] | None) -> int | None:
    return None if classes is None else len(class_names(classes, None, "imagenet")[0])


def _refuse_used(folder: Path) -> None:
    if folder.is_file():
        raise InputError(f"{folder} is a file", "a folder to write the run to", "Give another --out")
    held = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    if held:
        what = "a run already" if {MODEL_FILE, CONFIG_FILE} & set(held) else "other things"
        raise InputError(
            f"{folder} holds {what}: {some(held, 5)}", "a folder that does not exist, or is empty", "Give another --out"
        )
