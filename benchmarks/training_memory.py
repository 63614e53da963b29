"""Predicted and measured memory of a training step, for networks and batches of all kinds.

    python benchmarks/training_memory.py [--out benchmarks/results/training_memory.json]

Predicted: `residua.inspect(…).training.peak`. Measured twice, each in a process of its own: the peak that torch's CPU
allocator reports over a step after the first, and the rise of the resident size (VmHWM over VmRSS before the network
is built), which adds the memory of oneDNN and the C library besides tensors. fp32, SGD with
momentum, eager kernels, cross-entropy, the layout of the family. The last column trains the network with the native
kernels, where they serve it (resident size): the prediction is not for them.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from machine import describe, write_result

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

# (network, batch, side in pixels)
STEPS = [
    ("cifar_resnet20", 128, 32),
    ("cifar_resnet110", 32, 32),
    ("cifar_wrn28_10", 8, 32),
    ("resnet18", 16, 96),
    ("resnet50", 8, 128),
    ("resnet50", 2, 224),
    ("resnet50_v2", 8, 128),
    ("resnet50_v2_slim", 4, 160),
    ("seresnet50", 4, 128),
    ("vgg16", 4, 96),
    ("alexnet", 16, 224),
    ("googlenet", 8, 128),
    ("inception_v3", 4, 139),
    ("densenet121", 8, 96),
    ("cifar_densenet_bc100_12", 16, 32),
]


def allocated(name: str, batch: int, size: int) -> int:
    """Return the allocator's peak."""
    from anatomy.measured import training_peak
    from residua.specs.catalog import get_spec

    return training_peak(get_spec(name), batch, size)


def resident(name: str, batch: int, size: int, native: bool) -> int | None:
    """Return the rise of the resident size over three steps; None where no native kernel applies."""
    _train("cifar_resnet20", 2, 32, native)  # the libraries' code is loaded before
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    before = _status("VmRSS")
    return _status("VmHWM") - before if _train(name, batch, size, native) else None


def _train(name: str, batch: int, size: int, native: bool) -> bool:
    """Train three steps; return False where native kernels were requested and none applies."""
    import torch
    import torch.nn.functional as F

    from residua.families.build import build
    from residua.families.network import AuxLogits
    from residua.runtime.native import accelerate
    from residua.specs.catalog import get_spec

    spec = get_spec(name)
    network = build(spec).train()
    layout = torch.channels_last if network.trains_channels_last else torch.contiguous_format
    network = network.to(memory_format=layout)
    if native and not accelerate(network):
        return False
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9, fused=True)
    images = torch.randn(batch, spec.in_channels, size, size).contiguous(memory_format=layout)
    labels = torch.arange(batch) % spec.num_classes
    for _ in range(3):
        optimizer.zero_grad()
        answer = network(images)
        heads = [answer.logits, *answer.aux] if isinstance(answer, AuxLogits) else [answer]
        loss = sum(F.cross_entropy(logits, labels) for logits in heads)
        del answer, heads
        loss.backward()
        del loss
        optimizer.step()
    return True


def _status(field: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def child(kind: str, name: str, batch: int, size: int) -> int | None:
    """Return the measurement of a process of its own."""
    # Freed memory is returned at once, so that the resident size is the memory in use.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    command = [sys.executable, __file__, "--child", kind, name, str(batch), str(size)]
    found = subprocess.run(command, env=environment, capture_output=True, text=True)
    if found.returncode:
        raise SystemExit(found.stderr)
    answer: int | None = json.loads(found.stdout.splitlines()[-1])
    return answer


def measure(name: str, batch: int, size: int) -> dict[str, Any]:
    """Return one row."""
    from residua.anatomy import inspect
    from residua.specs.catalog import get_spec

    step = inspect(name, (get_spec(name).in_channels, size, size), batch=batch).training
    row = {"network": name, "batch": batch, "size": size, "predicted": step.peak, "kept": step.kept}
    row |= {kind: child(kind, name, batch, size) for kind in ("allocated", "resident", "native")}
    row["ratio"] = row["predicted"] / row["allocated"]
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as Markdown."""

    def mib(value: int | None) -> str:
        return "" if value is None else f"{value / 2**20:,.0f}"

    lines = [
        "Peak memory of a training step, MiB (fp32, SGD with momentum, eager, CPU); see benchmarks/training_memory.py.",
        "",
        "| network | batch | pixels | predicted | allocator's peak | ratio | resident size | native kernels |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for r in rows:
        cells = (r["network"], r["batch"], r["size"], mib(r["predicted"]), mib(r["allocated"]), f"{r['ratio']:.3f}")
        lines.append(f"| {' | '.join(map(str, cells))} | {mib(r['resident'])} | {mib(r['native'])} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure every row and write the result as JSON and as a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/training_memory.json")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        kind, name, batch, size = given.child
        step = (name, int(batch), int(size))
        print(json.dumps(allocated(*step) if kind == "allocated" else resident(*step, native=kind == "native")))
        return
    rows = []
    for step in STEPS:
        rows.append(measure(*step))
        print(json.dumps(rows[-1]), file=sys.stderr)
    write_result(given.out, {"machine": describe(), "unit": "bytes", "rows": rows})
    given.out.with_suffix(".md").write_text(table(rows), encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
