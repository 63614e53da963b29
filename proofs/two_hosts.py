"""Proof: two hosts train what one process trains; when one of them is lost, the other goes on; it may come back.

    sudo .venv/bin/python proofs/two_hosts.py

Needs root and iproute2: two network namespaces, joined by a veth pair, stand for two hosts. Each starts
`torchrun --nnodes=1:2 … -m residua train` and they meet over TCP. Runs of one recipe:

1. one process, without torchrun; once more with the other memory layout, which differs by rounding alone;
2. two hosts to the end: the losses must be those of one process, as near as its own with another rounding;
3. two hosts, of which the second is cut off in the middle: its link goes down, then its processes are killed, so that
   no connection is closed. The first must notice, start again alone from the last checkpoint with the same global
   batch, and end with the curve of one process;
4. the same, but the second host comes back while the first goes on alone: it must join, and both must end with the
   curve of one process. TORCH_DISABLE_SHARE_RDZV_TCP_STORE is set here, see docs/scale.md;
5. two processes of one host under `torchrun --max-restarts 1`, of which the second is killed (SIGKILL) in the middle:
   they must go on by themselves, and end with the bytes of a run that was not killed. Batch normalisation is per
   process here, and kernels are the fused ones, where they can be built.

The second host has a folder of its own, in which nothing may be written. The outcome goes to
docs/proofs/two_hosts.json; exit 1 when one of them does not hold.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
HOSTS = ("residua-a", "residua-b")
ADDRESSES = ("10.77.0.1", "10.77.0.2")
RECIPE = {
    "--model": "cifar_resnet8",
    "--image-size": "16",
    "--batch-size": "64",
    "--epochs": "6",
    "--learning-rate": "0.02",
    "--precision": "fp32",
    "--workers": "1",
    "--mixup": "0.2",
    "--checkpoint-every-steps": "5",
}
CUT_AFTER = 40  # optimizer steps of 120
TOLERANCE = 3  # times the difference that rounding alone makes, which grows from step to step
FIRST = 5e-4  # relative, of the training loss of the first epoch, where it has not grown yet
LOSSES = ("train_loss", "val_loss")
LIMIT_SECONDS = 240.0
LONGER = "30"  # epochs, so that a host can come back before the other has ended
ELASTIC = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
_STARTED: list[subprocess.Popen[bytes]] = []


def main() -> int:
    """Run all of it and write the outcome."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "proofs")
    given = parser.parse_args()
    if os.geteuid() or not shutil.which("ip"):
        print("two_hosts: network namespaces need root and iproute2", file=sys.stderr)
        return 2
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, _hosts():
        outcome = _prove(Path(folder))
    outcome = {
        "proof": "two hosts",
        "command": "proofs/two_hosts.py",
        **outcome,
        "recipe": RECIPE,
        "tolerance": {"times_rounding": TOLERANCE, "first_epoch": FIRST},
        "versions": {"torch": version("torch"), "python": platform.python_version(), "system": platform.platform()},
        "seconds": round(time.monotonic() - began, 1),
    }
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "two_hosts.json").write_text(json.dumps(outcome, indent=1) + "\n")
    print(json.dumps(outcome, indent=1))
    return 0 if outcome["holds"] else 1


def _prove(folder: Path) -> dict[str, Any]:
    expected, rounding = _alone(folder / "alone")
    whole = _Pair(folder / "whole")
    codes = whole.wait()
    curve = _lines(whole.run)
    two = {
        "exit_codes": codes,
        "largest_difference": _difference(expected, curve),
        "first_difference": abs(curve[0]["train_loss"] / expected[0]["train_loss"] - 1),
        "written_by_the_second_host": whole.written_by_second(),
        "train_loss": [line["train_loss"] for line in curve],
        "train_loss_of_one_process": [line["train_loss"] for line in expected],
    }
    two["holds"] = (
        codes == [0, 0]
        and two["first_difference"] <= FIRST
        and two["largest_difference"] <= TOLERANCE * rounding
        and not two["written_by_the_second_host"]
    )

    cut = _Pair(folder / "cut")
    lost = {"cut_after_step": cut.cut_off(), **cut.go_on()}
    lost["largest_difference"] = _difference(expected, _lines(cut.run))
    lost["processes_at_the_end"] = _processes(cut.run)
    lost["holds"] = (
        lost["exit_code"] == 0
        and lost["seconds_until_noticed"] <= 60
        and lost["largest_difference"] <= TOLERANCE * rounding
        and lost["processes_at_the_end"] == 1
    )
    longer, longer_rounding = _alone(folder / "longer", LONGER)
    back = _Pair(folder / "back", LONGER, **ELASTIC)
    returned = {"cut_after_step": back.cut_off(), **back.come_back()}
    returned["largest_difference"] = _difference(longer, _lines(back.run))
    returned["difference_by_rounding_alone"] = longer_rounding
    returned["processes_at_the_end"] = _processes(back.run)
    returned["holds"] = (
        returned["exit_codes"] == [0, 0]
        and len(returned["resumed"]) == 2
        and returned["largest_difference"] <= TOLERANCE * longer_rounding
        and returned["processes_at_the_end"] == 2
    )
    killed = _killed(folder)
    holds = all(each["holds"] for each in (two, lost, returned, killed))
    return {
        "holds": holds,
        "difference_by_rounding_alone": rounding,
        "two_hosts": two,
        "lost_host": lost,
        "returned_host": returned,
        "killed_process": killed,
    }


