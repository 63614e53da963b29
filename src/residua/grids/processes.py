"""Several jobs at a time, each in a process of its own that shares the processors with the others."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from residua._base.run_files import HISTORY_FILE
from residua._base.subprocesses import processors, python_module
from residua._base.words import clock
from residua.grids.jobs import Job

_POLL_SECONDS = 0.1  # a run takes seconds at least
_REPORT_SECONDS = 30.0  # as often as a bar is written where there is no terminal


@dataclass
class _Worker:
    job: Job
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
    total, done, began = sum(job.work for job in waiting), 0.0, time.monotonic()
    running: list[_Worker] = []
    failed: dict[str, str] = {}
    reported = time.monotonic()
    count, ended = len(waiting), 0
    try:
        while (waiting or running) and not stopped():
            while waiting and len(running) < at_once:
                running.append(_start(waiting.pop(0), logs, threads))
            time.sleep(_POLL_SECONDS)
            for worker in [worker for worker in running if worker.process.poll() is not None]:
                running.remove(worker)
                worker.end()
                job, seconds, ended = worker.job, time.monotonic() - worker.started, ended + 1
                done += job.work
                if worker.process.returncode:
                    failed[job.name] = _reason(worker)
                    say(f"{job.name} failed ({ended} of {count}): {failed[job.name]}")
                else:
                    left = (time.monotonic() - began) * (total - done) / max(done, 1e-9)
                    ahead = f"about {clock(left)} left" if ended < count else "all done"
                    say(f"{job.name} took {clock(seconds)} ({ended} of {count}; {ahead})")
            if running and time.monotonic() - reported > _REPORT_SECONDS:
                reported = time.monotonic()
                say("; ".join(_moment(worker.job) for worker in running))
    finally:
        for worker in running:
            worker.process.send_signal(signal.SIGTERM)
        for worker in running:
            worker.end()
    return failed


def default_jobs(count: int, device: str) -> int:
    """Return how many of `count` jobs run at a time: one per processor, at most 8; a GPU serves one."""
    import torch

    if device.startswith("cuda") or (device == "auto" and torch.cuda.is_available()):
        return 1
    return max(1, min(count, processors(), 8))


def _start(job: Job, logs: Path, threads: int) -> _Worker:
    command, environment = python_module("residua.grids.worker")
    log = logs / f"{job.name}.txt"
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
        process.stdin.write(f"{job.to_json()}\n{threads}\n")
        process.stdin.flush()
    return _Worker(job, process, log, begins)


def _reason(worker: _Worker) -> str:
    with worker.log.open("rb") as stream:
        stream.seek(worker.begins)  # what stands before is of an earlier attempt
        lines = stream.read().decode("utf-8", errors="replace").strip().splitlines()
    code = worker.process.returncode
    ended = f"it was ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    # A traceback's last line is its error; errors of ours are one paragraph.
    return f"{lines[-1]} ({ended}; see {worker.log})" if lines else f"{ended}; see {worker.log}"


def _moment(job: Job) -> str:
    try:
        epochs = len((job.folder / HISTORY_FILE).read_text(encoding="utf-8").splitlines())
    except OSError:
        epochs = 0
    return f"{job.name} after epoch {epochs}" + (
        f" of {job.recipe.epochs}" if job.recipe.epochs and not job.recipe.min_steps else ""
    )
