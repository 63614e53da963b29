"""Models by name and version: loaded, replaced while requests go on, unloaded; broken files leave the old ones."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from pathlib import Path

import httpx
import pytest

from evaluation.runs import colour_run
from residua._base.errors import InputError
from residua.serving.model import ModelVersion
from residua.serving.networks.sources import named_sources
from serving.running import Running, running

RAW = {"Inference-Header-Content-Length": "0"}


def _change(server: Running, name: str, action: str, **options: object) -> tuple[int, str]:
    response = server.http.post(f"/v2/repository/models/{name}/{action}", **options)
    return response.status_code, response.json().get("error", "")


def _index(server: Running, **options: object) -> dict[str, str]:
    entries = server.http.post("/v2/repository/index", **options).json()
    return {f"{each['name']}:{each.get('version', '')}": each["state"] for each in entries}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two runs, one of them with two versions."""
    colour_run(tmp_path / "one")
    colour_run(tmp_path / "two" / "1")
    colour_run(tmp_path / "two" / "3", classes=["blue", "green", "red"])
    (tmp_path / "no run").mkdir()
    (tmp_path / "notes").mkdir()
    return tmp_path


def test_load_and_unload(repository: Path, images: dict[str, Path]) -> None:
    with running({}, repository=repository) as server:
        assert server.http.get("/v2/health/ready").status_code == 200
        assert _index(server) == {"one:": "UNAVAILABLE", "two:": "UNAVAILABLE"}
        assert _index(server, json={"ready": True}) == {}
        assert server.http.post("/predict", content=b"x").status_code == 503
        assert _change(server, "two", "load") == (200, "")
        assert _index(server, content=b"") == {"one:": "UNAVAILABLE", "two:1": "READY", "two:3": "READY"}
        assert server.http.get("/v2/models/two").json()["versions"] == ["1", "3"]
        red = images["red"].read_bytes()
        for path, wanted in (("", 2), ("/versions/3", 2), ("/versions/1", 0)):
            answer = server.http.post(f"/v2/models/two{path}/infer", content=red, headers=RAW).json()
            logits = answer["outputs"][0]["data"]
            assert logits.index(max(logits)) == wanted
        assert _change(server, "two", "unload") == (200, "")
        assert server.http.get("/v2/models/two").status_code == 404
        assert _change(server, "two", "unload")[0] == 400


def test_who_was_named_first_stays_first(repository: Path) -> None:
    sources = {"b": {"1": repository / "one"}, "a": {"1": repository / "one"}}
    with running(sources, repository=repository) as server:
        for name in ("b", "a"):
            assert _change(server, name, "unload") == (200, "")
        for name in ("a", "b"):
            assert _change(server, name, "load") == (200, "")
        assert server.service.models.first().name == "b"


def test_a_link_out_of_the_repository(repository: Path) -> None:
    outside = repository.parent / f"{repository.name} outside"
    colour_run(outside)
    (repository / "linked").symlink_to(outside)
    (repository / "inside").symlink_to("one")
    with running({}, repository=repository) as server:
        assert _index(server) == {"inside:": "UNAVAILABLE", "one:": "UNAVAILABLE", "two:": "UNAVAILABLE"}
        assert _change(server, "linked", "load")[0] == 404
        assert _change(server, "inside", "load") == (200, "")


@pytest.mark.parametrize("name", ["none", "notes", "no run", "%2e%2e", "..%2fone", "x" * 200, "%00"])
def test_names_outside_the_repository(repository: Path, name: str) -> None:
    colour_run(repository.parent / "outside")
    with running({}, repository=repository) as server:
        for action in ("load", "unload"):
            status, error = _change(server, name, action)
            assert status in (400, 404)
            assert error


def test_what_a_client_may_not_bring(server: Running) -> None:
    for parameter in ("config", "file:1/model.onnx"):
        status, error = _change(server, "a", "load", json={"parameters": {parameter: "e30="}})
        assert (status, "refused" in error) == (400, True)


