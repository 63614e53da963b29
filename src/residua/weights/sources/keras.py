"""Keras's weights: the networks of Keras Applications and of its CIFAR-10 example, without Keras or TensorFlow."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from residua._base.errors import InputError, did_you_mean
from residua._base.words import some
from residua.families.members import state_shapes
from residua.specs.catalog import list_models
from residua.specs.preprocess import CIFAR_MEAN, IMAGENET_MEAN, IMAGENET_STD, PreprocessSpec
from residua.specs.schema import Spec
from residua.weights.files.keras_file import UNNAMED, read_layers
from residua.weights.peers.same_network import PEER_NETWORKS
from residua.weights.sources.keras_graph import CONV, DENSE, NORM, Graph, Layer
from residua.weights.sources.keras_networks import graph_of, has, old_resnet
from residua.weights.sources.source import Tensors, add_gammas, laid_out

FILES: tuple[str, ...] = ("*.h5", "*.hdf5", "*.keras")

_Layers = dict[str, dict[str, Tensor]]

_VARIABLES = {
    CONV: {"kernel": "weight", "bias": "bias"},
    DENSE: {"kernel": "weight", "bias": "bias"},
    NORM: {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"},
}
# Means of the images that the Caffe networks were trained on, R, G, B of 255; Keras subtracts them from B, G, R.
_CAFFE_MEAN = (123.68, 116.779, 103.939)
# keras_applications' first ResNet-50 leaves the epsilon of its normalisations at Keras's default.
_OLD_EPS = 1e-3


def read(path: Path) -> Tensors:
    """See `Source`. Names are "layer/variable", as `residua.weights.files.keras_file.read_layers` has them."""
    return {name: torch.from_numpy(values) for name, values in read_layers(path).items()}


def recognises(names: Collection[str]) -> bool:
    """See `Source`."""
    return any(re.fullmatch(r".+/(kernel|moving_mean)", name) for name in names)


def adapt(spec: Spec, tensors: Mapping[str, Tensor]) -> Spec:
    """See `Source`. Old files of ResNet-50 and DenseNet have an epsilon of their own, Inception no gamma."""
    if not has(spec.name):
        known = [name for name in list_models() if has(name)]
        raise InputError(
            f"{spec.name} for weights of Keras",
            f"a network that Keras has: {some(known, 12)}",
            did_you_mean(f"{spec.name}_keras", known, 1),
        )
    if not any(_kind(layer) == DENSE for layer in _layers(tensors).values()):
        raise InputError(
            "a file without a classifier (include_top=False)",
            f"all of {spec.name}, its last layer too",
            "Save the weights of the whole classifier; a run needs one to predict",
        )
    if _is_old(spec, tensors):
        return spec.edit(bn_eps=_OLD_EPS)
    peer_network = PEER_NETWORKS["keras"].get(spec.name)
    return spec.edit(**peer_network.edits) if peer_network else spec


def to_ours(spec: Spec, tensors: Mapping[str, Tensor]) -> Tensors:
    """See `Source`. Where Keras feeds B, G, R, the first kernel is turned to take R, G, B."""
    graph = old_resnet(spec.depths) if _is_old(spec, tensors) else graph_of(spec)  # type: ignore[attr-defined]
    layers = _layers(tensors)
    ours = _assigned(spec, graph, layers)
    state: Tensors = {}
    for name, variables in layers.items():
        kind, module = (ours[name].kind, ours[name].ours) if name in ours else ("", "")
        for variable, tensor in variables.items():
            target = _VARIABLES.get(kind, {}).get(variable)
            if target is None:
                state[f"{name}/{variable}"] = tensor
            else:
                state[f"{module}.{target}"] = laid_out(tensor) if variable == "kernel" else tensor
    if spec.family == "vgg":
        _flatten_as_ours(spec, state)
    first = f"{graph.made(CONV)[0].ours}.weight"
    if takes_bgr(spec) and first in state and state[first].shape[1:2] == (3,):
        state[first] = state[first].flip(1)
    add_gammas(state, state_shapes(spec))
    return state


def takes_bgr(spec: Spec) -> bool:
    """Return whether Keras's weights come from Caffe, which sees B, G, R and levels of 255."""
    return spec.family == "vgg" or re.fullmatch(r"resnet\d+_keras", spec.name) is not None


