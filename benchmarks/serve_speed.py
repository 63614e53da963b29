"""Benchmark: our server beside a plain FastAPI server, LitServe and MLServer, with the same weights, in one run.

    python -m venv others && others/bin/pip install litserve fastapi uvicorn torch torchvision safetensors
    python -m venv mlserver && mlserver/bin/pip install 'mlserver<2' torch torchvision safetensors
    .venv/bin/python benchmarks/serve_speed.py --litserve others/bin/python --mlserver mlserver/bin/python

resnet50 at 224 pixels, JPEG photos of 500 × 375, load from another process. Every server is started once, and stopped
(SIGSTOP) while another is measured. In turns: images per second of a closed loop, then latencies of arrivals at half of
that rate, at equal distances (as wrk2 and vegeta send them) and at random times. Beside it the engine alone, on pixels,
in a process of its own; ours is also sent tensors, of which the server has nothing to decode, as the engine has not.
Goals: 90% of the engine's images per second; p99 at half load at most 3 times the engine's batch of one; 5 times
FastAPI; twice LitServe and MLServer. The outcome goes to benchmarks/results/serve_speed.json.

At random times even a server that takes the same time for each request, one by one, has its p99 at 4.3 times that.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "proofs")]
OUTCOME = ROOT / "benchmarks" / "results" / "serve_speed.json"
PEERS = ROOT / "benchmarks" / "serve_peers"
LOAD = ROOT / "benchmarks" / "http_load.py"
OURS = {
    "openvino int8": ("openvino", "int8"),
    "openvino bf16": ("openvino", "bf16"),
    "openvino fp32": ("openvino", "fp32"),
    "eager fp32": ("eager", "fp32"),
}
CLIENTS = 32
NUMBERS = ("per_second", "p50", "p99", "p50_random", "p99_random")
"""Of each server: images per second, then latencies at half of that in seconds, arrivals even and random."""
_BATCH = 16


@dataclass
class Server:
    """A server that runs.

    Attributes:
        name: of it.
        pid: the leader of its process group.
        url: that requests go to.
        body: of a request.
        headers: of a request.
        tensor: another address with body and headers, for the same image prepared; None for a server without one.
        ready_seconds: from its start to its first answer; its graph is in the cache.
        idle_bytes: of memory then, its part of shared pages included.
    """

    name: str
    pid: int
    url: str
    body: Path
    headers: dict[str, str]
    tensor: tuple[str, Path, dict[str, str]] | None = None
    ready_seconds: float | None = None
    idle_bytes: int | None = None

    def send(self, number: int) -> None:
        """Send a signal to all of its processes, of which some lead groups of their own."""
        waiting = [self.pid]
        while waiting:
            pid = waiting.pop()
            try:
                waiting += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
                os.kill(pid, number)
            except (OSError, ProcessLookupError):
                continue

    def load(self, seconds: float, *words: str, tensor: bool = False) -> dict[str, Any]:
        """Load it from another process, with its photo or with its tensor."""
        url, body, headers = self.tensor if tensor and self.tensor else (self.url, self.body, self.headers)
        command = [sys.executable, str(LOAD), url, str(body), "--seconds", str(seconds), *words]
        for name, value in headers.items():
            command += ["--header", f"{name}={value}"]
        document: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        return document


def engine_speed(run: Path, engine: str, precision: str) -> dict[str, float]:
    """Measure the engine alone, in this process: images per second at the server's batch, seconds for one image."""
    import numpy as np

    from residua.serving.networks.network import Computation
    from residua.serving.networks.open import open_network

    # An export in int8 states its precision itself.
    network = open_network(run, Computation(engine, "fp32" if precision == "int8" else precision))
    pixels = list(np.random.default_rng(0).integers(0, 256, (_BATCH, 224, 224, 3), np.uint8))

    def best(count: int, passes: int) -> float:
        times = []
        for _ in range(passes):
            start = time.perf_counter()
            network.logits([pixels[:count]])
            times.append(time.perf_counter() - start)
        return median(times[1:])

    return {"per_second": _BATCH / best(_BATCH, 8), "one_seconds": best(1, 16)}


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def start(stack: ExitStack, command: list[str], **options: Any) -> subprocess.Popen[str]:
    """Start a process in a group of its own, ended with the stack."""
    process = subprocess.Popen(command, text=True, start_new_session=True, **options)

    def end() -> None:
        for number in (signal.SIGCONT, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
            except ProcessLookupError:
                return
        process.wait()

    stack.callback(end)
    return process


def ours(stack: ExitStack, name: str, run: Path, photo: Path, log: Any, workers: int) -> Server:
    """Start our server, twice: the first converts the run and keeps the graph."""
    from serve_soak import memory

    from serve_inputs import write_tensor

    engine, precision = OURS[name]
    words = ["serve", f"a={run}", "--engine", engine, "--port", "0", "--json"]
    words += [] if precision == "int8" else ["--precision", precision]
    # While others are measured it stands still, which is no reason to start anything again.
    words += ["--workers", str(workers), "--stall", "86400"]
    with ExitStack() as first:
        _started(first, words, log)
    before = time.monotonic()
    process, url = _started(stack, words, log)
    ready, idle = time.monotonic() - before, memory(process.pid)
    tensor = (f"{url}/v2/models/a/infer", *write_tensor(photo.with_suffix(".tensor")))
    headers = {"Content-Type": "image/jpeg"}
    return Server(name, process.pid, f"{url}/predict", photo, headers, tensor, ready, idle)


def _started(stack: ExitStack, words: list[str], log: Any) -> tuple[subprocess.Popen[str], str]:
    process = start(stack, [sys.executable, "-m", "residua", *words], stdout=subprocess.PIPE, stderr=log)
    assert process.stdout is not None
    text = ""
    while not text.rstrip().endswith("\n}"):
        line = process.stdout.readline()
        if not line:
            raise SystemExit(f"the server did not start: {words}")
        text += line
    return process, json.loads(text)["url"]


def theirs(stack: ExitStack, kind: str, python: str, folder: Path, photo: Path, environment: dict[str, str]) -> Server:
    """Start one of the others and wait until it answers."""
    port = free_port()
    variables = os.environ | environment | {"PORT": str(port), "PYTHONPATH": str(PEERS)}
    content = base64.b64encode(photo.read_bytes()).decode()
    path, document = "/predict", {"image": content}
    command = [python, str(PEERS / f"{kind}_server.py")]
    if kind == "mlserver":
        place = folder / "mlserver"
        place.mkdir()
        settings = {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port(), "parallel_workers": 0}
        (place / "settings.json").write_text(json.dumps({"host": "127.0.0.1", "debug": False, **settings}))
        model = {"name": "a", "implementation": "mlserver_model.Net", "max_batch_size": _BATCH, "max_batch_time": 0.01}
        (place / "model-settings.json").write_text(json.dumps(model))
        command = [python, "-m", "mlserver.cli.main", "start", str(place)]
        path, document = (
            "/v2/models/a/infer",
            {
                "inputs": [{"name": "image", "shape": [1, 1], "datatype": "BYTES", "data": [content]}]  # type: ignore[dict-item]
            },
        )
    headers = {"Content-Type": "application/json"}
    body = folder / f"{kind}.json"
    if kind == "fastapi":
        body, headers = photo, {"Content-Type": "image/jpeg"}
    else:
        body.write_text(json.dumps(document))
    log = stack.enter_context((folder / f"{kind}.log").open("w"))
    process = start(stack, command, env=variables, stdout=log, stderr=log, cwd=folder)
    server = Server(kind, process.pid, f"http://127.0.0.1:{port}{path}", body, headers)
    until = time.monotonic() + 120
    while True:
        try:
            request = urllib.request.Request(server.url, body.read_bytes(), headers)
            with urllib.request.urlopen(request, timeout=30):
                return server
        except OSError as error:
            if time.monotonic() > until or process.poll() is not None:
                raise SystemExit(f"{kind} did not start ({error}): {Path(log.name).read_text()[-1500:]}") from None
            time.sleep(0.5)


def measure(servers: list[Server], engines: dict[str, Any], rounds: int, seconds: float) -> dict[str, dict[str, Any]]:
    """Measure all in turns; return the rows by name."""
    rows: dict[str, dict[str, Any]] = {
        each.name: {key: [] for key in (*NUMBERS, *(("tensors",) if each.tensor else ()))} | {"failed": 0}
        for each in servers
    }
    for server in servers:
        server.send(signal.SIGSTOP)
    for _ in range(rounds):
        for server in servers:
            if server.name in engines:
                engines[server.name].append(_engine_in_process(*engines["of"][server.name]))
            server.send(signal.SIGCONT)
            row = rows[server.name]
            server.load(1.0, "--clients", str(CLIENTS))
            full = server.load(seconds, "--clients", str(CLIENTS))
            rate = ("--rate", str(full["per_second"] / 2))
            even, half = server.load(seconds, *rate, "--even"), server.load(seconds, *rate)
            loads = [full, even, half]
            if server.tensor:
                loads.append(server.load(seconds, "--clients", str(CLIENTS), tensor=True))
                row["tensors"].append(loads[-1]["per_second"])
            server.send(signal.SIGSTOP)
            values = (full["per_second"], even["p50"], even["p99"], half["p50"], half["p99"])
            for key, value in zip(NUMBERS, values, strict=True):
                row[key].append(value)
            row["failed"] += sum(n for each in loads for status, n in each["statuses"].items() if status != "200")
    return rows


def _engine_in_process(run: Path, engine: str, precision: str) -> dict[str, float]:
    words = [sys.executable, __file__, "--engine-alone", str(run), engine, precision]
    document: dict[str, float] = json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)
    return document


