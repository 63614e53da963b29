"""timm's weights: the names of its `resnet*` and `densenet*` are ours; its other networks are renamed by rule."""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import Literal

from torch import Tensor

from residua._base.errors import InputError
from residua.specs.preprocess import IMAGENET_MEAN, IMAGENET_STD, PreprocessSpec, is_thumbnail
from residua.specs.schema import Spec
from residua.weights.peers.same_network import PEER_NETWORKS
from residua.weights.sources.source import Tensors, rename, with_aux_heads

Rules = tuple[tuple[str, str], ...]

# Each pair (timm's, ours) holds in both directions; "#" stands for a number, "#+" for one that ours counts from 1.
_PRE_ACTIVATED: Rules = (
    ("stem.conv.*", "conv1.*"),
    ("stages.#+.blocks.#.downsample.conv.*", "layer#.#.downsample.0.*"),
    ("stages.#+.blocks.#.norm#.*", "layer#.#.bn#.*"),
    ("stages.#+.blocks.#.*", "layer#.#.*"),
    ("head.fc.*", "fc.*"),
)
_LEGACY_SE: Rules = (
    ("layer0.conv1.*", "conv1.*"),
    ("layer0.bn1.*", "bn1.*"),
    ("layer#.#.se_module.*", "layer#.#.se.*"),
    ("last_linear.*", "fc.*"),
)
# The deep stem of SENet-154 is one Sequential here, and its last norm is the stem's.
_LEGACY_SENET: Rules = (
    ("layer0.conv1.*", "conv1.0.*"),
    ("layer0.bn1.*", "conv1.1.*"),
    ("layer0.conv2.*", "conv1.3.*"),
    ("layer0.bn2.*", "conv1.4.*"),
    ("layer0.conv3.*", "conv1.6.*"),
    ("layer0.bn3.*", "bn1.*"),
    *_LEGACY_SE[2:],
)
_VGG: Rules = (
    ("pre_logits.fc1.*", "classifier.0.*"),
    ("pre_logits.fc2.*", "classifier.3.*"),
    ("head.fc.*", "classifier.6.*"),
)

# (our name, share of the image that is cropped, filter, mean and std of 0.5): what its default weights ask for.
_FED: tuple[tuple[str, float, Literal["bilinear", "bicubic"], bool], ...] = (
    ("resnet18_v2", 0.9, "bicubic", True),
    ("resnet34_v2", 0.9, "bicubic", True),
    ("resnet*_v2", 0.95, "bicubic", True),
    ("inception_resnet_v2", 0.8975, "bicubic", True),
    ("inception_v[34]", 0.875, "bicubic", True),
    ("seresnet*_v1", 0.875, "bilinear", False),
    ("senet154", 0.875, "bilinear", False),
    ("vgg*", 0.875, "bilinear", False),
    ("wide_resnet101_2", 0.875, "bilinear", False),
    ("resnext101_32x8d", 0.875, "bilinear", False),
    ("wide_resnet50_2", 0.875, "bicubic", False),
    ("densenet*", 0.875, "bicubic", False),
    ("seresnet1??", 0.875, "bicubic", False),
    ("*", 0.95, "bicubic", False),
)


def recognises(names: Collection[str]) -> bool:
    """See `Source`. Networks whose names it shares with torchvision are taken for torchvision's."""
    own = r"stem\.conv\.|stages\.|layer0\.|pre_logits\.|head\.fc\.|last_linear\.|conv2d_1a\.|layer\d+\.\d+\.se\."
    return any(re.match(own, name) for name in names)


def adapt(spec: Spec, tensors: Mapping[str, Tensor]) -> Spec:
    """See `Source`. Names tell the SE networks of the authors' form ("legacy", stride in the 1×1) from timm's own."""
    legacy = any(name.startswith("layer0.") for name in tensors)
    bare = spec.name.removesuffix("_v1")
    wanted = f"{bare}_v1" if legacy else bare
    if re.fullmatch(r"seresnet\d+(_v1)?", spec.name) and wanted != spec.name:
        form = "legacy_seresnet*, stride in the first 1×1" if legacy else "seresnet*, stride in the 3×3"
        raise InputError(
            f"{spec.name} for weights of timm's {form}", f"the network of that form, {wanted}", f"Use model={wanted!r}"
        )
    return with_aux_heads(spec, tensors)


