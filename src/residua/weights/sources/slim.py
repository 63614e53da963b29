"""TF-slim's weights: ResNet v1 and v2 and the Inception networks, from checkpoints of TensorFlow without TensorFlow."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from residua._base.errors import InputError, did_you_mean
from residua._base.words import some
from residua.families.members import state_shapes
from residua.specs.catalog import list_models
from residua.specs.preprocess import PreprocessSpec
from residua.specs.schema import Spec
from residua.weights.files.tf_checkpoint import read_checkpoint
from residua.weights.sources.source import Tensors, add_gammas, laid_out

BACKGROUND_FIRST = True
FILES: tuple[str, ...] = ("*.ckpt", "*.ckpt-*", "*.index", "*.data-*-of-*", "*.meta")
# Counters, averages, and what optimizers keep for each variable.
TRAINING = (
    r"(.*/)?(global_step|local_step|beta[12]_power|\w*learning_rate|ExponentialMovingAverage|biased"
    r"|Momentum|RMSProp|Adam|AdaMax|Adagrad|Adadelta|Ftrl)(_\d+)?"
)

_LEAVES = {
    "weights": "weight",
    "biases": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
# Slim's mean of ImageNet's images, R, G, B of 255, for the networks that keep the levels (vgg_preprocessing.py).
_MEAN = (123.68, 116.78, 103.94)
_NETWORKS = r"resnet(50|101|152|200)_v2_slim|resnet(50|101|152)_v1|inception_v[34]|inception_resnet_v2"

# Scope of a block of convolutions -> our module. Slim's names sort in the order in which a block's convolutions are
# made, and that is the order of our modules.
_BLOCKS: dict[str, dict[str, str]] = {
    "inception_v3": {
        name: name
        for name in (
            *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3"),
            *(f"Mixed_{block}" for block in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c")),
        )
    },
    "inception_v4": {
        name: f"features.{block}"
        for block, name in enumerate(
            (
                *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Mixed_3a", "Mixed_4a", "Mixed_5a"),
                *(f"Mixed_5{letter}" for letter in "bcde"),
                *(f"Mixed_6{letter}" for letter in "abcdefgh"),
                *(f"Mixed_7{letter}" for letter in "abcd"),
            )
        )
    },
    "inception_resnet_v2": {
        **{f"Conv2d_{block}_{kernel}": f"conv2d_{block}" for block, kernel in (("1a", "3x3"), ("2a", "3x3"))},
        **{f"Conv2d_{block}_{kernel}": f"conv2d_{block}" for block, kernel in (("2b", "3x3"), ("3b", "1x1"))},
        **{f"Conv2d_{block}_{kernel}": f"conv2d_{block}" for block, kernel in (("4a", "3x3"), ("7b", "1x1"))},
        **{f"Mixed_{block}": f"mixed_{block}" for block in ("5b", "6a", "7a")},
        **{f"Repeat/block35_{unit + 1}": f"repeat.{unit}" for unit in range(10)},
        **{f"Repeat_1/block17_{unit + 1}": f"repeat_1.{unit}" for unit in range(20)},
        **{f"Repeat_2/block8_{unit + 1}": f"repeat_2.{unit}" for unit in range(9)},
        "Block8": "block8",
    },
}
_HEADS = {"inception_v3": "fc", "inception_v4": "last_linear", "inception_resnet_v2": "classif"}


def read(path: Path) -> Tensors:
    """See `Source`."""
    return {name: torch.from_numpy(np.asarray(values)) for name, values in read_checkpoint(path).items()}


def recognises(names: Collection[str]) -> bool:
    """See `Source`."""
    return any(re.fullmatch(r".+/(weights|moving_variance)", name) for name in names)


def adapt(spec: Spec, tensors: Mapping[str, Tensor]) -> Spec:
    """See `Source`. ResNet v1 has TensorFlow's pool, the Inceptions their auxiliary head or none."""
    if not re.fullmatch(_NETWORKS, spec.name):
        known = [name for name in list_models() if re.fullmatch(_NETWORKS, name)]
        raise InputError(
            f"{spec.name} for weights of TF-slim",
            f"a network that it has: {some(known, 12)}",
            did_you_mean(f"{spec.name}_slim", known, 1),
        )
    if spec.name.endswith("_v1"):
        # Its stride in the last unit of a stage computes what a stride in the next stage's first 1×1 does.
        return spec.edit(pool_padding="same")
    aux = any("/AuxLogits/" in name for name in tensors)
    if spec.name == "inception_v3":
        return spec.edit(bn_scale=False, pool_counts_padding=False, aux_heads=aux, dropout=0.2)
    return spec.edit(aux_heads=aux) if spec.name.startswith("inception") else spec


