"""Proof: a sweep as tasks of Ray gives the table of this machine's processes, whatever is killed on the way.

    .venv/bin/python proofs/ray_sweep.py

Needs the extra `ray`. Three sweeps of the same runs, each by the command: by processes; by Ray; by Ray with a training
process killed, a worker of Ray killed, and the command stopped by SIGTERM, then given again. Each has a time limit.
The outcome goes to docs/proofs/ray_sweep.json; exit 1 when weights or numbers differ.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from residua._base.files import write_text
from residua.runtime.environment import environment

ROOT = Path(__file__).parents[1]
OUTCOME = ROOT / "docs" / "proofs" / "ray_sweep.json"
LIMIT_SECONDS = 900  # of each command
FIXED = "epochs=16,min_steps=0,train_images=200,batch_size=16,image_size=16,kernels=eager,workers=1"
WORDS = ["sweep", "digits", "--model", "cifar_resnet8", "--grid", f"lr=0.02,0.1,{FIXED}", "--seeds", "1"]
RAY = ["--launcher", "ray", "--cpus-per-run", "1"]


def command(out: Path, *words: str) -> subprocess.Popen[str]:
    """Begin a sweep in a session of its own."""
    begun = [sys.executable, "-m", "residua", *WORDS, "--out", str(out), *words]
    return subprocess.Popen(begun, stderr=subprocess.PIPE, text=True, start_new_session=True, cwd=out.parent)


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for a sweep, at most so long; return its exit code and what it said."""
    try:
        _, said = process.communicate(timeout=LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, said


def descendants(pid: int) -> Iterator[tuple[int, str]]:
    """Yield id and command line of every process below one."""
    for child in Path(f"/proc/{pid}/task").glob("*/children"):
        for number in child.read_text().split():
            try:
                yield int(number), Path(f"/proc/{number}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            yield from descendants(int(number))


def wait_for(found: Callable[[], int], process: subprocess.Popen[str]) -> int:
    """Return the first process id that is found while a sweep goes on."""
    until = time.monotonic() + LIMIT_SECONDS
    while process.poll() is None and time.monotonic() < until:
        try:
            if number := found():
                return number
        except OSError:  # a process has ended while it was looked at
            pass
        time.sleep(0.2)
    raise SystemExit("the sweep ended before it could be disturbed: give it more epochs")


def epochs(out: Path) -> int:
    """Return how many epochs all runs of a sweep have behind them."""
    return sum(len(path.read_text().splitlines()) for path in out.glob("*/history.jsonl"))


def disturbed(out: Path) -> dict[str, Any]:
    """Train by Ray, with a kill of each kind; return what was done, and the exit codes."""
    process = command(out, *RAY)

    def one(words: str, after: int) -> Callable[[], int]:
        def found() -> int:
            if epochs(out) < after:
                return 0
            return next((number for number, line in descendants(process.pid) if words in line), 0)

        return found

    os.kill(wait_for(one("residua.grids.worker", 3), process), signal.SIGKILL)
    at = [epochs(out)]
    os.kill(wait_for(one("ray::cifar_resnet8", 9), process), signal.SIGKILL)
    at.append(epochs(out))
    wait_for(lambda: epochs(out) >= 18, process)
    process.send_signal(signal.SIGTERM)
    stopped, said = end(process)
    at.append(epochs(out))
    left = [line for _, line in descendants(os.getpid()) if "residua.grids.worker" in line]
    code, _ = end(command(out, *RAY))
    return {
        "a training process killed after epochs": at[0],
        "a worker of Ray killed after epochs": at[1],
        "stopped by SIGTERM after epochs": at[2],
        "exit code of the stopped command": stopped,
        "it names how to go on": "--launcher ray" in said,
        "processes left": len(left),
        "exit code of the second command": code,
    }


def shown(out: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the table of a sweep without its times, and the hash of the weights of each run."""
    document = json.loads((out / "sweep.json").read_text())
    for cell in document["cells"]:
        for run in cell["runs"]:
            del run["seconds"]
    weights = {path.parent.name: hashlib.sha256(_tensors(path)).hexdigest() for path in out.glob("*/model.safetensors")}
    return {"cells": document["cells"], "failed": document["failed"]}, weights


def _tensors(path: Path) -> bytes:
    """Return what follows the header, which has times in it."""
    content = path.read_bytes()
    return content[8 + int.from_bytes(content[:8], "little") :]


def main() -> int:
    """Run the three sweeps and compare them."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RESIDUA_CACHE"] = str(Path(folder) / "cache")
        processes, ray, killed = (Path(folder) / name for name in ("processes", "ray", "killed"))
        codes = [end(command(processes, "--jobs", str(os.cpu_count())))[0], end(command(ray, *RAY))[0]]
        done = disturbed(killed)
        wanted = shown(processes)
        same = {"by Ray": shown(ray) == wanted, "by Ray, with three kills": shown(killed) == wanted}
    holds = (
        codes == [0, 0]
        and all(same.values())
        and done["exit code of the stopped command"] == 143
        and done["exit code of the second command"] == 0
        and done["it names how to go on"]
        and not done["processes left"]
    )
    document = {
        "ray": importlib.metadata.version("ray"),
        "runs": len(wanted[1]),
        "weights and table equal those by processes": same,
        "disturbed": done,
        "holds": holds,
        "machine": environment("cpu"),
    }
    write_text(OUTCOME, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    print(OUTCOME.read_text(encoding="utf-8"))
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