def _alone(folder: Path, epochs: str = RECIPE["--epochs"]) -> tuple[list[dict[str, Any]], float]:
    """Return the curve of one process, and how far from it one is that differs by rounding alone."""
    folder.mkdir()
    for layout in ("yes", "no"):
        words = [sys.executable, *_train(folder / layout, epochs), "--channels-last", layout]
        subprocess.run(words, cwd=folder, check=True, timeout=LIMIT_SECONDS, env=_environment())
    return _lines(folder / "yes"), _difference(_lines(folder / "yes"), _lines(folder / "no"))


def _killed(folder: Path) -> dict[str, Any]:
    """Kill a worker of torchrun in the middle; return whether the bytes in the end are those of a run not killed."""
    hashes, killed_at, exits = [], 0, []
    for name in ("undisturbed", "killed"):
        out = folder / name / "run"
        out.parent.mkdir()
        words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        words += ["--max-restarts", "1", *_train(out, kernels="auto", sync_norm=False)]
        with (folder / f"{name}.txt").open("w") as stream:
            agent = subprocess.Popen(words, env=_environment() | {"GLOO_SOCKET_IFNAME": "lo"}, stderr=stream)
        _STARTED.append(agent)
        while name == "killed" and not killed_at and agent.poll() is None:
            if (step := _newest(out)) >= CUT_AFTER:
                os.kill(_descendants(agent.pid)[2], signal.SIGKILL)
                killed_at = step
            time.sleep(0.02)
        exits.append(agent.wait(LIMIT_SECONDS))
        hashes.append(hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest())
    lines = (folder / "killed.txt").read_text().splitlines()
    resumed = [line for line in lines if line.startswith("Resumed after")]
    return {
        "killed_after_step": killed_at,
        "exit_codes": exits,
        "resumed": resumed,
        "kernels": [line for line in lines if "kernels" in line][:1],
        "sha256": hashes,
        "holds": exits == [0, 0] and len(resumed) == 1 and hashes[0] == hashes[1],
    }


