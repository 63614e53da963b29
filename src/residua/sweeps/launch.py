"""Who trains the runs of a sweep: processes of this machine, or tasks of Ray on many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from residua._base.errors import InputError, at_least_one
from residua._base.packages import package
from residua._base.subprocesses import processors
from residua.grids.jobs import Job
from residua.grids.on_ray import run_on_ray
from residua.grids.processes import default_jobs, run_jobs
from residua.runtime.distributed.ray_cluster import cluster
from residua.sweeps.plan import Share
from residua.training.request import jobs_words


@dataclass(frozen=True)
class Launcher:
    """Who trains the runs, as it was asked for.

    Attributes:
        ray: whether tasks of Ray do, else processes of this machine.
        jobs: processes at a time; None for the default.
        cpus_per_run: processors of each task; None for the default.
        address: of Ray's cluster; None for that of $RAY_ADDRESS, else this machine.
    """

    ray: bool
    jobs: int | None
    cpus_per_run: int | None
    address: str | None

    @property
    def words(self) -> list[str]:
        """The words of a command that name it."""
        own = ["--launcher", "ray"] if self.ray else jobs_words(self.jobs)
        own += ["--cpus-per-run", str(self.cpus_per_run)] if self.cpus_per_run else []
        return [*own, "--address", self.address] if self.address else own

    def share(self, count: int, device: str, before: Share | None) -> Share:
        """Return what each of `count` runs has of the machine; as the sweep was begun, where nothing else is asked for.

        Threads decide the last bits of a run: a sweep that goes on elsewhere keeps their number.
        """
        if self.ray:
            return Share(0, self.cpus_per_run or (before.threads if before else 1))
        if before and self.jobs in (None, before.jobs):
            jobs = before.jobs or max(1, processors() // before.threads)
        else:
            jobs = min(self.jobs or default_jobs(count, device), count)
        return Share(jobs, max(1, processors() // jobs))

    def run(
        self,
        jobs: Sequence[Job],
        share: Share,
        logs: Path,
        stopped: Callable[[], bool],
        say: Callable[[str], None],
        stack: ExitStack,
    ) -> dict[str, str]:
        """Train; return the reason of each run that failed, by its name.

        Args:
            jobs: the runs.
            share: of each, as `share` returned it.
            logs: the folder of what they print.
            stopped: whether a signal has come.
            say: prints a line.
            stack: closes the connection to Ray, which the first call with runs opens.

        Raises:
            InputError: as `cluster` and `run_on_ray`.
        """
        if not self.ray:
            return run_jobs(jobs, at_once=share.jobs, logs=logs, stopped=stopped, say=say)
        if not jobs:
            return {}
        ray: Any = stack.enter_context(cluster(self.address))
        return run_on_ray(ray, jobs, processors=share.threads, logs=logs, stopped=stopped, say=say)


def launcher_of(
    name: Literal["ray"] | None, jobs: int | None, cpus_per_run: int | None, address: str | None
) -> Launcher:
    """Return who trains the runs.

    Raises:
        InputError: an unknown name, values that only the other one takes, or values below 1; the extra `ray` is
            not installed.
    """
    if name not in (None, "ray"):
        raise InputError(f"launcher={name!r}", "'ray', or none for this machine", "Leave it out")
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs={jobs}", "1 or more runs at a time", "Leave it out for one per processor")
    if cpus_per_run is not None:
        at_least_one(cpus_per_run=cpus_per_run)
    if name and jobs is not None:
        raise InputError(
            f"jobs={jobs} with launcher='ray'", "processors per run: Ray fits runs onto machines", "Use cpus_per_run=1"
        )
    if not name and (cpus_per_run is not None or address is not None):
        wrong = f"address={address!r}" if address is not None else f"cpus_per_run={cpus_per_run}"
        raise InputError(f"{wrong} without launcher='ray'", "both", "Give launcher='ray' too")
    if name:
        package("ray", "ray")  # before anything is written
    return Launcher(bool(name), jobs, cpus_per_run, address)
