"""`residua bench`: one call of `residua.bench.bench.bench`, printed and drawn."""

from __future__ import annotations

import json as jsonlib
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from residua._base.console import progress_bar
from residua._base.errors import InputError
from residua._base.files import write_text
from residua._base.plain import plain
from residua.bench.case import Kernels
from residua.cli.edits import Edits
from residua.cli.show import Switch, check_target, note, print_json, say
from residua.cli.tables import print_table
from residua.runtime.engines.names import EngineName, Precision

if TYPE_CHECKING:
    from residua.bench.case import Case


def bench(
    *models: str,
    batch: tuple[int, ...] = (32,),
    resolution: tuple[int, ...] = (),
    mode: Literal["forward", "train"] = "forward",
    engine: tuple[EngineName, ...] = ("eager",),
    kernels: tuple[Kernels, ...] = ("eager",),
    precision: tuple[Precision, ...] = ("fp32",),
    peer: tuple[Literal["torchvision", "timm", "keras"], ...] = (),
    set_: Edits = (),
    batches: int = 100,
    warm_up: int = 10,
    threads: tuple[int, ...] = (0,),
    device: str | None = None,
    chart: Path | None = None,
    out: Path | None = None,
    verbose: Switch = False,
    json: Switch = False,
) -> int:
    """Time networks on this machine, beside their peers, taking turns in one process.

    A multiply-accumulate of convolutions and matrix products counts as two operations. Their rate is compared with
    that of large matrix products in the same format, by the library that the engine uses, sampled between the steps.
    Each ratio compares neighbours in time.

    Parameters
    ----------
    models
        Names of networks, see `residua models`.
    batch
        Images per step; several sizes, such as 1,32, are measured one after the other.
    resolution
        Side of the square images, pixels; left out: each network's own.
    mode
        forward (evaluation mode), or train (forward, loss, backward, SGD step).
    engine
        eager, compiled (torch.compile); forward on the CPU also native (our fused kernels), onnxruntime, openvino (with
        the extra of that name).
    kernels
        Of a training step: eager (torch's own), native (fused CPU kernels; with --mode train).
    precision
        fp32, bf16 (torch: autocast), int8 (openvino, onnxruntime; calibrated on noise: a speed alone). Of several
        engines and formats, those that go together take turns.
    peer
        torchvision, timm, keras: their network of the same structure.
    batches
        Measured steps per case.
    warm_up
        Steps before them.
    threads
        Of the CPU; 0: torch's own choice. Several counts, such as 1,2, take turns too.
    device
        "cpu", "cuda" or "cuda:N"; left out: the GPU where there is one.
    chart
        An SVG file to draw the outcome to.
    out
        A JSON file to write the outcome to, with the duration of each step.
    verbose
        Print a line for every tenth measured step: time, step, duration in seconds.
    json
        Print the outcome as one JSON document.
    """
    from residua.bench.bench import bench as measure
    from residua.bench.chart import chart as draw

    check_target(chart, ".svg")
    check_target(out)
    if chart and out and chart.resolve() == out.resolve():
        raise InputError(f"{chart} for both --chart and --out", "a file for each", "Name the JSON file otherwise")
    with nullcontext() if verbose else progress_bar("Measuring", "steps") as progress:
        report = measure(
            *models,
            batch=batch,
            resolution=resolution or (0,),
            mode=mode,
            engine=engine,
            kernels=kernels,
            precision=precision,
            peer=peer,
            edits=set_,
            batches=batches,
            warm_up=warm_up,
            threads=threads,
            device=device,
            progress=progress,
            on_step=_print_tenth if verbose else None,
        )
    if out:
        write_text(out, jsonlib.dumps(plain(report.to_dict()), indent=1, ensure_ascii=False) + "\n")
    if chart:
        write_text(chart, draw(report))
    if json:
        print_json(report.to_dict())
        return 0
    for table in report.tables():
        say(table.title)
        print_table(table.header, table.rows, right=range(2, len(table.header)))
        say(f"{table.foot}\n")
    for line in report.sentences():
        say(line)
    own = {(each.case.way, each.case.precision) for each in report.results if each.case.source == "residua"}
    for peer_name, ratio in report.geometric_means().items() if len(own) == 1 else ():
        say(f"Residua is {ratio:.2f} times as fast as {peer_name} (geometric mean of the medians).")
    for line in report.notes:
        note(line)
    for path in (chart, out):
        if path:
            note(f"Written: {path}")
    return 0


def _print_tenth(case: Case, number: int, seconds: float) -> None:
    """Print a step as TF-slim's benchmark does: on stderr, every tenth."""
    if number % 10 == 0:
        time = datetime.now().isoformat(" ", "milliseconds")
        note(f"{time}: step {number}, duration = {seconds:.3f} s ({case.model}, {case.source}, {case.shape})")