def to_ours(spec: Spec, tensors: Mapping[str, Tensor]) -> Tensors:
    """See `Source`. Classifiers that timm writes as convolutions become the linear layers that ours are."""
    renamed = rename(tensors, _renaming(_rules(spec), back=False))
    if spec.family == "vgg":
        linear = ("classifier.0.weight", "classifier.3.weight", "classifier.6.weight")
        return {name: tensor.flatten(1) if name in linear else tensor for name, tensor in renamed.items()}
    head = renamed.get("fc.weight")
    if head is not None and head.shape[2:].numel() == 1:
        flat = head.flatten(1)
        renamed["fc.weight"] = flat if getattr(spec, "head", "linear") == "linear" else flat[:, :, None, None]
    return renamed


def from_ours(spec: Spec, tensors: Mapping[str, Tensor]) -> Tensors:
    """Return the tensors of the spec's network under timm's names and in its layouts."""
    # A classifier written as a 1×1 convolution (`head="conv"`) is linear there; only the pre-activated have it so.
    flat = {name: t.flatten(1) if name == "fc.weight" else t for name, t in tensors.items()}
    renamed = rename(flat, _renaming(_rules(spec), back=True))
    if spec.family == "vgg":
        for name in ("pre_logits.fc1.weight", "pre_logits.fc2.weight"):
            side = math.isqrt(renamed[name].shape[1] // 512) if name == "pre_logits.fc1.weight" else 1
            renamed[name] = renamed[name].reshape(len(renamed[name]), -1, side, side)
    elif "head.fc.weight" in renamed:
        renamed["head.fc.weight"] = renamed["head.fc.weight"][:, :, None, None]
    return {name: t for name, t in renamed.items() if not name.startswith("AuxLogits.")}


def preprocess(spec: Spec, file: str) -> PreprocessSpec | None:
    """See `Source`. What the weights ask for that timm takes by default; other tags may crop otherwise."""
    if spec.name not in PEER_NETWORKS["timm"] or is_thumbnail(spec.input_size):
        return None
    crop, interpolation, halves = next(row[1:] for row in _FED if fnmatch.fnmatchcase(spec.name, row[0]))
    mean, std = ((0.5,) * 3, (0.5,) * 3) if halves else (IMAGENET_MEAN, IMAGENET_STD)
    return PreprocessSpec(spec.input_size, math.floor(spec.input_size / crop), interpolation, mean, std)


def _rules(spec: Spec) -> Rules:
    if spec.family == "vgg":
        return _VGG
    if spec.name == "senet154":
        return _LEGACY_SENET
    if spec.name.endswith("_v1"):
        return _LEGACY_SE
    return _PRE_ACTIVATED if getattr(spec, "activation", "") == "full_pre" else ()


def _renaming(rules: Rules, *, back: bool) -> Callable[[str], str]:
    ordered = [(ours, theirs, -1) if back else (theirs, ours, 1) for theirs, ours in rules]
    compiled = [(_pattern(old), new, step if "#+" in old + new else 0) for old, new, step in ordered]

    def rule(name: str) -> str:
        for pattern, new, step in compiled:
            match = pattern.fullmatch(name)
            if match:
                *numbers, rest = match.groups()
                if step:
                    numbers[0] = str(int(numbers[0]) + step)
                for number in numbers:
                    new = re.sub(r"#\+?", number, new, count=1)
                return new.replace("*", rest)
        return name

    return rule


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(re.escape(text).replace(r"\#\+", r"(\d+)").replace(r"\#", r"(\d+)").replace(r"\*", "(.+)"))
