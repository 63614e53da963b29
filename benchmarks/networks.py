"""Networks that torchvision or timm has too: building, forward pass and training step, alternating.

    python benchmarks/networks.py [NAME…] [--control NAME…] [--batch N] [--rounds 5] [--threads 1] [--out FILE]

Building includes the initialisation. Forward and training are fp32, batches of noise at the published input size, each
library's network as it builds it: 8 images per step, fewer for large networks. `residua bench` does the measuring.
Networks measured before are kept in the file and measured again only when named. --control measures torchvision's
network against a second one of torchvision's, in the same way: how far from 1 the ratio of equals is.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from machine import describe, write_result
from residua.bench.bench import bench
from residua.bench.case import Case
from residua.bench.peers import build_peer, has_peer, peer_step_of, spec_beside
from residua.bench.report import Ratio
from residua.bench.timing import Timing, clocked
from residua.families.build import build
from residua.specs.catalog import get_spec, list_models
from residua.verification.counts import count

PEERS = ("torchvision", "timm")
IMAGES = ((5e9, 8), (12e9, 4), (math.inf, 2))  # per step, for networks with up to so many multiply-accumulates
WANTED = {"build": 1 / 1.3, "forward": 1.0, "train": 1.0}


def seconds(make: Callable[[], object]) -> float:
    """Return the seconds that building takes; the result is discarded."""
    gc.collect()
    start = time.perf_counter()
    made = make()
    taken = time.perf_counter() - start
    del made
    return taken


def building(name: str, peer: str, rounds: int) -> dict[str, float]:
    """Return how many times as fast ours is built: median, minimum and maximum over the rounds."""
    spec = spec_beside(get_spec(name), peer)
    ratios = []
    for number in range(rounds + 1):
        pair = [seconds(lambda: build(spec)), seconds(lambda: build_peer(name, peer))]
        if number:
            ratios.append(pair[1] / pair[0])
    return {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}


def measure(name: str, batch: int, rounds: int) -> dict[str, Any]:
    """Return the ratios of building, forward and training, per peer that has the network."""
    row: dict[str, Any] = {}
    images = batch or images_of(name)
    for peer in PEERS:
        if not has_peer(name, peer):
            continue
        row[peer] = {"rounds": rounds, "machine": describe(), "build": building(name, peer, 3)}
        for mode in ("forward", "train"):
            report = bench(name, batch=images, mode=mode, peer=peer, batches=rounds, warm_up=1, device="cpu")
            ours, theirs = report.results
            row[peer][mode] = {
                "batch": images,
                **vars(theirs.ratio),
                "milliseconds": 1e3 * ours.timing.median,
                "peer_milliseconds": 1e3 * theirs.timing.median,
            }
        print(name, peer, {kind: round(row[peer][kind]["median"], 2) for kind in WANTED}, flush=True)
    return row


def control(name: str, batch: int, rounds: int) -> dict[str, Any]:
    """Return the ratios of two equal networks of torchvision that alternate."""
    spec, device = spec_beside(get_spec(name), "torchvision"), torch.device("cpu")
    images = batch or images_of(name)
    row: dict[str, Any] = {"rounds": rounds, "machine": describe()}
    for mode in ("forward", "train"):
        case = Case(name, "torchvision", mode, "eager", "fp32", images, spec.input_size)  # type: ignore[arg-type]
        steps = [peer_step_of(case, spec, device) for _ in range(2)]
        times: list[list[float]] = [[], []]
        for number in range(rounds + 1):
            for index in (0, 1) if number % 2 else (1, 0):
                taken = clocked(steps[index], device)
                if number:
                    times[index].append(taken)
        ratio = Ratio.of(Timing(tuple(times[0])), Timing(tuple(times[1])))
        row[mode] = {"batch": images, **vars(ratio)}
    print(name, "control", {mode: round(row[mode]["median"], 3) for mode in ("forward", "train")}, flush=True)
    return row


def images_of(name: str) -> int:
    """Return the images per step of a network."""
    macs = count(get_spec(name)).macs
    return next(number for most, number in IMAGES if macs <= most)


def means(networks: dict[str, Any]) -> dict[str, float]:
    """Return the geometric mean of each kind's ratios over all networks and peers."""
    return {
        kind: math.exp(statistics.fmean(math.log(row[kind]["median"]) for n in networks.values() for row in n.values()))
        for kind in WANTED
    }


def table(result: dict[str, Any]) -> str:
    """Return the outcome as a Markdown table."""
    lines = ["| network | peer | built | forward | training step | images | turns |", "|---|---|---|---|---|---|---|"]
    for name, row in result["networks"].items():
        for peer, kinds in row.items():
            cells = [f"{kinds[k]['median']:.2f} ({kinds[k]['low']:.2f} to {kinds[k]['high']:.2f})" for k in WANTED]
            images = ", ".join(str(batch) for batch in dict.fromkeys(kinds[k]["batch"] for k in WANTED if k != "build"))
            lines.append(f"| {name} | {peer} | {' | '.join(cells)} | {images} | {kinds['rounds']} |")
    rows = [row for network in result["networks"].values() for row in network.values()]
    machines = {f"{row['machine']['processor']}, {row['machine']['threads']}" for row in rows}
    found = result["geometric_mean"]
    lines.append(f"| geometric mean | | {' | '.join(f'**{found[kind]:.2f}**' for kind in WANTED)} | | |")
    for name, row in result.get("control", {}).items():
        cells = [f"{row[k]['median']:.2f} ({row[k]['low']:.2f} to {row[k]['high']:.2f})" for k in ("forward", "train")]
        cells += [str(row["train"]["batch"]), str(row["rounds"])]
        lines.append(f"| *{name} of torchvision* | *itself* | | {' | '.join(cells)} |")
    lines.append(
        f"\nHow many times as fast as the peer: median over the turns (5% to 95% quantile; building: least to greatest "
        f"of 3). fp32, eager, {', '.join(sorted(machines))}; versions, load and commit of each row stand in the JSON."
    )
    return "\n".join(lines)


def main() -> None:
    """Measure, print and write after each network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--control", nargs="*", default=[])
    parser.add_argument("--batch", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/networks.json")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    kept = json.loads(given.out.read_text()) if given.out.exists() else {"networks": {}}
    before, controls = kept["networks"], kept.get("control", {})
    there = [name for name in list_models() if any(has_peer(name, peer) for peer in PEERS)]
    chosen = given.names or ([] if given.control else [name for name in there if name not in before])
    for name in [*given.control, *chosen]:
        if name in given.control:
            controls[name] = control(name, given.batch, given.rounds)
        else:
            before[name] = measure(name, given.batch, given.rounds)
        networks = {known: before[known] for known in there if known in before}
        result = {
            "what": "how many times as fast as the peer's network: building, forward pass, training step",
            "networks": networks,
            "control": controls,
            "geometric_mean": means(networks),
            "wanted": WANTED,
        }
        write_result(given.out, result)
        given.out.with_suffix(".md").write_text(table(result) + "\n")
    if given.out.exists():
        print(table(json.loads(given.out.read_text())))


if __name__ == "__main__":
    main()
