"""The costs of several networks beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from residua.anatomy.anatomy import Anatomy, Group
from residua.anatomy.extent import subtotal
from residua.anatomy.lecture import lecture_table

Unit = Literal["count", "bytes", "KB", "k", "MFLOP"]


@dataclass(frozen=True)
class CostComparison:
    """A cost of several networks: one value a network, in their order."""

    cost: str
    unit: Unit
    values: tuple[float, ...]

    @property
    def shares(self) -> tuple[float, ...]:
        """Each value as a share of the largest, 0 to 1."""
        largest = max(self.values)
        return tuple(value / largest if largest else 0.0 for value in self.values)


def side_by_side(anatomies: Sequence[Anatomy], until: str | int | None = None) -> list[CostComparison]:
    """Return the costs of networks beside each other: of the whole, or of the part that `layers_until` gives.

    Peaks of memory are of whole networks and are left out for parts.

    Raises:
        InputError: one of the networks has no such layer and no such resolution.
    """
    parts: list[Anatomy | Group] = [each if until is None else subtotal(each, until) for each in anatomies]
    weighted = [sum(layer.weighted for layer in each.layers) for each in anatomies]
    if until is not None:
        weighted = [part.weighted for part in parts if isinstance(part, Group)]
    costs: list[tuple[str, Unit, list[int]]] = [
        ("weighted layers", "count", weighted),
        ("parameters", "count", [part.params for part in parts]),
        ("MACs", "count", [part.macs for part in parts]),
        ("FLOPs", "count", [part.flops for part in parts]),
        ("other arithmetic", "count", [part.elementwise_flops for part in parts]),
        ("outputs", "bytes", [part.activation_bytes for part in parts]),
        ("kept for backward", "bytes", [part.kept_bytes for part in parts]),
    ]
    if until is None:
        costs.append(("inference peak", "bytes", [each.inference_peak_bytes for each in anatomies]))
        costs.append(("training peak", "bytes", [each.training.peak for each in anatomies]))
    return [CostComparison(cost, unit, tuple(values)) for cost, unit, values in costs]


def lecture_side_by_side(anatomies: Sequence[Anatomy], until: str | int | None = None) -> list[CostComparison]:
    """Return the sums of the lecture's three columns beside each other, for the whole or down to `until`."""
    tables = [lecture_table(each, until) for each in anatomies]
    columns: list[tuple[str, Unit, str]] = [
        ("memory KB", "KB", "memory_kb"),
        ("params k", "k", "params_k"),
        ("MFLOP", "MFLOP", "mflop"),
    ]
    return [
        CostComparison(cost, unit, tuple(sum(getattr(row, key) for row in rows) for rows in tables))
        for cost, unit, key in columns
    ]