class _Pair:
    """A run on both hosts."""

    def __init__(self, folder: Path, epochs: str = RECIPE["--epochs"], **variables: str) -> None:
        self.folder, self.run = folder, folder / HOSTS[0] / "run"
        self.logs = [folder / f"{host}.txt" for host in HOSTS]
        self._epochs, self._variables = epochs, variables
        _ip("-n", HOSTS[1], "link", "set", "veth", "up")
        for host in HOSTS:
            (folder / host).mkdir(parents=True)
        self.processes = [self._start(number) for number in range(len(HOSTS))]

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        host = HOSTS[number]
        words = [
            *("ip", "netns", "exec", host, sys.executable, "-m", "torch.distributed.run", "--nnodes", "1:2"),
            *("--nproc-per-node", "1", "--max-restarts", "3", "--rdzv-backend", "c10d", "--rdzv-id", self.folder.name),
            *("--rdzv-endpoint", f"{ADDRESSES[0]}:29400", "--local-addr", ADDRESSES[number]),
            *("--rdzv-conf", f"last_call_timeout=15,is_host={str(not number).lower()}"),
            *_train(Path("run"), self._epochs),
        ]
        with self.logs[number].open("a") as stream:
            agent = subprocess.Popen(
                words, cwd=self.folder / host, env=_environment() | self._variables, stdout=stream, stderr=stream
            )
        _STARTED.append(agent)
        return agent

    def wait(self) -> list[int]:
        """Return the exit codes of both."""
        return [process.wait(LIMIT_SECONDS) for process in self.processes]

    def written_by_second(self) -> list[str]:
        """Return the files that the second host has written."""
        return sorted(path.name for path in (self.folder / HOSTS[1]).rglob("*"))

    def cut_off(self) -> int:
        """Cut the second host off in the middle; return the step of the newest checkpoint then."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while (step := _newest(self.run)) < CUT_AFTER:
            if time.monotonic() > deadline or self.processes[0].poll() is not None:
                raise RuntimeError(f"no checkpoint of step {CUT_AFTER}: {self.logs[0].read_text()[-3000:]}")
            time.sleep(0.02)
        _ip("-n", HOSTS[1], "link", "set", "veth", "down")
        for process in _descendants(self.processes[1].pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.processes[1].wait()
        return step

    def come_back(self) -> dict[str, Any]:
        """Start the second host again while the first goes on alone; wait until both have ended."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while "Resumed after" not in self.logs[0].read_text():
            if time.monotonic() > deadline or self.processes[0].poll() is not None:
                raise RuntimeError(f"the first host does not go on: {self.logs[0].read_text()[-3000:]}")
            time.sleep(0.02)
        _ip("-n", HOSTS[1], "link", "set", "veth", "up")
        self.processes[1] = self._start(1)
        return {
            "exit_codes": self.wait(),
            "resumed": [line for line in self.logs[0].read_text().splitlines() if line.startswith("Resumed after")],
        }

    def go_on(self) -> dict[str, Any]:
        """Wait until the first host has ended alone."""
        began = time.monotonic()
        noticed = 0.0
        while self.processes[0].poll() is None and time.monotonic() - began < LIMIT_SECONDS:
            if not noticed and ("no sign of life" in (text := self.logs[0].read_text()) or "lost the conn" in text):
                noticed = time.monotonic() - began
            time.sleep(0.1)
        for process in _descendants(self.processes[0].pid) if self.processes[0].poll() is None else ():
            os.kill(process, signal.SIGKILL)
        return {
            "exit_code": self.processes[0].wait(),
            "seconds_until_noticed": round(noticed, 1) or LIMIT_SECONDS,
            "seconds_until_the_end": round(time.monotonic() - began, 1),
            "resumed": [line for line in self.logs[0].read_text().splitlines() if line.startswith("Resumed after")],
        }


def _newest(run: Path) -> int:
    """Return the step of the newest checkpoint, 0 for none."""
    newest = max(run.glob("checkpoints/step-*.safetensors"), default=None)
    return int(newest.stem.removeprefix("step-")) if newest else 0


def _descendants(leader: int) -> list[int]:
    """Return the processes that descend from one, itself included: workers have sessions of their own."""
    table = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True).stdout
    parents = {int(pid): int(parent) for pid, parent in (line.split() for line in table.splitlines()[1:])}
    found = [leader]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def _train(out: Path, epochs: str = RECIPE["--epochs"], *, kernels: str = "eager", sync_norm: bool = True) -> list[str]:
    options = [word for pair in (RECIPE | {"--epochs": epochs}).items() for word in pair]
    words = ["-m", "residua", "train", "digits", "--out", str(out), *options, "--kernels", kernels]
    return [*words, "--sync-norm"] if sync_norm else words


def _environment() -> dict[str, str]:
    names = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "veth", "PYTHONPATH": str(ROOT / "src")}
    return dict(os.environ) | names


def _lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]


def _difference(expected: list[dict[str, Any]], actual: list[dict[str, Any]]) -> float:
    """Return the largest relative difference of two curves; infinite where their lengths differ."""
    if len(expected) != len(actual):
        return float("inf")
    pairs = [(mine[name], its[name]) for mine, its in zip(actual, expected, strict=True) for name in LOSSES]
    return float(max(abs(mine / its - 1) for mine, its in pairs))


def _processes(run: Path) -> int:
    from safetensors import safe_open

    with safe_open(run / "model.safetensors", "pt") as stream:
        metrics = json.loads(stream.metadata()["residua"])["metrics"]
    return int(metrics["computed_with"].get("processes", 1))


@contextlib.contextmanager
def _hosts() -> Iterator[None]:
    """Make the two namespaces with their link; remove them afterwards."""
    try:
        for host in HOSTS:
            _ip("netns", "add", host)
        _ip("-n", HOSTS[0], "link", "add", "veth", "type", "veth", "peer", "name", "veth", "netns", HOSTS[1])
        for host, address in zip(HOSTS, ADDRESSES, strict=True):
            _ip("-n", host, "address", "add", f"{address}/24", "dev", "veth")
            for link in ("lo", "veth"):
                _ip("-n", host, "link", "set", link, "up")
        yield
    finally:
        for pid in (each for agent in _STARTED if agent.poll() is None for each in _descendants(agent.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for host in HOSTS:
            subprocess.run(["ip", "netns", "delete", host], capture_output=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


if __name__ == "__main__":
    sys.exit(main())