def test_no_repository(run_folder: Path) -> None:
    with running({"a": {"1": run_folder}}) as server:
        for path in ("index", "models/a/load", "models/a/unload"):
            assert server.http.post(f"/v2/repository/{path}").status_code == 404
        assert "model_repository" not in server.http.get("/v2").json()["extensions"]


def test_garbage_in_place_of_the_file_leaves_the_old_version(repository: Path, images: dict[str, Path]) -> None:
    with running({"one": {"1": repository / "one"}}, repository=repository) as server:
        red = images["red"].read_bytes()
        before = server.infer(model="one", content=red, headers=RAW).json()
        weights = repository / "one" / "model.safetensors"
        whole = weights.read_bytes()
        for garbage in (b"garbage", whole[:-1], whole[:-8] + b"\xff" * 8):
            weights.write_bytes(garbage)
            status, error = _change(server, "one", "load")
            assert status == 400
            assert "one/model.safetensors" in error
            assert str(repository.parent) not in error, "where it lies is nothing for clients"
            assert server.infer(model="one", content=red, headers=RAW).json() == before
            index = server.http.post("/v2/repository/index").json()
            assert (index[0]["state"], "model.safetensors" in index[0]["reason"]) == ("READY", True)
        weights.write_bytes(whole)
        assert _change(server, "one", "load") == (200, "")
        assert server.http.post("/v2/repository/index").json()[0]["reason"] == ""


def test_no_request_is_dropped_by_a_reload(repository: Path, images: dict[str, Path]) -> None:
    with running({"one": {"1": repository / "one"}}, repository=repository) as server:
        red, statuses, stop = images["red"].read_bytes(), [], threading.Event()

        def ask() -> None:
            while not stop.is_set():
                statuses.append(server.infer(model="one", content=red, headers=RAW).status_code)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(6):
            assert _change(server, "one", "load") == (200, "")
        stop.set()
        for thread in threads:
            thread.join(20)
        assert len(statuses) > 6
        assert set(statuses) == {200}
        assert server.http.get("/v2/models/one/stats").json()["model_stats"][0]["inference_count"] == len(statuses)


def test_threads_do_not_grow_with_reloads(repository: Path) -> None:
    with running({"one": {"1": repository / "one"}}, repository=repository) as server:
        _change(server, "one", "load")
        before = threading.active_count()
        for _ in range(20):
            _change(server, "one", "load")
        time.sleep(0.2)
        assert threading.active_count() <= before + 2


def test_memory_does_not_grow_with_reloads(repository: Path) -> None:
    def resident() -> int:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    with running({"one": {"1": repository / "one"}}, repository=repository) as server:
        for _ in range(10):
            _change(server, "one", "load")
        before = resident()
        for _ in range(30):
            assert _change(server, "one", "load") == (200, "")
        time.sleep(0.2)
        assert resident() - before < 9 << 20, "30 loads took more than 300 kB each"


