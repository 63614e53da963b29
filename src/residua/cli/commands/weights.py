"""`residua weights`: the published weights that training begins with, and what of them is on this machine."""

from __future__ import annotations

import fnmatch
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from residua._base.errors import InputError, did_you_mean
from residua._base.places import cache_root
from residua._base.words import counted
from residua.cli.show import Switch, note, percent, print_json, say
from residua.cli.tables import print_table
from residua.specs.catalog import counts, get_spec
from residua.weights.named.published_file import (
    cached_published,
    fetch_command,
    fetch_published,
    remove_published,
)
from residua.weights.published.catalog import PublishedWeights, default_weights, find_weights, published_weights

_ACTIONS = ("list", "get", "path", "rm")
_FROM = "torchvision, timm, or a whole name such as timm:a1_in1k; left out: those that training begins with."


def weights(
    action: str = "list",
    network: str | None = None,
    /,
    *,
    source: Annotated[str | None, Parameter(name="--from", help=_FROM)] = None,
    all_: Annotated[Switch, Parameter(name="--all")] = False,
    json: Switch = False,
) -> int:
    """List the published weights, fetch some once, show where they lie, or remove them.

    The recipe fast begins with them where the network is one for photos. Facts are those of the installed packages'
    authors: accuracies are of ImageNet-1k's validation images, one view. What nobody states is shown as -.

    Parameters
    ----------
    action
        list; get: download into the cache, or check what is there; path: print where the file lies, exit code 1 where
        it is not there; rm: remove it from the cache. A network alone is listed.
    network
        The network, see `residua models`; of list a shell pattern, left out: all.
    all_
        Of list: every row, not only those that training begins with and those in the cache.
    json
        Print one JSON document.
    """
    if action not in _ACTIONS:
        if network is not None:
            raise InputError(f"action={action!r}", f"one of {', '.join(_ACTIONS)}", did_you_mean(action, _ACTIONS, 1))
        action, network = "list", action
    if action == "list":
        return _list(network or "*", source, all_, json)
    if network is None:
        raise InputError(
            f"residua weights {action} without a network",
            "the name of one",
            f"For example: residua weights {action} resnet50",
        )
    row = find_weights(get_spec(network).name, source or "")
    if action == "get":
        path = fetch_published(row)
        if json:
            print_json(_facts(row, path))
            return 0
        say(f"{row.network}: {row}")
        say(str(path))
        note(f"For a machine without a network, copy {cache_root() / 'weights'} into its $RESIDUA_CACHE.")
        return 0
    if action == "path":
        kept = cached_published(row)
        if json:
            print_json(_facts(row, kept))
        elif kept is not None:
            print(kept)
        else:
            note(f"{row.name} of {row.network} is not in the cache; fetch it: {fetch_command(row)}")
        return 0 if kept is not None else 1
    removed = remove_published(row)
    if json:
        print_json({**_facts(row, None), "removed": [str(path) for path in removed]})
    else:
        say("\n".join(f"Removed {path}" for path in removed) or f"{row.name} of {row.network} is not in the cache")
    return 0


def _list(pattern: str, source: str | None, every: bool, json: bool) -> int:
    rows = [row for row in published_weights() if fnmatch.fnmatchcase(row.network, pattern)]
    if source is not None:
        rows = [row for row in rows if source in (row.source, row.name)]
    if not rows:
        networks = list(dict.fromkeys(row.network for row in published_weights()))
        of = "" if source is None else f" by {source}"
        raise InputError(
            f"published weights of {pattern!r}{of}, of which the catalog has none",
            "a network that has some, or a shell pattern such as 'resnet*'; by torchvision or timm",
            did_you_mean(pattern.strip("*?"), networks) or "See them all with: residua weights",
        )
    kept = {row.network + row.name: cached_published(row) for row in rows}
    first = {row.network: default_weights(row.network) for row in rows}
    # Who names one network, or one publisher, has chosen already.
    shown = [
        row
        for row in rows
        if every or source or pattern == row.network or row == first[row.network] or kept[row.network + row.name]
    ]
    if json:
        print_json([_facts(row, kept[row.network + row.name]) for row in (rows if every else shown)])
        return 0
    print_table(
        ("network", "weights", "MB", "top-1", "pixels", "licence", "cached"),
        [
            (
                row.network,
                row.name + ("" if row != first[row.network] else " *"),
                _megabytes(row),
                "-" if row.top1 is None else percent(row.top1),
                str(row.preprocess.height),
                row.licence or "-",
                "yes" if kept[row.network + row.name] else "no",
            )
            for row in shown
        ],
        right=(2, 3, 4),
    )
    left = len(rows) - len(shown)
    others = f" {counted(left, 'row')} more with --all." if left else ""
    note(f"{counted(len(shown), 'row')}; * is what training begins with.{others} ~ is computed, not stated.")
    return 0


def _megabytes(row: PublishedWeights) -> str:
    if row.bytes is not None:
        return f"{row.bytes / 1e6:,.1f}"
    count = counts(row.network)
    return "-" if count is None else f"~{4 * count[0] / 1e6:,.1f}"


def _facts(row: PublishedWeights, path: Path | None) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "network": row.network,
        "name": row.name,
        "default": row == default_weights(row.network),
        "locations": [asdict(location) for location in row.locations],
        "cached": None if path is None else str(path),
    }
    names = ("bytes", "top1", "top5", "accuracy_by", "licence", "licence_by", "training")
    facts |= {name: getattr(row, name) for name in names}
    return facts | {"preprocess": row.preprocess.to_json(whole=True)}
