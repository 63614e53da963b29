"""The ledger's third section: ensembles, depth with and without shortcuts, and what networks add to detection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from published_rules import TRANSFERS

_DEPTHS = (18, 34)
_TABLE_2 = "arXiv 1512.03385 Table 2"


def lines(published: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Return the section from the document of published results."""
    text = ["### Ensembles", ""]
    text += ["Probabilities of several networks, averaged. Ours: `residua evaluate RUN --with RUN`.", ""]
    text += ["| members | data set | metric | % | protocol | source |", "|---|---|---|--:|---|---|"]
    for row in sorted(published["ensembles"], key=lambda row: (row["source"], row["metric"], row["value"])):
        members = [f"{count} × {name}" if count > 1 else name for name, count in row["members"].items()]
        members += [f"{row['others']} more of other depths, which the source does not name"] if row["others"] else []
        cells = (", ".join(members), row["dataset"], row["metric"], f"{row['value']:g}", row["protocol"])
        text.append(f"| {' | '.join((*cells, row['source'].partition(',')[0]))} |")
    text += ["", "### Depth with and without shortcuts", ""]
    text += [f"Top-1 error in %, ImageNet-1k val, 10-crop ({_TABLE_2}). ResNets with option A: `shortcut=pad`.", ""]
    text += ["| layers | plain | ResNet |", "|--:|--:|--:|"]
    for depth in _DEPTHS:
        plain = _value(published["results"], f"plain{depth}")
        text.append(f"| {depth} | {plain:g} | {_value(published['forms'], f'resnet{depth}'):g} |")
    text += ["", "### Detection", ""]
    text += ["| task | before | after | from | to | gain | relative | source |", "|---|---|---|--:|--:|--:|--:|---|"]
    for row in TRANSFERS:
        old, new = row.values
        figures = (f"{old:g}", f"{new:g}", f"{new - old:.1f}", f"{(new - old) / old:.0%}")
        text.append(f"| {' | '.join((row.task, row.before, row.after, *figures, row.source))} |")
    return text


def _value(rows: Sequence[Mapping[str, Any]], network: str) -> float:
    """Return the one value of table 2.

    Raises:
        ValueError: there is none, or several.
    """
    (value,) = {row["value"] for row in rows if row["network"] == network and row["source"] == _TABLE_2}
    return float(value)
