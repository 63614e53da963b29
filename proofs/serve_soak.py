"""Proof: a server at half of what it can do keeps its memory, and answers every request.

    .venv/bin/python proofs/serve_soak.py [--minutes 10] [--run RUN] [--engine openvino] [--workers 1]

Measures what the server can do (a closed loop), then loads it at half of that from another process: half of the time
with arrivals at random times, half with clients that pause. Memory (PSS of all processes of the server) is sampled
every second; its mean over the last quarter must be within 2% of that over the second quarter, and no request may
fail. The outcome goes to docs/proofs/serve_soak.json; exit 1 when one of these does not hold.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
OUTCOME = ROOT / "docs" / "proofs" / "serve_soak.json"
LOAD = ROOT / "benchmarks" / "http_load.py"
LARGEST_GROWTH = 0.02
_CLIENTS = 8


def photo(height: int = 375, width: int = 500) -> bytes:
    """Return a JPEG of clouds, as large as a photo of ImageNet."""
    small = np.random.default_rng(0).integers(0, 256, (height // 12, width // 12, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def small_run(folder: Path) -> Path:
    """Save an untrained cifar_resnet20: what a soak shows does not depend on weights."""
    import torch

    from residua.families.build import build
    from residua.specs.catalog import get_spec
    from residua.specs.preprocess import default_preprocess
    from residua.weights.bundle.write import save_bundle

    torch.manual_seed(0)
    spec = get_spec("cifar_resnet20")
    options: dict[str, Any] = {"metrics": {}, "data": {}, "recipe": None}
    save_bundle(
        folder,
        tensors=build(spec).state_dict(),
        spec=spec,
        classes=[str(each) for each in range(spec.num_classes)],
        preprocess=default_preprocess(32),
        **options,
    )
    return folder


def memory(pid: int) -> int:
    """Return the bytes of a process and all below it, shared pages in parts."""
    total, waiting = 0, [pid]
    while waiting:
        place = Path(f"/proc/{waiting.pop()}")
        try:
            total += int(re.findall(r"^Pss:\s+(\d+) kB", (place / "smaps_rollup").read_text(), re.M)[0]) << 10
            waiting += map(int, (place / "task" / place.name / "children").read_text().split())
        except (OSError, IndexError):
            continue
    return total


def load(url: str, body: Path, seconds: float, *words: str) -> dict[str, Any]:
    """Run the load in a process of its own."""
    command = [sys.executable, str(LOAD), f"{url}/predict", str(body), "--seconds", str(seconds), *words]
    document: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return document


def soak(url: str, pid: int, body: Path, minutes: float) -> dict[str, Any]:
    """Load a server; return what came of it."""
    load(url, body, 3.0, "--clients", str(_CLIENTS))
    capacity = load(url, body, 8.0, "--clients", str(_CLIENTS))["per_second"]
    samples: list[int] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(1.0):
            samples.append(memory(pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    seconds, rate = 30 * minutes, capacity / 2
    try:
        arrivals = load(url, body, seconds, "--rate", str(rate))
        pause = max(0.0, _CLIENTS / rate - (arrivals["p50"] or 0.0))
        clients = load(url, body, seconds, "--clients", str(_CLIENTS), "--pause", str(pause))
    finally:
        ended.set()
        watcher.join()
    # The first quarter fills pools and caches.
    quarter = len(samples) // 4
    before, after = fmean(samples[quarter : 2 * quarter]), fmean(samples[-quarter:])
    failed = sum(
        number for each in (arrivals, clients) for status, number in each["statuses"].items() if status != "200"
    )
    answered = bool(arrivals["answers"]) and bool(clients["answers"])
    return {
        "capacity_per_second": capacity,
        "arrivals": arrivals,
        "clients": clients,
        "failed": failed,
        "memory_bytes": {"second_quarter": before, "last_quarter": after, "largest": max(samples)},
        "growth": after / before - 1,
        "holds": answered and failed == 0 and after / before - 1 <= LARGEST_GROWTH,
    }


def main() -> int:
    """Start a server and soak it."""
    from residua.runtime.environment import environment
    from serving.commands import started

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = options.run or small_run(Path(folder, "a"))
        body = Path(folder, "photo.jpg")
        body.write_bytes(photo())
        words = [f"a={run}", "--engine", options.engine, "--workers", str(options.workers)]
        began = time.monotonic()
        with Path(folder, "log").open("w") as log, started(*words, stderr=log) as (process, document):
            outcome = soak(document["url"], process.pid, body, options.minutes)
    settings = {"minutes": options.minutes, "engine": options.engine, "workers": options.workers}
    outcome = {"settings": settings, **outcome, "seconds": time.monotonic() - began, "environment": environment()}
    OUTCOME.write_text(json.dumps(outcome, indent=2) + "\n", encoding="utf-8")
    answers = outcome["arrivals"]["answers"] + outcome["clients"]["answers"]
    print(f"{answers} answers, {outcome['failed']} failed, memory {100 * outcome['growth']:+.2f}%")
    return 0 if outcome["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
