"""The names of end points: the vocabularies of torchvision, TF-slim and Keras, and the stages that names belong to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from residua._base.errors import InputError, did_you_mean
from residua.specs.resnet import ResNetSpec

PRE_ACTIVATED = ("relu_only_pre", "full_pre")

# What end points of one stage have in common, in each vocabulary; a unit's number within its stage comes last.
_STAGES = re.compile(
    r"""(layer\d+)\.\d+            # torchvision's ResNets
    |   (.+/block\d+)/unit_\d+/.+ # slim's
    |   (conv\d+)_block\d+_out     # Keras's
    |   (conv\d+)_\d+              # VGG
    |   ((?:conv|pool)\d+)/.+      # GoogLeNet in Caffe
    |   (inception_?\d)[a-z](?:/output)?
    |   (Mixed_\d)[a-z]""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Vocabulary:
    """What the end points of a residual network are called.

    Attributes:
        stem: the stem as a whole, or its convolution and its pool.
        unit: a unit, with {stage} and {block} (counted from 1 and from 2), {index} and {number} (from 0 and from 1).
        last: the last activation.
        always_last: whether `last` is a point where units are not pre-activated, and nothing is left to activate.
    """

    stem: tuple[str, ...]
    unit: str
    last: str
    always_last: bool = False

    def of_unit(self, stage: int, index: int) -> str:
        """Return the name of a unit: its stage and its place in it, both counted from 0."""
        return self.unit.format(stage=stage + 1, block=stage + 2, index=index, number=index + 1)


def vocabulary(spec: ResNetSpec) -> Vocabulary:
    """Return the names that `spec.end_points` asks for."""
    match spec.end_points:
        case "slim":
            scope, release = slim_scope(spec), slim_release(spec)
            unit = f"{scope}/block{{stage}}/unit_{{number}}/bottleneck_v{release}"
            return Vocabulary((f"{scope}/conv1", f"{scope}/pool1"), unit, f"{scope}/postnorm")
        case "keras":
            return Vocabulary(("pool1_pool",), "conv{block}_block{number}_out", "post_relu")
        case "torchvision":
            return Vocabulary(("stem",), "layer{stage}.{index}", "features", always_last=True)


def slim_release(spec: ResNetSpec) -> int:
    """Return which of TF-slim's two modules has the network: 2 where units are pre-activated."""
    return 2 if spec.activation in PRE_ACTIVATED else 1


def slim_scope(spec: ResNetSpec) -> str:
    """Return TF-slim's name of a network: `resnet_v2_50`, with or without its root block."""
    return f"resnet_v{slim_release(spec)}_{spec.depth + (spec.stem == 'none')}"


def stage_of(name: str) -> str:
    """Return the stage that an end point belongs to: "layer1" for "layer1.0", "conv3" for "conv3_2"; else itself."""
    match = _STAGES.fullmatch(name)
    return name if match is None else next(group for group in match.groups() if group)


def resolve_point(name: str, known: Sequence[str], network: str) -> str:
    """Return the end point that a name means: itself, or the last of those that begin with it, as `layer4` does.

    Args:
        name: what was asked for.
        known: the names of the end points, in the order of the network.
        network: its name, for the error.

    Raises:
        InputError: there is none; names the nearest.
    """
    within = [point for point in known if point == name or point.startswith((f"{name}.", f"{name}/"))]
    if not within:
        raise InputError(
            f"end point {name!r} of {network}",
            f"one of {', '.join(known) if len(known) <= 12 else f'{known[0]}, {known[1]}, … {known[-1]}'}",
            did_you_mean(name, known),
        )
    return within[-1]