def test_an_engine_that_breaks_is_opened_again(
    run_folder: Path, images: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with running({"a": {"1": run_folder}}) as server:
        broken = server.service.models.get("a")

        def fail(parts: object) -> None:
            raise RuntimeError("dead")

        monkeypatch.setattr(broken.batcher, "_compute", fail)
        red = images["red"].read_bytes()
        assert server.infer(content=red, headers=RAW).status_code == 500
        assert server.infer(content=red, headers=RAW).status_code == 500
        server.infer(content=red, headers=RAW)
        for _ in range(100):
            if server.service.models.get("a") is not broken:
                break
            time.sleep(0.1)
        assert server.infer(content=red, headers=RAW).status_code == 200
        assert server.http.get("/v2/health/ready").status_code == 200


def test_an_engine_that_stays_broken_ends_the_process(
    run_folder: Path, images: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with running({"a": {"1": run_folder}}) as server:

        def fail(*arguments: object) -> None:
            raise InputError("gone", "a run", "Check the path")

        monkeypatch.setattr(server.service.models.get("a").batcher, "_compute", fail)
        monkeypatch.setattr(ModelVersion, "open", fail)
        for _ in range(3):
            server.infer(content=images["red"].read_bytes(), headers=RAW)
        for _ in range(100):
            if server.server.exit_code:
                break
            time.sleep(0.1)
        assert server.server.exit_code == 1


def test_a_broken_model_that_is_unloaded_does_not_end_the_process(
    run_folder: Path, images: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot be opened again, but by then nobody is served by it."""
    unloaded, opened = threading.Event(), threading.Event()

    def fail(*arguments: object) -> None:
        if threading.current_thread().name.startswith("residua-open"):
            assert unloaded.wait(20)
            opened.set()
        raise InputError("gone", "a run", "Check the path")

    with running({"a": {"1": run_folder}}, repository=run_folder.parent) as server:
        monkeypatch.setattr(server.service.models.get("a").batcher, "_compute", fail)
        monkeypatch.setattr(ModelVersion, "open", fail)
        for _ in range(3):
            server.infer(content=images["red"].read_bytes(), headers=RAW)
        assert _change(server, "a", "unload") == (200, "")
        unloaded.set()
        assert opened.wait(20)
        time.sleep(0.3)
        assert (server.service.fatal, server.server.exit_code) == ("", 0)
        assert server.http.get("/v2/health/ready").status_code == 200


def test_an_engine_that_hangs_ends_the_process(run_folder: Path, images: dict[str, Path]) -> None:
    """A thread cannot be broken off: ready is 503, and the process ends."""
    release = threading.Event()
    with running({"a": {"1": run_folder}}, stall=0.3, drain=2, timeout=1) as server:
        batcher = server.service.models.get("a").batcher
        compute = batcher._compute
        batcher._compute = lambda parts: (release.wait(20), compute(parts))[1]
        statuses: list[int] = []

        def ask() -> None:
            statuses.append(server.infer(content=images["red"].read_bytes(), headers=RAW).status_code)

        thread = threading.Thread(target=ask)
        thread.start()
        for _ in range(50):
            if server.service.fatal:
                break
            time.sleep(0.05)
        assert "has not returned after 0.3 s" in server.service.fatal
        assert (server.service.ready, server.service.hung) == (False, True)
        thread.join(10)
        assert statuses == [504]
        for _ in range(100):
            if server.server.exit_code:
                break
            time.sleep(0.05)
        assert server.server.exit_code == 1
        release.set()


def test_a_server_does_not_wait_for_a_model_that_is_being_opened(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, release = threading.Event(), threading.Event()

    def slow(*arguments: object) -> ModelVersion:
        began.set()
        release.wait(60)
        raise InputError("nothing", "a model", "")

    monkeypatch.setattr(ModelVersion, "open", slow)
    with running({}, repository=repository, drain=1) as server:

        def load() -> None:
            with contextlib.suppress(httpx.HTTPError):
                _change(server, "one", "load")

        loading = threading.Thread(target=load)
        loading.start()
        assert began.wait(10)
        started = time.monotonic()
    # The block has ended: the server has, while the thread goes on.
    assert time.monotonic() - started < 15
    assert server.service.models.is_opening
    release.set()
    loading.join(30)


def test_names_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    colour_run(tmp_path / "runs" / "a")
    shutil.copytree(tmp_path / "runs" / "a", tmp_path / "many" / "2")
    shutil.copytree(tmp_path / "runs" / "a", tmp_path / "x=y")
    assert named_sources(["runs/a", "b=runs/a", "b:7=runs/a"]) == {
        "a": {"1": "runs/a"},
        "b": {"1": "runs/a", "7": "runs/a"},
    }
    assert named_sources(["many"]) == {"many": {"2": Path("many/2")}}
    monkeypatch.chdir(tmp_path / "runs" / "a")
    assert named_sources(["."]) == {"a": {"1": "."}}
    with pytest.raises(InputError, match="twice as version 1"):
        named_sources(["a", "other/a"])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="cannot stand in an address"):
        named_sources(["x=y"])
