"""Parts of a network: the layers down to a layer or a resolution, and those that lead to the logits."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from residua._base.errors import InputError, did_you_mean
from residua.anatomy.anatomy import Anatomy, Group, Layer, grouped
from residua.families.end_points import stage_of

_SIDES = re.compile(r"(\d{1,6})(?:[x×](\d{1,6}))?")
# What reads one tensor and keeps its shape belongs to the layer before it.
_FOLLOWS = ("batch_norm", "relu", "dropout", "sigmoid", "tanh", "softmax", "local_response_norm")


def trunk(layers: Sequence[Layer]) -> frozenset[str]:
    """Return the names of the layers that lead to the logits; side heads are not among them."""
    known = {layer.name: layer for layer in layers if layer.runs}
    waiting = list(known)[-1:]
    names: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in known and name not in names:
            names.add(name)
            waiting += known[name].inputs
    return frozenset(names)


def layers_until(anatomy: Anatomy, until: str | int) -> tuple[Layer, ...]:
    """Return the layers from the first one down to `until`, which is included.

    Args:
        until: a layer, an end point or a stage, which count as a whole; or a resolution in pixels, such as 28 or
            "14x28". A resolution takes all layers through the first one whose output has it, with the normalisation and
            activation behind.

    Raises:
        InputError: the network has no such layer and no such resolution.
    """
    text = str(until).strip()
    layers = [layer for layer in anatomy.layers if layer.runs]
    for names in (
        [layer.name for layer in layers],
        [layer.part for layer in layers],
        [stage_of(layer.part) for layer in layers],
    ):
        if text in names:
            return tuple(layers[: len(names) - names[::-1].index(text)])
    leading = trunk(layers)
    sizes = [layer.output[1:] if layer.name in leading and len(layer.output) == 3 else () for layer in layers]
    wanted = _SIDES.fullmatch(text)
    size = (int(wanted[1]), int(wanted[2] or wanted[1])) if wanted else None
    if size not in sizes:
        there = ["×".join(map(str, each)) for each in dict.fromkeys(sizes) if each]
        known = [layer.name for layer in layers] + [layer.part for layer in layers]
        raise InputError(
            f"until={text!r} for {anatomy.name}",
            f"one of its layers or end points, or a resolution that it has: {', '.join(there)}",
            _nearest_size(text, [each for each in sizes if each]) or did_you_mean(text, known) or f"Use {there[0]}",
        )
    end = sizes.index(size) + 1
    while end < len(layers) and layers[end].operation in _FOLLOWS and layers[end].inputs == (layers[end - 1].name,):
        end += 1
    return tuple(layers[:end])


def _nearest_size(text: str, sizes: Sequence[tuple[int, ...]]) -> str:
    """Return the question whether the resolution nearest to a number was meant; "" where the text is no number."""
    try:
        side = float(text)
    except ValueError:
        return ""
    near = min(sizes, key=lambda size: abs(math.log(size[0] / max(side, 1.0))) if math.isfinite(side) else 0.0)
    return f"Did you mean {near[0] if near[0] == near[1] else 'x'.join(map(str, near))}?"


def subtotal(anatomy: Anatomy, until: str | int) -> Group:
    """Return the sums over `layers_until`, under the name "until 28"."""
    return grouped(f"until {until}", layers_until(anatomy, until))
