"""The layer of a class activation map: the last convolution, or the one named."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch

from residua._base.errors import InputError, did_you_mean
from residua._base.words import some
from residua.families.build import outline
from residua.families.members import members
from residua.specs.schema import Spec

WITHOUT_LAYERS = ("integrated-gradients", "smoothgrad", "occlusion")
"""The methods that need no feature map."""


@dataclass(frozen=True)
class Layer:
    """An end point whose output is a map.

    Attributes:
        name: the name of the end point.
        index: its position in `parts()`.
        shape: its output for one image: channels, height, width.
        learns: whether it has parameters.
    """

    name: str
    index: int
    shape: tuple[int, int, int]
    learns: bool


def target_layer(spec: Spec, height: int, width: int, name: str | None = None) -> Layer:
    """Return the layer to weight for images of this size.

    By default the last end point that has parameters and more than one pixel: the last convolutional layer, as in
    Selvaraju et al. 2017, section 3. In VGG that is conv5_3, not the pool behind it, and never a map that a small
    image reduces to one pixel.

    Args:
        spec: the network.
        height: height of the images, pixels.
        width: width of the images, pixels.
        name: an end point, or a prefix such as `layer3`, which stands for the last end point below it.

    Raises:
        InputError: no such layer; a layer without spatial extent; a network without feature maps.
    """
    layers = _maps(spec, height, width)
    spatial = [layer for layer in layers if layer.shape[1] * layer.shape[2] > 1]
    if not spatial:
        raise InputError(
            f"a class activation map of {spec.name} at {height} × {width} pixels",
            "feature maps of more than one pixel: none of its layers has one",
            f"Use {' or '.join([', '.join(WITHOUT_LAYERS[:-1]), WITHOUT_LAYERS[-1]])}, which explain any network",
        )
    if name is None:
        return next((layer for layer in reversed(spatial) if layer.learns), spatial[-1])
    within = [layer for layer in layers if layer.name == name or layer.name.startswith((f"{name}.", f"{name}/"))]
    names = [layer.name for layer in spatial]
    if not within:
        wanted = some(names, 12) if len(names) <= 12 else f"one of {names[0]}, {names[1]}, … {names[-1]}"
        remedy = did_you_mean(name, names) or "Leave it out for the last suitable layer"
        raise InputError(f"layer {name!r} of {spec.name}", wanted, remedy)
    if within[-1] not in spatial:
        raise InputError(
            f"layer {name!r} of {spec.name}, whose map is one pixel at {height} × {width}",
            "a layer with more than one pixel",
            f"The last is {names[-1]}",
        )
    return within[-1]


def has_maps(spec: Spec, height: int, width: int) -> bool:
    """Return whether the network has feature maps for images of this size, pixels."""
    return any(layer.shape[1] * layer.shape[2] > 1 for layer in _maps(spec, height, width))


@lru_cache(16)
def _maps(spec: Spec, height: int, width: int) -> tuple[Layer, ...]:
    """Return the end points that are maps, in order. Only shapes are computed."""
    twin = outline(spec).eval()
    learning = {member.name for member in members(spec) if member.parameters}
    x = torch.empty(1, spec.in_channels, height, width, device="meta")
    layers = []
    with torch.no_grad():
        for index, (name, part) in enumerate(twin.parts()):
            x = part(x)
            if x.dim() == 4:
                layers.append(Layer(name, index, (x.shape[1], x.shape[2], x.shape[3]), name in learning))
    return tuple(layers)
