"""`residua bench`: one call of `residua.bench.bench.bench`, printed and drawn."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Literal, get_args

from residua._base.console import progress_bar
from residua._base.errors import InputError, did_you_mean
from residua._base.files import write_text
from residua._base.plain import plain
from residua.cli.show import Switch, check_target, note, print_json, print_table, say


def bench(
    *models: str,
    batch: str = "32",
    resolution: str = "",
    mode: Literal["forward", "train"] = "forward",
    engine: str = "eager",
    precision: str = "fp32",
    peer: str = "",
    batches: int = 100,
    warm_up: int = 10,
    threads: int = 0,
    device: str | None = None,
    chart: Path | None = None,
    out: Path | None = None,
    json: Switch = False,
) -> int:
    """Time networks on this machine, beside their peers, taking turns in one process.

    Lists are written with commas. A multiply-accumulate of convolutions and matrix products counts as two FLOPs.
    Their rate is compared with that of a large matrix product, sampled between the steps. Each ratio compares
    neighbours in time.

    Parameters
    ----------
    models
        Names of networks, see `residua models`.
    batch
        Images per step.
    resolution
        Side of the square images, pixels; left out: each network's own.
    mode
        forward (evaluation mode), or train (forward, loss, backward, SGD step).
    engine
        eager, compiled (torch.compile), native (fused CPU kernels; with --mode train).
    precision
        fp32, bf16 (autocast).
    peer
        torchvision, timm, keras: their network of the same structure.
    batches
        Measured steps per case.
    warm_up
        Steps before them.
    threads
        Of the CPU; 0: torch's own choice.
    device
        "cpu", "cuda" or "cuda:N"; left out: the GPU where there is one.
    chart
        An SVG file to draw the outcome to.
    out
        A JSON file to write the outcome to.
    json
        Print the outcome as one JSON document.
    """
    from residua.bench.bench import bench as measure
    from residua.bench.case import PEERS, Engine, Precision
    from residua.bench.chart import chart as draw

    check_target(chart, ".svg")
    check_target(out)
    if chart and out and chart.resolve() == out.resolve():
        raise InputError(f"{chart} for both --chart and --out", "a file for each", "Name the JSON file otherwise")
    with progress_bar("Measuring", "steps") as progress:
        report = measure(
            *models,
            batch=_numbers("batch", batch),
            resolution=_numbers("resolution", resolution) or (0,),
            mode=mode,
            engine=_words("engine", engine, get_args(Engine)),  # type: ignore[arg-type]
            precision=_words("precision", precision, get_args(Precision)),  # type: ignore[arg-type]
            peer=_words("peer", peer, PEERS),  # type: ignore[arg-type]
            batches=batches,
            warm_up=warm_up,
            threads=threads,
            device=device,
            progress=progress,
        )
    if out:
        write_text(out, jsonlib.dumps(plain(report.to_dict()), indent=1, ensure_ascii=False) + "\n")
    if chart:
        write_text(chart, draw(report))
    if json:
        print_json(report.to_dict())
        return 0
    header, rows = report.table()
    print_table(header, rows, right=(3, 4, 5, 6, 7, 8, 9))
    say()
    for line in report.sentences():
        say(line)
    for peer_name, ratio in report.geometric_means().items():
        say(f"Residua is {ratio:.2f} times as fast as {peer_name} (geometric mean of the medians).")
    for line in report.notes:
        note(line)
    for path in (chart, out):
        if path:
            note(f"Written: {path}")
    return 0


def _numbers(name: str, text: str) -> tuple[int, ...]:
    words = [word for word in text.replace(",", " ").split() if word]
    if not all(word.isdecimal() and 0 < int(word) <= 1_000_000 for word in words):
        raise InputError(f"--{name} {text}", "whole numbers above 0, with commas between", f"For example --{name} 1,32")
    return tuple(int(word) for word in words)


def _words(name: str, text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    words = tuple(word for word in text.replace(",", " ").split() if word)
    for word in words:
        if word not in known:
            remedy = did_you_mean(word, known, 1) or f"For example --{name} {known[0]}"
            raise InputError(f"{word!r} in --{name} {text}", f"{', '.join(known)}, or several with commas", remedy)
    return words
