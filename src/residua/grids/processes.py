"""Several jobs at a time, each in a process of its own that shares the processors with the others."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from residua._base.subprocesses import processors, python_module
from residua.grids.account import Account

if TYPE_CHECKING:
    from residua.grids.jobs import Job

_POLL_SECONDS = 0.1  # a run takes seconds at least


@dataclass
class Worker:
    """A job in a process of its own.

    Attributes:
        process: whose standard input it watches: it saves itself and ends when that is closed.
        log: what it prints, appended.
        begins: where its own lines begin in the log, bytes.
        started: on the monotonic clock, seconds.
    """

    process: subprocess.Popen[str]
    log: Path
    begins: int
    started: float = field(default_factory=time.monotonic)

    def end(self) -> None:
        """Wait until it has ended, and close its input."""
        self.process.wait()
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()

    @property
    def reason(self) -> str:
        """Why it failed, "" where it did not."""
        code = self.process.returncode
        if not code:
            return ""
        with self.log.open("rb") as stream:
            stream.seek(self.begins)  # what stands before is of an earlier attempt
            lines = stream.read().decode("utf-8", errors="replace").strip().splitlines()
        ended = f"it was ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        # A traceback's last line is its error; errors of ours are one paragraph.
        return f"{lines[-1]} ({ended}; see {self.log})" if lines else f"{ended}; see {self.log}"


def run_jobs(
    jobs: Sequence[Job],
    *,
    at_once: int,
    logs: Path,
    stopped: Callable[[], bool],
    say: Callable[[str], None],
) -> dict[str, str]:
    """Do the jobs, the costliest first; return the reason of each that failed, by its name.

    Args:
        jobs: of names that differ.
        at_once: how many run at a time.
        logs: the folder of what the workers print; they also stand in it.
        stopped: asked often; once it is true, every worker saves itself and ends.
        say: prints a line.
    """
    threads = max(1, processors() // at_once)
    waiting = sorted(jobs, key=lambda job: -job.work)
    account = Account(jobs, say)
    running: list[tuple[Job, Worker]] = []
    try:
        while (waiting or running) and not stopped():
            while waiting and len(running) < at_once:
                job = waiting.pop(0)
                running.append((job, start_worker(job.name, job.to_json(), logs, threads)))
            time.sleep(_POLL_SECONDS)
            for job, worker in [pair for pair in running if pair[1].process.poll() is not None]:
                running.remove((job, worker))
                worker.end()
                account.end(job, time.monotonic() - worker.started, worker.reason)
            account.show(job for job, _ in running)
    finally:
        for _, worker in running:
            worker.process.send_signal(signal.SIGTERM)
        for _, worker in running:
            worker.end()
    return account.failed


def default_jobs(count: int, device: str) -> int:
    """Return how many of `count` jobs run at a time: one per processor, at most 8; a GPU serves one."""
    import torch

    if device.startswith("cuda") or (device == "auto" and torch.cuda.is_available()):
        return 1
    return max(1, min(count, processors(), 8))


def start_worker(name: str, line: str, logs: Path, threads: int) -> Worker:
    """Begin a job in a process of its own.

    Args:
        name: of the job; the process prints to NAME.txt in the folder `logs`.
        line: the job, as `Job.to_json` returned it.
        logs: an existing or new folder.
        threads: that it computes with.
    """
    command, environment = python_module("residua.grids.worker")
    log = logs / f"{name}.txt"
    logs.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as stream:
        begins = stream.tell()
        # A session of its own: Ctrl-C reaches this process alone, which then stops its workers one by one.
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=stream,
            stderr=stream,
            text=True,
            start_new_session=True,
            cwd=logs,
            env=environment | {"OMP_NUM_THREADS": str(threads)},
        )
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it has died already, as its exit code will show
        process.stdin.write(f"{line}\n{threads}\n")
        process.stdin.flush()
    return Worker(process, log, begins)
