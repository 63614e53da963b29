"""What has been published of each network's size: counts on existing implementations, and the papers' own figures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal


@dataclass(frozen=True)
class PaperFigure:
    """A size as a paper prints it, rounded.

    Attributes:
        where: paper and table.
        params: parameters, such as "25.0M"; "" where the paper has none.
        macs: multiply-accumulates, such as "4.2G"; "" where the paper has none. (Papers call them FLOPs.)
        why: the reason where the network's exact count does not round to the figure.
    """

    where: str
    params: str = ""
    macs: str = ""
    why: str = ""


@dataclass(frozen=True)
class Record:
    """An exact count of a published network.

    Attributes:
        reference: the record's own name.
        name: ours, None where the catalog has no row for it.
        params: trainable parameters.
        macs: multiply-accumulates of convolutions and linear layers, one image, forward.
        graph: whether the auxiliary classifiers run in what `macs` counts ("training") or not ("evaluation").
        input: channels, height and width, pixels.
        num_classes: outputs.
        status: how it was counted: "measured", "port" or "derived"; see `conventions`.
        source: what it was counted on.
        paper: the paper's own figure, None where it gives none.
        note: what is worth knowing beside the numbers.
    """

    reference: str
    name: str | None
    params: int
    macs: int
    graph: Literal["evaluation", "training"]
    input: tuple[int, int, int]
    num_classes: int
    status: Literal["measured", "port", "derived"]
    source: str
    paper: PaperFigure | None = None
    note: str = ""


@cache
def records() -> dict[str, Record]:
    """Return every record, by its reference."""
    rows = [_record(row) for row in _document()["records"]]
    return {row.reference: row for row in rows}


def published(name: str) -> Record | None:
    """Return the record of a network of the catalog, None where nobody has published its size."""
    return _by_name().get(name)


def conventions() -> dict[str, str]:
    """Return what the columns of the records mean."""
    return dict(_document()["conventions"])


@cache
def _by_name() -> dict[str, Record]:
    return {row.name: row for row in records().values() if row.name is not None}


@cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(
        resources.files("residua.specs").joinpath("published.json").read_text("utf-8")
    )
    return document


def _record(row: dict[str, Any]) -> Record:
    paper = PaperFigure(**row["paper"]) if "paper" in row else None
    return Record(**{**row, "input": tuple(row["input"]), "paper": paper})
