"""A sweep as tasks of Ray: its table is that of processes; what is stopped, killed or cannot be placed."""

from __future__ import annotations

import gc
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from residua._base.errors import InputError
from residua.grids import on_ray
from residua.grids.jobs import Job
from residua.grids.processes import Worker
from residua.grids.worker import work
from residua.runtime.distributed import ray_cluster
from residua.sweeps import launch, run_sweep
from residua.sweeps.launch import launcher_of
from residua.sweeps.plan import Share
from residua.sweeps.space import read_grid
from residua.weights.bundle.read import load_bundle

ray = pytest.importorskip("ray", reason="Ray, of the extra ray, is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")

FIXED = ["epochs=1", "min_steps=0", "train_images=64", "batch_size=16", "image_size=16", "kernels=eager", "workers=1"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    before = signal.getsignal(signal.SIGTERM)
    with ray_cluster.cluster() as connected:
        assert signal.getsignal(signal.SIGTERM) is before, "Ray's own handler ends the process at once"
        yield connected
    gc.collect()  # Ray leaves the objects of its processes to the collector, which warns of each: here it is ignored


def sweep(folder: Path, **options: Any) -> dict[str, Any]:
    """One run of a sweep; return its table without the times."""
    outcome = run_sweep.sweep(
        "digits", "cifar_resnet8", folder, seeds=1, grid=read_grid(FIXED), progress=False, **options
    )
    assert not outcome.failed
    document = json.loads((folder / "sweep.json").read_text())
    del document["folder"], document["cells"][0]["runs"][0]["seconds"]
    return dict(document)


def test_the_table_is_that_of_processes(cluster: Any, tmp_path: Path) -> None:
    asked: list[Job] = []
    # Stopped before the first step: nothing is trained, and nothing is left of it.
    run = launch.run_on_ray
    with pytest.MonkeyPatch.context() as patch:

        def stopped(module: Any, jobs: list[Job], **options: Any) -> dict[str, str]:
            asked.extend(jobs)
            assert run(module, jobs, **{**options, "stopped": lambda: True}) == {}
            assert not any(job.record.exists() for job in jobs)
            return run(module, jobs, **options)

        patch.setattr(launch, "run_on_ray", stopped)
        theirs = sweep(tmp_path / "ray", launcher="ray")
    assert ray.is_initialized(), "a connection that the caller has stays"
    assert (tmp_path / "ray" / "logs" / f"{asked[0].name}.txt").is_file()

    def in_this_process(jobs: list[Job], **options: Any) -> dict[str, str]:
        for job in jobs:
            work(job, 1)
        return {}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "run_jobs", in_this_process)
        ours = sweep(tmp_path / "own", jobs=1)
    assert theirs == ours
    one, other = (load_bundle(tmp_path / name / asked[0].name).weights_sha256 for name in ("ray", "own"))
    assert one == other


def test_an_address_without_a_cluster_is_refused() -> None:
    with pytest.raises(InputError, match=r"address='127\.0\.0\.1:1', where no cluster answers"):
        ray_cluster._check_reachable("127.0.0.1:1")


def begun(monkeypatch: pytest.MonkeyPatch, code: str, logs: Path) -> Worker:
    """A worker that runs some lines of Python; the next task starts it."""
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, text=True)
    (logs / "a.txt").write_text("some reason\n")
    worker = Worker(process, logs / "a.txt", 0)
    monkeypatch.setattr(on_ray, "start_worker", lambda *_: worker)
    return worker


def test_a_task_waits_for_its_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("a", "{}", str(tmp_path / "run"), str(tmp_path), 1)
    begun(monkeypatch, "raise SystemExit(2)", tmp_path)
    assert on_ray._do(*arguments)[1].startswith("some reason (exit code 2")
    begun(monkeypatch, "import os; os.kill(os.getpid(), 9)", tmp_path)
    with pytest.raises(on_ray.Died, match="SIGKILL"):
        on_ray._do(*arguments)
    cancelled = begun(monkeypatch, "import time; time.sleep(60)", tmp_path)

    def cancel(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(on_ray, "time", SimpleNamespace(sleep=cancel, monotonic=time.monotonic))
    with pytest.raises(KeyboardInterrupt):
        on_ray._do(*arguments)
    assert cancelled.process.returncode == -15, "it could save itself"
    assert "all machines must share the folder" in on_ray._do("a", "{}", "run", str(tmp_path / "nowhere"), 1)[1]


@pytest.mark.parametrize(
    ("device", "processors", "words"),
    [("cuda:1", 1, "'auto', 'cpu' or 'cuda'"), ("cuda", 5, "at most 4 processors"), ("cpu", 9, "at most 8 processors")],
)
def test_what_fits_on_no_machine_is_refused(device: str, processors: int, words: str) -> None:
    machines = [{"Alive": True, "Resources": {"CPU": 8.0}}, {"Alive": True, "Resources": {"CPU": 4.0, "GPU": 1.0}}]
    known = SimpleNamespace(nodes=lambda: machines)

    def gpus(name: str, count: int) -> int:
        return on_ray._gpus(known, SimpleNamespace(recipe=SimpleNamespace(device=name)), count)  # type: ignore[arg-type]

    assert [gpus(name, 4) for name in ("auto", "cpu", "cuda")] == [1, 0, 1]
    with pytest.raises(InputError, match=words):
        gpus(device, processors)


def test_threads_stay_as_the_sweep_was_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "processors", lambda: 8)
    by_ray, more = launcher_of("ray", None, None, None), launcher_of("ray", None, 4, None)
    assert by_ray.share(9, "cpu", None) == Share(0, 1)
    assert by_ray.share(9, "cpu", Share(2, 4)) == Share(0, 4)
    local = launcher_of(None, None, None, None)
    assert local.share(9, "cpu", Share(0, 4)) == Share(2, 4)
    assert not Share(2, 4).difference(Share(0, 4))
    assert more.share(9, "cpu", Share(0, 1)).difference(Share(0, 1)).startswith("4 threads per run, and 1 before")
    assert more.words == ["--launcher", "ray", "--cpus-per-run", "4"]
    for given, words in (
        (("slurm", None, None, None), "launcher='slurm'"),
        (("ray", 2, None, None), "jobs=2 with launcher='ray'"),
        ((None, None, 2, None), "cpus_per_run=2 without launcher='ray'"),
        ((None, None, None, "auto"), "address='auto' without"),
        (("ray", None, 0, None), "cpus_per_run=0"),
    ):
        with pytest.raises(InputError, match=words):
            launcher_of(*given)  # type: ignore[arg-type]
