"""Proof: what would wear a server out, at full size.

    .venv/bin/python proofs/serve_faults.py [--reloads 500] [--labels 1000000]

500 reloads while requests go on: every one is answered, and memory stays. Arrivals at ten times the rate that it can
answer: answers are 200 or 503, and afterwards all goes on. The model's file replaced by garbage: the old version stays,
and the error is stated. A million distinct paths, names and methods: the metrics have as many series as before. The
outcome goes to docs/proofs/serve_faults.json; exit 1 where one does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "proofs")]

from serve_soak import load, memory, photo, small_run  # noqa: E402 - it stands beside this file

OUTCOME = ROOT / "docs" / "proofs" / "serve_faults.json"
RAW = {"Inference-Header-Content-Length": "0"}
LARGEST_GROWTH = 0.02
_SETTLED = 50
"""Reloads before memory is taken: allocators and caches fill."""


def reloads(http: httpx.Client, pid: int, body: bytes, count: int) -> dict[str, Any]:
    """Reload a model again and again while requests go on."""
    statuses: list[int | str] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                statuses.append(http.post("/v2/models/a/infer", content=body, headers=RAW).status_code)
            except httpx.TransportError as error:
                statuses.append(type(error).__name__)

    thread = threading.Thread(target=ask)
    thread.start()
    before, failed = 0, 0
    for number in range(_SETTLED + count):
        if number == _SETTLED:
            before = memory(pid)
        failed += http.post("/v2/repository/models/a/load").status_code != 200
    stop.set()
    thread.join()
    time.sleep(1)
    after = memory(pid)
    growth = after / before - 1
    dropped = sum(status != 200 for status in statuses)
    return {
        "reloads": count,
        "failed": failed,
        "requests": len(statuses),
        "dropped": dropped,
        "memory_bytes": [before, after],
        "growth": growth,
        "holds": bool(statuses) and not failed and not dropped and growth <= LARGEST_GROWTH,
    }


def overload(http: httpx.Client, url: str, pid: int, body: Path) -> dict[str, Any]:
    """Send ten times what the server can answer."""
    capacity = load(url, body, 5.0, "--clients", "8")["per_second"]
    before = memory(pid)
    flood = load(url, body, 10.0, "--rate", str(10 * capacity), "--connections", "900")
    time.sleep(2)
    again = http.post("/v2/models/a/infer", content=body.read_bytes(), headers=RAW)
    refused = http.get("/metrics").text
    # Some answered and some refused: else it was no flood, or nothing was served in it.
    came = set(flood["statuses"])
    holds = {"200", "503"} <= came <= {"200", "503", "not sent"} and again.status_code == 200
    return {
        "capacity_per_second": capacity,
        "rate_per_second": 10 * capacity,
        "statuses": flood["statuses"],
        "p99_of_answers": flood["p99"],
        "counted_as_queue_full": 'reason="queue_full"' in refused,
        "memory_bytes": [before, memory(pid)],
        "holds": holds,
    }


def garbage(http: httpx.Client, run: Path, body: bytes) -> dict[str, Any]:
    """Replace the model's file while it is served."""
    before = http.post("/v2/models/a/infer", content=body, headers=RAW).json()
    weights = run / "model.safetensors"
    whole = weights.read_bytes()
    rows = []
    for name, content in (("text", b"garbage"), ("cut", whole[:-1]), ("one byte", whole[:-1] + bytes([whole[-1] ^ 1]))):
        weights.write_bytes(content)
        refused = http.post("/v2/repository/models/a/load")
        same = http.post("/v2/models/a/infer", content=body, headers=RAW).json() == before
        (entry,) = http.post("/v2/repository/index").json()
        stated = "model.safetensors" in refused.json()["error"] and "model.safetensors" in entry["reason"]
        rows.append({"content": name, "status": refused.status_code, "old_answers": same, "stated": stated})
    weights.write_bytes(whole)
    restored = http.post("/v2/repository/models/a/load").status_code
    holds = restored == 200 and all(row["status"] == 400 and row["old_answers"] and row["stated"] for row in rows)
    return {"rows": rows, "restored": restored, "holds": holds}


def labels(count: int) -> dict[str, Any]:
    """Offer distinct paths, names and methods to the application itself: a million over sockets would take an hour."""
    from residua.serving.app import build_app
    from residua.serving.logs import start_logs
    from residua.serving.service import Service
    from residua.serving.settings import Settings

    start_logs(quiet=True)
    service = Service(Settings())
    app = build_app(service, [])

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        pass

    async def ask(number: int) -> None:
        kind = number % 4
        paths = (f"/{number}", f"/v2/models/{number}", f"/v2/models/m/versions/{number}/ready", "/v2")
        scope = {
            "type": "http",
            "method": f"M{number}" if kind == 3 else "GET",
            "path": paths[kind],
            "raw_path": paths[kind].encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"localhost"), (b"user-agent", str(number).encode())],
        }
        await app(scope, receive, send)

    def series() -> int:
        return sum(not line.startswith("#") for line in service.metrics.text().decode().splitlines())

    async def offer() -> tuple[int, int]:
        await service.start([])
        for number in range(1000):
            await ask(number)
        before = series()
        for number in range(1000, count):
            await ask(number)
        after = series()
        await service.close()
        return before, after

    before, after = asyncio.run(offer())
    return {"offered": count, "series": [before, after], "holds": before == after}


def main() -> int:
    """Run them all."""
    from residua.runtime.environment import environment
    from serving.commands import started

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reloads", type=int, default=500)
    parser.add_argument("--labels", type=int, default=1_000_000)
    options = parser.parse_args()
    outcome: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder, "runs")
        run = small_run(runs / "a")
        body = Path(folder, "photo.jpg")
        body.write_bytes(photo())
        words = [f"a={run}", "--engine", "openvino", "--repository", str(runs)]
        with Path(folder, "log").open("w") as log, started(*words, stderr=log) as (process, document):
            url = document["url"]
            with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
                outcome["reloads"] = reloads(http, process.pid, body.read_bytes(), options.reloads)
                outcome["overload"] = overload(http, url, process.pid, body)
                outcome["garbage"] = garbage(http, run, body.read_bytes())
        shutil.rmtree(runs)
    outcome["labels"] = labels(options.labels)
    for name, each in outcome.items():
        print(f"{name}: {'holds' if each['holds'] else 'DOES NOT HOLD'}")
    OUTCOME.write_text(json.dumps({**outcome, "environment": environment()}, indent=2) + "\n", encoding="utf-8")
    return 0 if all(each["holds"] for each in outcome.values() if "holds" in each) else 1


if __name__ == "__main__":
    sys.exit(main())
