"""A network without its head: the feature maps that detection and segmentation build upon."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from residua._base.errors import InputError
from residua.families.build import outline
from residua.families.end_points import resolve_point
from residua.families.members import members
from residua.families.network import Classifier
from residua.specs.schema import Spec

# An image so large that its padding does not blur the ratio of its side to a map's.
_LARGE = 8192


class Backbone(nn.Module):
    """Feature maps of a network at several strides.

    Shapes: (B, spec.in_channels, H, W) -> an ordered mapping from key to (B, channels[i], H / strides[i],
    W / strides[i]), in the order of the network.

    Args:
        network: the network; it is taken over, and what no map needs is removed from it: head, auxiliary heads, and
            all that comes after the last map.
        out_indices: which of the maps, counted from 0; negative numbers count from the end. None: all. There is one
            map a stride: the last end point that has it.
        names: end points to return instead, by name; what several begin with, such as `layer4`, means the last of them.
            A mapping renames: {"layer4": "out"}.

    Attributes:
        network: what is left of the network; its state-dict names are those of the whole.
        keys: the keys of the mapping that comes out.
        channels: channels of each map.
        strides: pixels of the image per pixel of each map.

    Raises:
        InputError: an index or a name that the network does not have, both arguments, or a network without maps.
    """

    def __init__(
        self,
        network: Classifier,
        out_indices: int | Sequence[int] | None = None,
        names: str | Sequence[str] | Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        points = _survey(network.spec)
        chosen = _chosen(network.spec, points, out_indices, names)
        maps = [point for point in points if point.name in chosen]
        needed = members(network.spec)[: points.index(maps[-1]) + 1]
        _remove_unused(network, {module for member in needed for module in member.modules})
        self.network = network
        self.keys = tuple(chosen[point.name] for point in maps)
        self.channels = tuple(point.channels for point in maps)
        self.strides = tuple(point.stride for point in maps)
        self._key_of = {point.name: chosen[point.name] for point in maps}
        self._last = maps[-1].name
        # Parts may work in place; a map that one of them works in is handed on as a copy.
        self._copied = frozenset(point.name for point in maps[:-1] if point.overwritten)

    @property
    def spec(self) -> Spec:
        """The spec of the whole network."""
        return self.network.spec

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        features: OrderedDict[str, Tensor] = OrderedDict()
        x = self.network.lay_out(x)
        for name, part in self.network.parts():
            x = part(x)
            if name in self._key_of:
                features[self._key_of[name]] = x
                if name == self._last:
                    break
                if name in self._copied:
                    x = x.clone()
        return features

    def extra_repr(self) -> str:
        return f"keys={self.keys}, channels={self.channels}, strides={self.strides}"


class RemovedModule(nn.Identity):
    """Stands where a module was that no feature map needs."""


@dataclass
class _Point:
    """An end point: its map, and whether a later part works in it."""

    name: str
    channels: int
    stride: int
    overwritten: bool = False


def _survey(spec: Spec) -> list[_Point]:
    """Follow an image without values through the parts of a twin of the network without memory."""
    twin = outline(spec)
    points: dict[str, _Point] = {}
    # What a part overwrites may depend on the mode.
    for training, side in ((False, spec.input_size), (True, _LARGE)):
        for point in _follow(twin.train(training), side):
            point.overwritten |= point.name in points and points[point.name].overwritten
            points[point.name] = point
    return [*points.values()]


@torch.no_grad()
def _follow(twin: Classifier, side: int) -> list[_Point]:
    x = torch.empty(2, twin.spec.in_channels, side, side, device="meta")
    points, maps = [], []
    for name, part in twin.parts():
        x = part(x)
        if x.dim() != 4:
            raise InputError(
                f"features_only=True for {twin.spec.name}",
                "a network of convolutions: this one's features are no maps",
                "See the others with: residua models",
            )
        points.append(_Point(name, x.shape[1], round(side / x.shape[-1])))
        maps.append((x, x._version))
    for point, (kept, version) in zip(points, maps, strict=True):
        point.overwritten = kept._version != version
    return points


def _chosen(
    spec: Spec,
    points: list[_Point],
    out_indices: int | Sequence[int] | None,
    names: str | Sequence[str] | Mapping[str, str] | None,
) -> dict[str, str]:
    """Return the end points to give: their names, and the keys under which they are returned."""
    if names is None:
        levels = [*{point.stride: point.name for point in points}.values()]
        return {levels[index]: levels[index] for index in _indices(spec, points, len(levels), out_indices)}
    if out_indices is not None:
        raise InputError(f"out_indices={out_indices} with names={names}", "one of the two", "Leave one out")
    names = [names] if isinstance(names, str) else names
    pairs = names.items() if isinstance(names, Mapping) else [(name, name) for name in names]
    known = [point.name for point in points]
    chosen = {resolve_point(name, known, spec.name): key for name, key in pairs}
    if not chosen or len({*chosen.values()}) < len(names):
        raise InputError(f"names={names}", "end points and keys, each once", "Name at least one, and none twice")
    return chosen


def _indices(spec: Spec, points: list[_Point], count: int, asked: int | Sequence[int] | None) -> list[int]:
    wanted = range(count) if asked is None else [asked] if isinstance(asked, int) else asked
    legal = [index for index in wanted if -count <= index < count]
    indices = sorted({index % count for index in legal})
    if not indices or len(indices) < len(wanted):
        strides = ", ".join(str(stride) for stride in dict.fromkeys(point.stride for point in points))
        raise InputError(
            f"out_indices={asked} for {spec.name}",
            f"some of 0 to {count - 1}, each once: its maps of stride {strides}",
            "Or name end points with names=",
        )
    return indices


def _remove_unused(module: nn.Module, used: Collection[str], prefix: str = "") -> None:
    """Remove every module with weights or statistics that is not `used`, nor holds one that is."""
    for name, child in module.named_children():
        path = f"{prefix}{name}"
        if not child.state_dict():
            continue
        # Containers stay, since parts count their entries.
        container = isinstance(child, nn.Sequential | nn.ModuleList | nn.ModuleDict)
        if container or any(key == path or key.startswith(f"{path}.") for key in used):
            _remove_unused(child, used, f"{path}.")
        else:
            module._modules[name] = RemovedModule()
