"""One job in a process of its own: train the network, or resume it, then measure it.

`python -P -m residua.grids.worker` reads the job and its number of threads as two lines on stdin. It stops when stdin
ends: a grid that is killed takes its workers with it, and each saves itself first.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time

from residua._base.errors import ResiduaError
from residua._base.plain import plain
from residua._base.subprocesses import at_end_of_stdin
from residua.grids.jobs import Job, Record
from residua.runtime.allocator import keep_freed_memory


def main() -> int:
    """Do the job; return its exit code."""
    line, threads = sys.stdin.readline(), sys.stdin.readline()
    if not threads:
        return 2
    at_end_of_stdin(lambda: os.kill(os.getpid(), signal.SIGTERM))
    keep_freed_memory()
    try:
        work(Job.from_json(line), int(threads))
    except ResiduaError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def work(job: Job, threads: int) -> None:
    """Train and measure, and write the record.

    Raises:
        ResiduaError: the run cannot be trained, diverged, or was stopped.
    """
    import torch

    from residua.runtime.environment import environment
    from residua.training.folder.run_folder import read_origin
    from residua.training.loop import train

    torch.set_num_threads(threads)
    run = train(
        job.data,
        job.spec,
        job.recipe,
        job.folder,
        resume=read_origin(job.folder) is not None,
        data_dir=job.data_dir,
        labels=None if job.table is None else job.table.file,
        columns=None if job.table is None else job.table.columns,
        weights=job.weights,
        corrections=job.corrections,
        full_provenance=job.full_provenance,
    )
    started = time.monotonic()
    measured = {}
    if job.measure is not None:
        module, _, function = job.measure.partition(":")
        measured = getattr(importlib.import_module(module), function)(run, job, **job.arguments)
    minutes = (time.monotonic() - started) / 60
    Record(job.key, run.weights_sha256, minutes, plain(measured), environment()).write(job.record)


if __name__ == "__main__":
    raise SystemExit(main())
