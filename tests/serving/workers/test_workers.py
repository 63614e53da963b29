"""Several workers and one engine process: one address, one set of models and numbers; what dies comes back."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from serving.commands import started

RAW = {"Inference-Header-Content-Length": "0"}
PROC = Path("/proc/self/smaps_rollup")


@dataclass
class _Served:
    process: subprocess.Popen[str]
    http: httpx.Client
    red: bytes

    def children(self, role: str) -> list[int]:
        """Return the processes whose command names a module."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in listed if role in Path(f"/proc/{pid}/cmdline").read_text()]

    def infer(self, model: str = "a") -> int:
        """Ask over a connection of its own, which any worker may take."""
        options = {"content": self.red, "headers": RAW | {"Connection": "close"}}
        return self.http.post(f"/v2/models/{model}/infer", **options).status_code

    def wait(self, true: Callable[[], bool], seconds: float = 20.0) -> None:
        """Wait until something holds."""
        until = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < until
            time.sleep(0.05)

    def is_ready(self) -> bool:
        """Whether the server is ready, by a connection of its own."""
        return self.http.get("/v2/health/ready", headers={"Connection": "close"}).status_code == 200


@pytest.fixture(scope="module")
def served(exported: Path, images: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Served]:
    """Two workers that serve an export, with a repository of another."""
    if not PROC.exists():
        pytest.skip("no /proc to find the processes in")
    repository = tmp_path_factory.mktemp("repository")
    shutil.copytree(exported, repository / "b")
    words = [f"a={exported}", "--workers", "2", "--repository", str(repository), "--stall", "2"]
    log = repository.with_name("log")
    with log.open("w") as stderr, started(*words, stderr=stderr) as (process, document):
        red = images["red"].read_bytes()
        with httpx.Client(base_url=document["url"], timeout=30, trust_env=False) as http:
            yield _Served(process, http, red)


def test_numbers_are_those_of_all_workers(served: _Served) -> None:
    """Every worker is asked, and each states the sum."""
    assert [served.infer() for _ in range(12)] == [200] * 12
    stats = served.http.get("/v2/models/a/stats").json()["model_stats"][0]
    assert (stats["inference_count"], stats["inference_stats"]["success"]["count"]) == (12, 12)
    text = served.http.get("/metrics").text
    assert 'residua_images_total{model="a",version="1"} 12.0' in text
    assert 'residua_requests_total{route="/v2/models/{model}/infer",status="200"} 12.0' in text
    assert "residua_ready 1.0" in text


def test_a_load_reaches_every_worker(served: _Served) -> None:
    for action, status in (("load", 200), ("unload", 404), ("load", 200)):
        assert served.http.post(f"/v2/repository/models/b/{action}").status_code == 200
        assert {served.infer("b") for _ in range(8)} == {status}


def test_workers_hold_no_models(served: _Served) -> None:
    """Weights are in the engine process alone: memory does not grow with workers times models."""
    for pid in served.children("workers.worker"):
        assert "openvino" not in Path(f"/proc/{pid}/maps").read_text()
        (proportional,) = re.findall(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
        assert int(proportional) < 80_000, "about 40 MB: Python, NumPy, Pillow, Starlette"


def test_a_killed_worker_is_started_again(served: _Served) -> None:
    before = served.children("workers.worker")
    os.kill(before[0], signal.SIGKILL)
    served.wait(lambda: len(set(served.children("workers.worker")) - set(before)) == 1)
    assert [served.infer() for _ in range(8)] == [200] * 8


def test_an_engine_process_that_hangs_is_started_again(served: _Served) -> None:
    """A stopped process stands for one whose interpreter is stuck; what clients loaded is loaded again."""
    (before,) = served.children("workers.engine")
    os.kill(before, signal.SIGSTOP)
    served.wait(lambda: not served.is_ready())
    assert served.infer() == 503
    # Each worker finds the new process by itself.
    served.wait(lambda: all(served.is_ready() for _ in range(8)))
    assert served.children("workers.engine") != [before]
    assert (served.infer(), served.infer("b")) == (200, 200)


def test_sigterm_drains_all(served: _Served) -> None:
    """The last test of this module: afterwards nothing is left."""
    pids = [*served.children("workers.worker"), *served.children("workers.engine")]
    statuses: list[int] = []

    def ask() -> None:
        try:
            while True:
                statuses.append(served.infer())
        except httpx.TransportError:
            return

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    served.process.send_signal(signal.SIGTERM)
    served.wait(lambda: not served.is_ready(), 2)
    for thread in threads:
        thread.join(20)
    assert served.process.wait(20) == 0
    assert set(statuses) <= {200}
    assert not any(Path(f"/proc/{pid}/cmdline").exists() for pid in pids)


def test_a_model_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="holds no model"), started(str(tmp_path), "--workers", "2"):
        pass
