"""`residua inspect`: one call of `residua.inspect`, its table, and its drawing."""

from __future__ import annotations

import contextlib
import gc
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from residua._base.errors import InputError
from residua.cli.edits import Edits
from residua.cli.printing.side_by_side import print_side_by_side, short_bytes, short_count
from residua.cli.show import Switch, check_target, note, print_json, say
from residua.cli.tables import print_table

if TYPE_CHECKING:
    from residua.anatomy import Anatomy
    from residua.anatomy.anatomy import Group, Layer
    from residua.specs.schema import Spec


def inspect(
    model: str,
    /,
    *others: str,
    input_shape: Annotated[str | None, Parameter(name="--input")] = None,
    batch: int = 1,
    by: Literal["layer", "part", "stage"] | None = None,
    table: Literal["costs", "lecture"] = "costs",
    training: Switch = False,
    until: str | None = None,
    optimizer: Literal["sgd", "adam"] = "sgd",
    set_: Edits = (),
    svg: Path | None = None,
    json: Switch = False,
) -> int:
    """Lay a network open: layers, shapes, costs, memory, receptive fields. Nothing is computed.

    Several networks stand beside each other: costs as columns with bars, and layer by layer in the drawing.

    MACs are multiply-accumulates of convolutions and linear layers, FLOPs twice that; "other" is all further
    arithmetic (biases, normalisation, activations, pools, sums), one an operation. All three are for one image. Memory
    is for the batch, fp32: the memory that a layer's output adds, and what autograd keeps of it for the backward pass.

    Parameters
    ----------
    model
        A network's name, see `residua models`, or the folder of a trained run.
    others
        Networks to set beside it.
    input_shape
        Channels, height and width, such as 3x224x224; left out: what the network was published for.
    batch
        Images, for the memory.
    by
        A row for each layer (the default), each end point, or each stage; of several networks, a table of each below.
    table
        costs, or the columns of a well-known lecture: memory in KB, parameters in thousands, MFLOP.
    training
        With the auxiliary heads, which run in training only.
    until
        Only the part down to a layer, an end point or a stage, or down to a resolution such as 28, with its sums.
    optimizer
        sgd (with momentum) or adam, for the memory of a training step.
    svg
        A file to draw the network into; several networks are drawn beside each other, aligned by resolution.
    json
        Print one JSON document.
    """
    check_target(svg, ".svg")
    if by is not None and table == "lecture":
        raise InputError(
            f"--by {by} with --table lecture", "one of the two: its rows are layers", "Use --until for sums"
        )
    shape = None if input_shape is None else _parsed(input_shape)
    with _without_collections():
        from residua.anatomy.inspect import inspect as look

        networks = [
            look(_named(name, set_), shape, batch=batch, training=training, optimizer=optimizer)
            for name in (model, *others)
        ]
        anatomy = networks[0]
        if svg:
            _draw(networks, svg)
        if others:
            print_side_by_side(networks, table, until, json)
            if by is not None and not json:
                for each in networks:
                    say(f"\n{each.name}")
                    _costs(each if until is None else _down_to(each, until), by)
            return 0
        if table == "lecture":
            return _lecture(anatomy, until, json)
        if until is not None:
            return _part(anatomy, until, by or "layer", json)
        if json:
            print_json(anatomy.to_dict())
            return 0
        _costs(anatomy, by or "layer")
        _totals(anatomy)
    return 0


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    """Pause the collector: imports and short passes free little, and looking for garbage would take a fifth of the
    time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            # What is there now stays to the end: the last collection need not look at it either.
            gc.freeze()
            gc.enable()


def _parsed(text: str) -> tuple[int, int, int]:
    match = re.fullmatch(r"(\d{1,9})[x×,](\d{1,9})[x×,](\d{1,9})", text.strip())
    if not match:
        raise InputError(
            f"--input {text!r}", "channels, height and width: 3x224x224", "Leave it out for the network's own"
        )
    channels, height, width = (int(number) for number in match.groups())
    return channels, height, width


def _named(model: str, edits: tuple[str, ...]) -> Spec:
    """Return the spec of a name, or of the run in a folder; a name of the catalog goes before a folder of that name."""
    from residua.specs.edit_text import read_edits

    spec = _unedited(model)
    return spec.edit(**read_edits(spec, edits))


def _unedited(model: str) -> Spec:
    from residua.specs.catalog import get_spec

    try:
        return get_spec(model)
    except InputError:
        if not model.strip() or not Path(model).exists():
            raise
    from residua.weights.bundle.read import load_bundle

    return load_bundle(model).spec


def _draw(networks: Sequence[Anatomy], path: Path) -> None:
    from residua._base.files import write_text
    from residua.anatomy.drawing import draw, draw_columns

    write_text(path, draw_columns(networks) if len(networks) > 1 else draw(networks[0]))
    note(f"Drawn: {path}")


def _costs(anatomy: Anatomy, by: str) -> None:
    from residua.anatomy.anatomy import cumulative

    rows: Sequence[Layer | Group] = (
        anatomy.layers if by == "layer" else anatomy.parts if by == "part" else anatomy.stages
    )
    header = [by, "kind" if by == "layer" else "layers", "output", "params", "MACs", "FLOPs", "other"]
    header += ["memory", "kept", "field", "stride", "Σ params", "Σ MACs"]
    shares = zip(cumulative(rows, "params"), cumulative(rows, "macs"), strict=True)
    print_table(
        header,
        [
            (
                row.name,
                getattr(row, "kind", None) or str(getattr(row, "layers", "")),
                _shape(row.output),
                f"{row.params:,}",
                short_count(row.macs),
                short_count(row.flops),
                short_count(row.elementwise_flops),
                short_bytes(row.activation_bytes),
                short_bytes(row.kept_bytes),
                _field(row),
                _stride(row.stride),
                f"{params:.1%}",
                f"{macs:.1%}",
            )
            for row, (params, macs) in zip(rows, shares, strict=True)
        ],
        right=tuple(range(3, len(header))),
    )


def _part(anatomy: Anatomy, until: str, by: str, json: bool) -> int:
    """Print the rows down to a layer or a resolution, and their sums beside those of the whole network."""
    from residua.anatomy.extent import subtotal
    from residua.anatomy.lecture import lecture_notes

    total, part = subtotal(anatomy, until), _down_to(anatomy, until)
    if json:
        print_json(
            {"name": anatomy.name, "input_shape": anatomy.input_shape, "batch": anatomy.batch, "until": until}
            | {"subtotal": total, "layers": part.layers}
        )
        return 0
    _costs(part, by)
    say()
    say(f"{anatomy.name} down to {until}, images of {_shape(anatomy.input_shape)}")
    say(f"parameters   {total.params:,} of {anatomy.params:,} ({_share(total.params, anatomy.params)})")
    say(
        f"an image     {short_count(total.macs)} of {short_count(anatomy.macs)} MACs "
        f"({_share(total.macs, anatomy.macs)})"
    )
    outputs, whole = short_bytes(total.activation_bytes), short_bytes(anatomy.activation_bytes)
    say(f"batch of {anatomy.batch:<4} outputs {outputs} of {whole}, kept for backward {short_bytes(total.kept_bytes)}")
    for line in lecture_notes(anatomy):
        say(f"\n{line}")
    return 0


def _down_to(anatomy: Anatomy, until: str) -> Anatomy:
    from residua.anatomy.extent import layers_until

    return replace(anatomy, layers=layers_until(anatomy, until))


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "none"


def _totals(anatomy: Anatomy) -> None:
    step = anatomy.training
    covers = "fp32, torch's own kernels on a CPU, cross-entropy"
    say()
    say(f"{anatomy.name}{f' ({anatomy.paper})' if anatomy.paper else ''}, images of {_shape(anatomy.input_shape)}")
    say(
        f"parameters   {anatomy.params:,} ({short_bytes(4 * anatomy.params)}), "
        f"statistics {short_bytes(anatomy.buffer_bytes)}"
    )
    say(
        f"an image     {short_count(anatomy.macs)} MACs = {short_count(anatomy.flops)} FLOPs; "
        f"{short_count(anatomy.elementwise_flops)} other"
    )
    say(
        f"batch of {anatomy.batch:<4} outputs {short_bytes(anatomy.activation_bytes)}, kept for backward "
        f"{short_bytes(anatomy.kept_bytes)}; at most {short_bytes(anatomy.inference_peak_bytes)} at a time in inference"
    )
    parts = {
        "parameters": step.parameters + step.buffers,
        "gradients": step.gradients,
        f"{step.optimizer} state": step.optimizer_state,
        "images": step.images,
        "kept": step.kept,
        "workspace": step.workspace,
    }
    say(f"training     peak {short_bytes(step.peak)} at {step.peak_at} ({covers})")
    say(f"             {', '.join(f'{name} {short_bytes(size)}' for name, size in parts.items())}; not all at one time")


def _lecture(anatomy: Anatomy, until: str | None, json: bool) -> int:
    from residua.anatomy.lecture import lecture_notes, lecture_table

    rows, totals = lecture_table(anatomy, until), list(lecture_notes(anatomy))
    if json:
        print_json({"rows": rows, "notes": totals})
        return 0
    header = ("layer", "C", "H/W", "filters", "kernel", "stride", "pad", "C", "H/W", "memory KB", "params k", "MFLOP")
    body: list[tuple[str, ...]] = [
        (
            row.layer,
            str(row.input_channels or ""),
            _side(row.input_size),
            str(row.filters or ""),
            _side(row.kernel),
            _side(row.stride),
            _side(row.padding),
            str(row.output_channels or ""),
            _side(row.output_size),
            f"{row.memory_kb:,.0f}",
            f"{row.params_k:,.0f}",
            f"{row.mflop:,.0f}",
            row.note,
        )
        for row in rows
    ]
    memory, params, flop = (sum(getattr(row, key) for row in rows) for key in ("memory_kb", "params_k", "mflop"))
    body.append(
        (
            "sum" if until is None else f"until {until}",
            *[""] * 8,
            f"{memory:,.0f}",
            f"{params:,.0f}",
            f"{flop:,.0f}",
            "",
        )
    )
    print_table((*header, "the lecture"), body, right=tuple(range(1, len(header))))
    for line in totals:
        say(f"\n{line}")
    return 0


def _side(pair: tuple[int, int] | None) -> str:
    return "" if pair is None else str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}×{pair[1]}"


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _field(row: Layer | Group) -> str:
    if not row.output:
        return ""
    return "image" if row.receptive_field is None else _side(row.receptive_field)


def _stride(stride: tuple[float, float] | None) -> str:
    if stride is None:
        return ""
    return f"{stride[0]:g}" if stride[0] == stride[1] else f"{stride[0]:g}×{stride[1]:g}"