def preprocess(spec: Spec, file: str) -> PreprocessSpec:
    """See `Source`. Of the CIFAR example, whose mean of each pixel no file holds, the mean of each channel."""
    size = spec.input_size
    if getattr(spec, "stem", "") == "cifar":
        return PreprocessSpec(size, size, mean=CIFAR_MEAN, std=(1.0, 1.0, 1.0))
    resize = round(size * 256 / 224)
    if takes_bgr(spec):
        red, green, blue = (level / 255 for level in _CAFFE_MEAN)
        return PreprocessSpec(size, resize, mean=(red, green, blue), std=(1 / 255,) * 3)
    if spec.family == "densenet":
        return PreprocessSpec(size, resize, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    return PreprocessSpec(size, resize, mean=(0.5,) * 3, std=(0.5,) * 3)


def _is_old(spec: Spec, tensors: Mapping[str, Tensor]) -> bool:
    return spec.name == "resnet50_keras" and any(name.startswith("res2a_branch2a/") for name in tensors)


def _layers(tensors: Mapping[str, Tensor]) -> _Layers:
    layers: _Layers = {}
    for name, tensor in tensors.items():
        layer, _, variable = name.rpartition("/")
        layers.setdefault(layer, {})[variable] = tensor
    return layers


def _kind(variables: Mapping[str, Tensor]) -> str:
    if "moving_mean" in variables:
        return NORM
    return {4: CONV, 2: DENSE}.get(variables["kernel"].ndim, "") if "kernel" in variables else ""


def _assigned(spec: Spec, graph: Graph, layers: _Layers) -> dict[str, Layer]:
    """Return which layer of the graph each layer of the file is."""
    named = {layer.name: layer for layer in graph.layers if layer.name and layer.kind}
    counted = any(name.startswith(UNNAMED) for name in layers)
    assigned = {} if counted else {name: named[name] for name in layers if name in named}
    problems = []
    for kind in (CONV, NORM, DENSE):
        wanted = graph.saved(kind) if counted else [layer for layer in graph.made(kind) if layer.name is None]
        pattern = rf"{UNNAMED}.+" if counted else rf"{kind}(_\d+)?"
        numbered = [
            name
            for name, variables in layers.items()
            if name not in assigned and _kind(variables) == kind and re.fullmatch(pattern, name)
        ]
        if wanted and len(wanted) != len(numbered):
            problems.append(f"{len(numbered)} of {kind} where it has {len(wanted)}")
        elif wanted:
            assigned |= zip(_by_number(numbered), wanted, strict=True)
    if problems:
        raise InputError(
            f"a file whose numbered layers are not those of {spec.name}: {'; '.join(problems)}",
            f"the file of Keras's {spec.name}, whole and unchanged",
            "Name the network that the file is for with model=…",
        )
    return assigned


def _by_number(names: Iterable[str]) -> list[str]:
    """Sort `conv2d`, `conv2d_1`, …: the first has no number, and numbers may begin anywhere."""

    def key(name: str) -> tuple[str, int]:
        base, _, number = name.rpartition("_")
        return (base, int(number)) if number.isdecimal() else (name, 0)

    return sorted(names, key=key)


def _flatten_as_ours(spec: Spec, state: Tensors) -> None:
    """Reorder a kernel behind a flattened map: Keras goes by rows, columns, channels, torch by channels first."""
    name = "classifier.0.weight"
    kernel, grid, width = state.get(name), spec.grid, spec.widths[-1]  # type: ignore[attr-defined]
    if kernel is not None and kernel.ndim == 2 and kernel.shape[1] == grid * grid * width:
        state[name] = kernel.reshape(-1, grid, grid, width).permute(0, 3, 1, 2).flatten(1)