def summary(rows: dict[str, dict[str, Any]], engines: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row per server: medians, spreads, and the ratios of the goals."""
    middle = {name: median(row["per_second"]) for name, row in rows.items()}
    table = []
    for name, row in rows.items():
        entry: dict[str, Any] = {"server": name, "per_second": middle[name], "failed": row["failed"]}
        entry["spread"] = [min(row["per_second"]), max(row["per_second"])]
        entry |= {key: median(value or 0.0 for value in row[key]) for key in NUMBERS[1:]}
        if name in engines:
            alone = [each["per_second"] for each in engines[name]]
            # Both of one turn: the machine is the same.
            entry["share_of_engine"] = median(
                own / engine for own, engine in zip(row["per_second"], alone, strict=True)
            )
            entry["share_of_engine_tensors"] = median(
                own / engine for own, engine in zip(row["tensors"], alone, strict=True)
            )
            for key in ("p99", "p99_random"):
                late = zip(row[key], engines[name], strict=True)
                entry[f"{key}_over_one"] = median(seconds / each["one_seconds"] for seconds, each in late)
            entry |= {
                f"times_{peer}": median(a / b for a, b in zip(row["per_second"], rows[peer]["per_second"], strict=True))
                for peer in rows
                if peer not in OURS
            }
        table.append(entry)
    return table


def main() -> int:
    """Start all servers and measure them in turns."""
    from machine import describe, write_result

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fastapi", default=sys.executable, help="an interpreter with fastapi, torch and torchvision")
    parser.add_argument("--litserve", help="an interpreter with litserve, torch and torchvision")
    parser.add_argument("--mlserver", help="an interpreter with mlserver, torch and torchvision")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each load")
    parser.add_argument("--only", action="append", choices=list(OURS), help="of ours, these alone")
    parser.add_argument("--workers", type=int, default=1, help="of our server")
    parser.add_argument("--engine-alone", nargs=3, metavar=("RUN", "ENGINE", "PRECISION"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.engine_alone:
        run, engine, precision = options.engine_alone
        print(json.dumps(engine_speed(Path(run), engine, precision)))
        return 0
    from serve_soak import photo as make_photo

    from serve_inputs import quantised, save_run

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        run, photo = save_run(folder / "run"), folder / "photo.jpg"
        photo.write_bytes(make_photo())
        environment = {"WEIGHTS": str(run / "model.safetensors")}
        log = stack.enter_context((folder / "log").open("w"))
        names = options.only or list(OURS)
        places = dict.fromkeys(names, run)
        if "openvino int8" in names:
            places["openvino int8"] = quantised(run, folder)
        servers = [ours(stack, name, places[name], photo, log, options.workers) for name in names]
        for kind in ("fastapi", "litserve", "mlserver"):
            if python := getattr(options, kind):
                for each in servers:
                    each.send(signal.SIGSTOP)
                servers.append(theirs(stack, kind, python, folder, photo, environment))
        engines: dict[str, Any] = {name: [] for name in names}
        engines["of"] = {name: (places[name], *OURS[name]) for name in names}
        rows = measure(servers, engines, options.rounds, options.seconds)
    engines.pop("of")
    table = summary(rows, engines)
    for entry, server in zip(table, servers, strict=True):
        entry |= {"ready_seconds": server.ready_seconds, "idle_bytes": server.idle_bytes}
    settings = {"rounds": options.rounds, "seconds": options.seconds, "clients": CLIENTS, "workers": options.workers}
    document = {"settings": settings, "table": table, "rounds": rows, "engines": engines, "machine": describe()}
    write_result(OUTCOME, document)
    for entry in table:
        shown = ("share", "p99_", "times", "ready", "idle")
        ratios = {key: round(value, 2) for key, value in entry.items() if key.startswith(shown) and value is not None}
        print(
            f"{entry['server']:15} {entry['per_second']:7.1f}/s, {entry['spread'][0]:.1f} to {entry['spread'][1]:.1f}, "
            f"p50 {1000 * entry['p50']:.0f} ms, p99 {1000 * entry['p99']:.0f} ms, {entry['failed']} failed, {ratios}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
