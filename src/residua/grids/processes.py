"""Several jobs at a time, each in a process of its own that shares the processors with the others."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import residua
from residua.specs.schema import to_json
from residua.studies.plan import Job, Plan
from residua.training.progress import clock
from residua.training.recipe_file import to_dict

Say = Callable[[str], None]
_POLL_SECONDS = 0.1
_TELL_SECONDS = 30.0


@dataclass
class _Worker:
    job: Job
    process: subprocess.Popen[str]
    log: Path
    begins: int
    started: float = field(default_factory=time.monotonic)

    def end(self) -> None:
        """Wait until it has ended; let go of its input."""
        self.process.wait()
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()


def run_jobs(
    plan: Plan, jobs: Sequence[tuple[Job, float]], at_once: int, stopped: Callable[[], bool], say: Say
) -> dict[str, str]:
    """Work through the jobs, the costliest first; return the reason of each that failed, by its name.

    Args:
        plan: whose jobs they are.
        jobs: each with its work, in any unit.
        at_once: how many run at a time.
        stopped: asked often; once it is true, every worker saves itself and ends.
        say: prints a line.
    """
    threads = max(1, _processors() // at_once)
    waiting = sorted(jobs, key=lambda pair: -pair[1])
    total, done, began = sum(work for _, work in waiting), 0.0, time.monotonic()
    work_of = {job.name: work for job, work in waiting}
    running: list[_Worker] = []
    failed: dict[str, str] = {}
    told = time.monotonic()
    count, ended = len(waiting), 0
    try:
        while (waiting or running) and not stopped():
            while waiting and len(running) < at_once:
                running.append(_start(plan, waiting.pop(0)[0], threads))
            time.sleep(_POLL_SECONDS)
            for worker in [worker for worker in running if worker.process.poll() is not None]:
                running.remove(worker)
                worker.end()
                job, seconds, ended = worker.job, time.monotonic() - worker.started, ended + 1
                done += work_of[job.name]
                if worker.process.returncode:
                    failed[job.name] = _reason(worker)
                    say(f"{job.name} failed ({ended} of {count}): {failed[job.name]}")
                else:
                    left = (time.monotonic() - began) * (total - done) / max(done, 1e-9)
                    ahead = f"about {clock(left)} left" if ended < count else "all done"
                    say(f"{job.name} took {clock(seconds)} ({ended} of {count}; {ahead})")
            if running and time.monotonic() - told > _TELL_SECONDS:
                told = time.monotonic()
                say("; ".join(_moment(worker.job) for worker in running))
    finally:
        for worker in running:
            worker.process.send_signal(signal.SIGTERM)
        for worker in running:
            worker.end()
    return failed


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_jobs(count: int, device: str) -> int:
    """Return how many of `count` jobs run at a time: one a processor, at most 8; a GPU serves one."""
    import torch

    if device.startswith("cuda") or (device == "auto" and torch.cuda.is_available()):
        return 1
    return max(1, min(count, _processors(), 8))


def _start(plan: Plan, job: Job, threads: int) -> _Worker:
    document = {
        "study": plan.study.name,
        "quick": plan.asked.quick,
        "data": plan.data,
        "data_dir": str(plan.data_dir) if plan.data_dir else None,
        "spec": to_json(job.spec),
        "recipe": to_dict(job.recipe),
        "folder": str(job.folder),
        "measured": str(job.measured),
        "key": job.key,
        "threads": threads,
    }
    # The very package that this process runs, wherever it was imported from.
    places = [str(Path(residua.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    log = plan.folder / "logs" / f"{job.name}.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as stream:
        begins = stream.tell()
        # A session of its own: Ctrl-C reaches the study alone, which then stops its workers one by one.
        process = subprocess.Popen(
            [sys.executable, "-m", "residua.grids.worker"],
            stdin=subprocess.PIPE,
            stdout=stream,
            stderr=stream,
            text=True,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(places)},
        )
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it has died already: its exit code will tell
        process.stdin.write(json.dumps(document) + "\n")
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
        epochs = len((job.folder / "history.jsonl").read_text(encoding="utf-8").splitlines())
    except OSError:
        epochs = 0
    return f"{job.name} after epoch {epochs}" + (f" of {job.recipe.epochs}" if job.recipe.epochs else "")
