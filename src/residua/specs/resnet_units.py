"""The units of a residual network as a free list, one triple a unit, beside the regular form of depths and widths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

from residua.specs.fields import MOST_PIXELS, Channels, Length, Span
from residua.specs.schema import Spec

Stride = Annotated[int, Span(1, 64, hint="Customary is 2")]
# Depth (channels of the output), inner depth (channels of the 3×3, or of a basic unit's first convolution), stride:
# the arguments of TF-slim's Block(scope, unit, [(256, 64, 1), (256, 64, 1), (256, 64, 2)]).
Triple = tuple[Channels, Channels, Stride]
Units = Annotated[tuple[tuple[Triple, ...], ...], Length(1000)]


def regular_form(units: Sequence[Sequence[tuple[int, int, int]]], spec: Any) -> dict[str, Any]:
    """Return the fields of the regular form that a list of units settles: depths, widths, expansion, inner_widths.

    A stage has the widths of its last unit.

    Args:
        units: checked triples, one list a stage, none of them empty.
        spec: the residual network that the list is for; its expansion is kept where the depths allow it.
    """
    last = [stage[-1] for stage in units]
    expansion = spec.expansion if all(depth % spec.expansion == 0 for depth, _, _ in last) else 1
    widths = tuple(depth // expansion for depth, _, _ in last)
    inner = tuple(inner for _, inner, _ in last)
    derived = tuple(width * spec.base_width // 64 * spec.cardinality for width in widths)
    return {
        "depths": tuple(map(len, units)),
        "widths": widths,
        "expansion": expansion,
        "inner_widths": () if spec.unit == "basic" or inner == derived else inner,
    }


def own_strides(spec: Any) -> tuple[tuple[int, ...], ...]:
    """Return the stride of each unit of a residual network, by stage: the list's, or 2 where `stride_site` has it."""
    if spec.units:
        return tuple(tuple(stride for _, _, stride in stage) for stage in spec.units)
    strides = [[1] * depth for depth in spec.depths]
    for stage in range(1, len(strides)):
        if spec.stride_site == "last_3x3":
            strides[stage - 1][-1] *= 2
        else:
            strides[stage][0] *= 2
    return tuple(map(tuple, strides))


def check_units(spec: Any) -> None:
    """Refuse a list of units that contradicts the regular form, naming both fields.

    Raises:
        InputError: as `Spec.refuse`.
    """
    if not spec.units:
        return
    counts = tuple(map(len, spec.units))
    if 0 in counts:
        spec.refuse(f"units with no unit in stage {counts.index(0) + 1}", "at least one unit per stage", "Leave it out")
    if counts != spec.depths:
        _contradiction(spec, f"units of {counts} a stage", f"depths={spec.depths}", f"depths={counts}")
    if math.prod(stride for stage in spec.units for _, _, stride in stage) > MOST_PIXELS:
        spec.refuse("units whose strides multiply to more", f"at most {MOST_PIXELS} in all", "Use smaller strides")
    for number, stage in enumerate(spec.units):
        depth, inner, _ = stage[-1]
        where = f"units[{number}][-1]={stage[-1]}"
        if depth != spec.widths[number] * spec.expansion:
            out = f"widths[{number}]={spec.widths[number]} and expansion={spec.expansion}"
            _contradiction(spec, where, out, f"{depth} channels at the stage's end")
        if spec.unit == "bottleneck" and inner != spec.inner_width(number):
            own = f"inner_widths={spec.inner_widths}, an inner width of {spec.inner_width(number)}"
            _contradiction(spec, where, own, f"inner_widths[{number}]={inner}")
        if spec.sharing != "none" and len({*stage[1:]}) > 1:
            spec.refuse(
                f"units[{number}] with sharing={spec.sharing!r}", "equal units from the second on", "Repeat one"
            )


def _contradiction(spec: Spec, units: str, regular: str, wanted: str) -> None:
    spec.refuse(
        f"{units} with {regular}",
        f"one network, such as {wanted}",
        "Give units alone: edit(units=…) settles depths, widths, expansion and inner_widths",
    )
