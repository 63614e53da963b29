"""A network's parameters and MACs, counted again, against the exact record and against the paper's rounded figure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from residua.anatomy.cost import cost
from residua.specs.published import Record, published
from residua.specs.schema import Spec

_UNITS = {"K": 1e3, "M": 1e6, "G": 1e9}
CLOSE = 0.01  # of the exact count: what a rounded figure may be off


@dataclass(frozen=True)
class CountReceipt:
    """The counts of one network.

    Attributes:
        params: trainable parameters, counted on the network.
        macs: multiply-accumulates of convolutions and linear layers, one image of the published size, forward, in the
            record's graph; FLOPs are twice that.
        graph: "evaluation", or "training" where the record counts the auxiliary classifiers.
        record: what was published, None where nobody did.
        differences: how the counts differ from the record or, unexplained, from the paper; empty when they agree.
        explained: why the paper's figure is another, "" where it is not.
    """

    params: int
    macs: int
    graph: str
    record: Record | None
    differences: tuple[str, ...]
    explained: str

    @property
    def ok(self) -> bool:
        """Whether nothing differs without a reason; true as well where nothing was published."""
        return not self.differences


def count(spec: Spec) -> CountReceipt:
    """Count a network on the meta device and compare it with its record, which is found by `spec.name`."""
    record = published(spec.name)
    graph = record.graph if record else "evaluation"
    anatomy = cost(spec, training=graph == "training")
    differences, explained = _compare(spec, record, anatomy.params, anatomy.macs)
    return CountReceipt(anatomy.params, anatomy.macs, graph, record, tuple(differences), explained)


def rounds_to(exact: int, printed: str) -> bool:
    """Return whether a count is a printed figure such as "25.0M": within half of its last digit, or within 1%."""
    match = re.fullmatch(r"(\d+)(?:\.(\d+))?([KMG])", printed)
    if not match:
        raise ValueError(f"a printed figure {printed!r} is none such as 25.0M")
    unit = _UNITS[match[3]]
    figure = float(printed[:-1]) * unit
    half = 0.5 * unit * 10.0 ** -len(match[2] or "")
    return abs(exact - figure) <= max(half, CLOSE * exact)


def _compare(spec: Spec, record: Record | None, params: int, macs: int) -> tuple[list[str], str]:
    """Return what differs without a reason, and the reason for what differs with one."""
    if record is None:
        return [], ""
    facts = (
        ("parameters", params, record.params),
        ("MACs", macs, record.macs),
        ("classes", spec.num_classes, record.num_classes),
        ("input", _input_like(spec, record), record.input),
    )
    differing = [f"{what} {_text(ours)} instead of {_text(theirs)}" for what, ours, theirs in facts if ours != theirs]
    paper = record.paper
    if paper is None:
        return differing, ""
    printed = (("parameters", params, paper.params), ("MACs", macs, paper.macs))
    off = [
        f"{what}: {figure} in {paper.where}" for what, ours, figure in printed if figure and not rounds_to(ours, figure)
    ]
    if off and not paper.why:
        return [*differing, *off], ""
    return differing, f"{'; '.join(off)}. {paper.why}" if off else ""


def _input_like(spec: Spec, record: Record) -> tuple[int, int, int]:
    """Return the network's input, flattened where the record's is: records of fully connected networks."""
    channels, side = spec.in_channels, spec.input_size
    return (channels * side**2, 1, 1) if record.input[1:] == (1, 1) else (channels, side, side)


def _text(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