def to_ours(spec: Spec, tensors: Mapping[str, Tensor]) -> Tensors:
    """See `Source`."""
    wanted = state_shapes(spec)
    names = sorted({name.rpartition("/")[0] for name in tensors})
    scopes = _inception(spec, names, wanted) if spec.name in _BLOCKS else _resnet(spec, names)
    state: Tensors = {}
    for name, tensor in tensors.items():
        scope, _, leaf = name.rpartition("/")
        target = f"{scopes[scope]}.{_LEAVES[leaf]}" if scope in scopes and leaf in _LEAVES else name
        state[target] = laid_out(tensor, wanted.get(target)) if leaf == "weights" else tensor
    add_gammas(state, wanted)
    return state


def preprocess(spec: Spec, file: str) -> PreprocessSpec:
    """See `Source`. ResNet v2 was published for 299 pixels, and fed as the Inceptions are."""
    if spec.name.endswith("_v1"):
        red, green, blue = (level / 255 for level in _MEAN)
        return PreprocessSpec(
            spec.input_size, round(spec.input_size * 256 / 224), "bilinear", (red, green, blue), (1 / 255,) * 3
        )
    size = 299 if spec.input_size == 224 else spec.input_size
    return PreprocessSpec(size, round(size / 0.875), mean=(0.5,) * 3, std=(0.5,) * 3)


def _resnet(spec: Spec, scopes: Collection[str]) -> dict[str, str]:
    """Map each scope to our module. In v2 the norm behind a convolution is the next one's, and `preact` is the
    first's."""
    release = 1 if spec.name.endswith("_v1") else 2
    top = {"conv1": "conv1", "conv1/BatchNorm": "bn1", "postnorm": "norm", "logits": "fc"}
    inner = {"preact": "bn1", "shortcut": "downsample.0", "shortcut/BatchNorm": "downsample.1"}
    inner |= {f"conv{k}": f"conv{k}" for k in (1, 2, 3)}
    inner |= {f"conv{k}/BatchNorm": f"bn{k + release - 1}" for k in (1, 2, 3)}
    names = {}
    for scope in scopes:
        path = scope.partition("/")[2]
        unit = re.fullmatch(rf"block(\d+)/unit_([1-9]\d*)/bottleneck_v{release}/(.+)", path)
        if unit and unit[3] in inner:
            names[scope] = f"layer{unit[1]}.{int(unit[2]) - 1}.{inner[unit[3]]}"
        elif path in top:
            names[scope] = top[path]
    return names


def _inception(spec: Spec, scopes: Collection[str], wanted: Mapping[str, Tensor]) -> dict[str, str]:
    """Map each scope to our module, block by block."""
    names = {}
    blocks = {**_BLOCKS[spec.name], "AuxLogits": "AuxLogits"}
    ours: dict[str, list[str]] = {}
    for name, tensor in wanted.items():
        prefix = max((own for own in blocks.values() if name.startswith(f"{own}.")), key=len, default="")
        if prefix and name.endswith(".weight") and (tensor.ndim == 4 or (prefix == "AuxLogits" and tensor.ndim == 2)):
            ours.setdefault(prefix, []).append(name.removesuffix(".weight"))
    theirs: dict[str, list[str]] = {}
    for scope in scopes:
        path = scope.partition("/")[2]
        if path.startswith("Logits/"):
            names[scope] = _HEADS[spec.name]
        elif not path.endswith("/BatchNorm"):
            block = next((block for block in blocks if f"{path}/".startswith(f"{block}/")), None)
            theirs.setdefault(blocks[block], []).append(scope) if block else None
    for prefix, group in theirs.items():
        # The classifier of the auxiliary head comes last; its name sorts before the convolutions' in one network.
        group.sort(key=lambda scope: (f"{scope}/BatchNorm" not in scopes, scope))
        if len(group) == len(ours.get(prefix, [])):
            for scope, module in zip(group, ours[prefix], strict=True):
                names[scope] = module
                names[f"{scope}/BatchNorm"] = re.sub(r"conv$", "bn", module)
    return names
