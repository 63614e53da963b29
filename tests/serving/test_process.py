"""The command itself: its address, its errors, SIGTERM under load, clients that leave, overload."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from residua._base.errors import InputError
from residua.cli.app import main
from residua.serving.server import serve
from residua.serving.settings import Settings
from serving.commands import started
from serving.running import image_input, running, tensor_input

RAW = {"Inference-Header-Content-Length": "0"}


def test_sigterm_under_load(run_folder: Path, images: dict[str, Path], tmp_path: Path) -> None:
    content = images["red"].read_bytes()
    words = (str(run_folder), "--grace", "1.5", "--drain", "10")
    with (tmp_path / "log").open("w") as log, started(*words, stderr=log) as (process, document):
        assert document["models"] == [{"name": "a", "version": "1"}]
        statuses: list[int] = []

        def ask() -> None:
            ended = contextlib.suppress(httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError)
            with httpx.Client(base_url=document["url"], timeout=20, trust_env=False) as http, ended:
                while True:
                    statuses.append(http.post("/v2/models/a/infer", content=content, headers=RAW).status_code)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.4)
        ready = httpx.get(f"{document['url']}/v2/health/ready", trust_env=False)
        assert (ready.status_code, ready.json()["ready"]) == (503, False)
        assert httpx.get(f"{document['url']}/v2/health/live", trust_env=False).json()["live"] is True
        for thread in threads:
            thread.join(20)
        assert process.wait(20) == 0
        assert len(statuses) > 4
        assert set(statuses) == {200}


def test_ctrl_c_ends_it(run_folder: Path) -> None:
    with started(f"cats:3={run_folder}") as (process, document):
        assert document["models"] == [{"name": "cats", "version": "3"}]
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("sources", "settings", "words"),
    [
        ({}, {}, "no run"),
        ({"a": {"1": "nowhere"}}, {"port": 0}, "nowhere"),
        ({"a": {"1": "RUN"}}, {"port": 0, "host": "203.0.113.7"}, "host='203.0.113.7'"),
        ({"a": {"1": "RUN"}}, {"port": 0, "engine": "banana"}, "engine='banana'"),
    ],
)
def test_what_cannot_be_served(run_folder: Path, sources: Any, settings: Any, words: str) -> None:
    filled = {name: {v: run_folder if p == "RUN" else p for v, p in vs.items()} for name, vs in sources.items()}
    with pytest.raises(InputError, match=words):
        serve(filled, Settings(**settings))


def test_a_port_that_is_taken(run_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port={port}"):
            serve({"a": {"1": run_folder}}, Settings(port=port))


@pytest.mark.parametrize(
    "edits",
    [{"max_batch": 0}, {"queue": 0}, {"port": 70000}, {"timeout": 0}, {"drain": -1}, {"repository": Path("nowhere")}],
)
def test_settings_out_of_range(edits: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(edits))}="):
        Settings(**edits)


def test_an_answer_is_not_held_back_until_its_headers_are_acknowledged(run_folder: Path) -> None:
    with running({"a": {"1": run_folder}}) as served:
        served.http.get("/v2/health/ready")
        connections = served.server.server_state.connections
        sockets = [each.transport.get_extra_info("socket") for each in connections]  # type: ignore[union-attr]
        assert [each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0 for each in sockets] == [True]


def test_ten_times_overload(run_folder: Path) -> None:
    """Whatever is not answered is refused at once and states when to retry; then all goes on."""
    content = json.dumps(tensor_input(np.ones((8, 3, 8, 8), np.float32))).encode()
    with running({"a": {"1": run_folder}}, queue=16, max_batch=4) as server:
        answers: list[tuple[int, str]] = []
        slow = server.service.models.get("a").batcher
        compute = slow._compute
        slow._compute = lambda parts: (time.sleep(0.05), compute(parts))[1]

        def ask() -> None:
            response = server.infer(content=content)
            answers.append((response.status_code, response.headers.get("retry-after", "")))

        threads = [threading.Thread(target=ask) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        statuses = [status for status, _ in answers]
        assert set(statuses) == {200, 503}
        assert all(int(after) >= 1 for status, after in answers if status == 503)
        assert slow.waiting == 0
        assert server.infer(content=content).status_code == 200


def test_the_work_of_a_client_that_left_is_dropped(run_folder: Path, images: dict[str, Path]) -> None:
    body = json.dumps(image_input(*[base64.b64encode(images["red"].read_bytes()).decode()] * 30)).encode()
    request = b"POST /v2/models/a/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with running({"a": {"1": run_folder}}, max_batch=1) as server:
        batcher = server.service.models.get("a").batcher
        compute, computed = batcher._compute, []

        def slowly(parts: Any) -> Any:
            computed.append(1)
            time.sleep(0.1)
            return compute(parts)

        batcher._compute = slowly
        connection = socket.create_connection(("127.0.0.1", server.port))
        connection.sendall(request)
        time.sleep(0.5)
        connection.close()
        neighbour = server.infer(content=images["blue"].read_bytes(), headers=RAW)
        assert neighbour.status_code == 200
        assert len(computed) < 20, "30 images would have taken 3 seconds"
        assert batcher.waiting == 0
        assert server.service.bodies.held == 0


def test_clients_that_leave_without_reading(run_folder: Path, images: dict[str, Path]) -> None:
    body = images["red"].read_bytes()
    head = b"POST /predict?explain=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
    with running({"a": {"1": run_folder}}) as server:
        for delay in (0.0, 0.02, 0.1) * 5:
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                connection.sendall((head + body) * 5)
                time.sleep(delay)
        time.sleep(0.5)
        assert server.infer(content=body, headers=RAW).status_code == 200
        assert server.service.models.get("a").batcher.waiting == 0
        assert server.service.bodies.held == 0


@pytest.mark.parametrize("text", [None, "", "two\nlines"])
def test_a_token_file_that_is_none(run_folder: Path, tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "token"
    if text is not None:
        path.write_text(text)
    words = [sys.executable, "-m", "residua", "serve", str(run_folder), "--token-file", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ, timeout=120)
    assert done.returncode == 2
    assert "token" in done.stderr


def test_a_missing_extra_names_its_command(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "uvicorn" else object())
    assert main(["serve", str(run_folder)]) == 2
    assert "pip install 'residua[serve]'" in capsys.readouterr().err


def test_a_server_that_is_open_to_others_without_a_token_is_warned_of(run_folder: Path) -> None:
    with started(str(run_folder), "--host", "0.0.0.0") as (process, document):
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert "it has no token. Give it one with --token-file" in process.stderr.read()
        assert document["url"].startswith("http://0.0.0.0:")
