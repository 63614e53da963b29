"""Jobs of a grid as tasks of Ray, on this machine or on many.

A task starts the same worker as a grid of one machine does, with as many threads, and waits for it. Where the
task is cancelled or its process dies, the input of the worker ends, and it saves itself. The next attempt goes on from
there. The processes of Ray do not import torch.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from residua._base.errors import InputError
from residua._base.lock import if_free
from residua._base.run_files import LOCK_FILE
from residua.grids.account import Account
from residua.grids.processes import Worker, start_worker

if TYPE_CHECKING:
    from residua.grids.jobs import Job

TRIES_AGAIN = 3
"""How often a job whose process or machine has died is begun again, wherever there is room."""
_POLL_SECONDS = 0.2
_SAVING_SECONDS = 60.0  # for the step that is under way, and the checkpoint after it
_ANSWER_SECONDS = 60.0  # for an answer that is there
_STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)  # how a worker ends that was stopped and has saved itself


class Died(Exception):
    """A worker was ended from outside; its run goes on from the last checkpoint."""


def run_on_ray(
    ray: Any,
    jobs: Sequence[Job],
    *,
    processors: int,
    logs: Path,
    stopped: Callable[[], bool],
    say: Callable[[str], None],
) -> dict[str, str]:
    """Do the jobs, the costliest first; return the reason of each that failed, by its name.

    A job of device "cuda" has a GPU of its own, and so has one of device "auto" where a machine has a GPU.

    Args:
        ray: the module, connected.
        jobs: of names that differ, whose folders every machine sees under the same path.
        processors: of a job, and its threads.
        logs: the folder of what the workers print, seen by every machine too.
        stopped: asked often; once it is true, every worker saves itself and ends.
        say: prints a line.

    Raises:
        InputError: no machine has so many processors, or a GPU that a job wants; a GPU by its number.
    """
    gpus = {job.name: _gpus(ray, job, processors) for job in jobs}
    logs.mkdir(parents=True, exist_ok=True)
    account, shared = Account(jobs, say), str(logs.absolute())
    task = ray.remote(num_cpus=processors, max_retries=TRIES_AGAIN, retry_exceptions=[Died])(_do)
    running = {}
    for job in sorted(jobs, key=lambda job: -job.work):
        settled = task.options(name=job.name, num_gpus=gpus[job.name])
        running[settled.remote(job.name, job.to_json(), str(job.folder.absolute()), shared, processors)] = job
    try:
        while running and not stopped():
            ended, _ = ray.wait(list(running), timeout=_POLL_SECONDS)
            for one in ended:
                account.end(running.pop(one), *_answer(ray, one))
            account.show(job for job in running.values() if job.folder.exists())
    finally:
        _cancel(ray, list(running))
    return account.failed


def _gpus(ray: Any, job: Job, processors: int) -> int:
    """Return how many GPUs a job has, having checked that some machine has room for it."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    device = job.recipe.device
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"device={device!r} with launcher='ray'", "'auto', 'cpu' or 'cuda'", "Use device='cuda'")
    gpus = int(device == "cuda" or (device == "auto" and any(each.get("GPU", 0) >= 1 for each in machines)))
    if device == "cuda" and not any(each.get("GPU", 0) >= 1 for each in machines):
        raise InputError("device='cuda' on machines without a GPU that Ray knows", "a GPU", "Use device='auto'")
    most = max((int(each.get("CPU", 0)) for each in machines if each.get("GPU", 0) >= gpus), default=0)
    if processors > most:
        raise InputError(
            f"cpus_per_run={processors} on machines with at most {most} processors",
            "runs that fit on a machine",
            f"Use cpus_per_run={most}" if most else "Add a machine to the cluster",
        )
    return gpus


def _answer(ray: Any, one: Any) -> tuple[float, str]:
    """Return the seconds of a task that has ended, and why it failed."""
    try:
        seconds, reason = ray.get(one, timeout=_ANSWER_SECONDS)
        return float(seconds), str(reason)
    except ray.exceptions.RayTaskError as error:
        return 0.0, f"{error.cause}"
    except (ray.exceptions.RayError, TimeoutError) as error:  # such as a machine that is lost, and none in its place
        return 0.0, next(iter(str(error).strip().splitlines()), type(error).__name__)


def _cancel(ray: Any, tasks: Sequence[Any]) -> None:
    """Stop the tasks, and wait until their workers are saved."""
    if not tasks:
        return
    for one in tasks:
        ray.cancel(one)
    _, left = ray.wait(list(tasks), num_returns=len(tasks), timeout=2 * _SAVING_SECONDS)
    for one in left:
        ray.cancel(one, force=True)


def _do(name: str, line: str, folder: str, logs: str, threads: int) -> tuple[float, str]:
    """Do a job on the machine that Ray has chosen; return its seconds, and "" or why it failed.

    Raises:
        Died: its process was ended from outside.
    """
    if not Path(logs).is_dir():
        return 0.0, f"{logs} is not there on {socket.gethostname()}: all machines must share the folder of the sweep"
    _wait_for(Path(folder))
    worker = start_worker(name, line, Path(logs), threads)
    try:
        while worker.process.poll() is None:
            time.sleep(_POLL_SECONDS)
    finally:
        # Ray cancels a task by a KeyboardInterrupt.
        _let_save(worker)
    if worker.process.returncode < 0 or worker.process.returncode in _STOPPED:
        raise Died(worker.reason)
    return time.monotonic() - worker.started, worker.reason


def _let_save(worker: Worker) -> None:
    """Ask a worker to save itself, wait so long as that may take, and end it."""
    if worker.process.poll() is None:
        worker.process.send_signal(signal.SIGTERM)
    until = time.monotonic() + _SAVING_SECONDS
    while worker.process.poll() is None and time.monotonic() < until:
        # Ray repeats a cancellation that has not come to its end.
        with contextlib.suppress(KeyboardInterrupt, subprocess.TimeoutExpired):
            worker.process.wait(_POLL_SECONDS)
    worker.process.kill()
    worker.end()


def _wait_for(folder: Path) -> None:
    """Wait while an earlier attempt, whose task has died, still saves the run."""
    until = time.monotonic() + _SAVING_SECONDS
    while (folder / LOCK_FILE).exists() and time.monotonic() < until:
        with contextlib.suppress(FileNotFoundError), if_free(folder / LOCK_FILE) as free:
            if free:
                return
        time.sleep(_POLL_SECONDS)
