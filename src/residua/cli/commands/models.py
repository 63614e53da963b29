"""`residua models` and `residua diff`: the catalog, without importing torch."""

from __future__ import annotations

import sys

from residua._base.console import terminal_width
from residua._base.errors import InputError, did_you_mean
from residua._base.words import counted
from residua.cli.edits import Edits
from residua.cli.printing.side_by_side import short_count
from residua.cli.show import Switch, note, print_json, say
from residua.cli.tables import print_table
from residua.specs.catalog import SERIES, counts, get_spec, list_models
from residua.specs.edit_text import read_edits
from residua.specs.schema import Spec

_WIDE = 120  # characters of a terminal on which counts are given in full


def models(pattern: str = "*", /, *, json: Switch = False) -> int:
    """List the networks, with paper, parameters and MACs.

    MACs are multiply-accumulates of convolutions and linear layers, one image of the published input size; FLOPs are
    twice that. Series such as cifar_resnet{6n+2} are listed at their papers' depths and take every legal one.

    Parameters
    ----------
    pattern
        Shell pattern of names.
    json
        Print one JSON document.
    """
    specs = [get_spec(name) for name in list_models(pattern)]
    if not specs and not any(sign in pattern for sign in "*?["):
        # One that is not listed, or another library's name.
        specs = [get_spec(pattern)]
    if not specs:
        raise InputError(
            f"the pattern {pattern!r}, which matches no network",
            "a shell pattern such as 'resnet*'",
            did_you_mean(pattern.strip("*?"), list_models()) or "See them all with: residua models",
        )
    sizes = [_size(spec) for spec in specs]
    if json:
        print_json(
            [
                {"name": s.name, "paper": s.paper, "input": _input(s), "params": params, "macs": macs}
                for s, (params, macs) in zip(specs, sizes, strict=True)
            ]
        )
        return 0
    width = terminal_width(sys.stdout)
    exact = width is None or width >= _WIDE
    print_table(
        ("name", "params", "MACs", "input", "paper"),
        [
            (s.name, _count(params, exact=exact), _count(macs, exact=exact), _input(s), s.paper)
            for s, (params, macs) in zip(specs, sizes, strict=True)
        ],
        right=(1, 2),
    )
    series = ", ".join(s.pattern.format(depth=f"{{{s.depths}}}", width="{width}") for s in SERIES)
    note(f"{counted(len(specs), 'network')}. Any legal depth works too: {series}.")
    return 0


def diff(left: str, right: str | None = None, /, *, set_: Edits = (), json: Switch = False) -> int:
    """Show what differs between two networks, or between a network and its edit, field by field.

    Edits (--set) are made to the second network; where one is named, to that one.

    Parameters
    ----------
    left
        The name of a network.
    right
        The name of the network to compare it with; left out: the same one, with the edits.
    json
        Print one JSON document: field -> [left, right].
    """
    if right is None and not set_:
        raise InputError(
            f"{left} alone", "a second network, or an edit", f"For example residua diff {left} --set shortcut=none"
        )
    first, second = get_spec(left), get_spec(right or left)
    differences = first.diff(second.edit(**read_edits(second, set_)))
    edited = f"{second.name}{', edited' if set_ else ''}"
    if json:
        print_json({field: list(pair) for field, pair in differences.items()})
        return 0
    if not differences:
        say(f"{left} and {edited} are the same network.")
        return 0
    print_table(("field", left, edited), [(key, _word(a), _word(b)) for key, (a, b) in differences.items()])
    return 0


def _size(spec: Spec) -> tuple[int, int] | tuple[None, None]:
    """Return parameters and MACs of a listed network; to count another takes torch."""
    return (counts(spec.name) or (None, None)) if spec == get_spec(spec.name) else (None, None)


def _count(number: int | None, *, exact: bool) -> str:
    if number is None:
        return "not counted"
    return f"{number:,}" if exact else short_count(number)


def _input(spec: Spec) -> str:
    return f"{spec.in_channels}x{spec.input_size}x{spec.input_size}"


def _word(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
