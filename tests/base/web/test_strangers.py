"""Addresses of strangers: no own network, by name, by number or by redirect; bounded in size and time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from residua._base.web import strangers
from residua._base.web.strangers import fetch, is_public


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", path.removeprefix("/to/"))
            self.end_headers()
            return
        self.send_response(404 if path == "/none" else 200)
        self.end_headers()
        for _ in range(40 if path == "/slow" else 1):
            self.wfile.write(b"x" * (5000 if path == "/large" else 7))
            self.wfile.flush()
            if path == "/slow":
                time.sleep(0.05)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture
def own_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """127.0.0.1 counts as public: where the test's server stands."""
    monkeypatch.setattr(strangers, "is_public", lambda address: address == "127.0.0.1" or is_public(address))


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("192.168.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:10.0.0.1", False),
        ("2002:0a00:0001::1", False),
        ("64:ff9b::a00:1", False),
    ],
)
def test_what_is_public(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_the_own_network_is_not_asked(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="no public one"):
        fetch(f"{server}/a")
    # A name of which one address is public and one is not.
    infos = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 80)) for each in ("93.184.216.34", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: infos)
    with pytest.raises(OSError, match="no public one"):
        fetch("http://example.org/a.png")


@pytest.mark.usefixtures("own_is_public")
def test_answers_and_redirects(server: str) -> None:
    assert fetch(f"{server}/a") == b"x" * 7
    assert fetch(f"{server}/to//b") == b"x" * 7
    for target in ("http://10.0.0.1/", "http://169.254.169.254/latest/meta-data", "http://[::1]/"):
        with pytest.raises(OSError, match="no public one"):
            fetch(f"{server}/to/{target}")
    with pytest.raises(OSError, match="no http or https"):
        fetch(f"{server}/to/file:///etc/passwd")
    with pytest.raises(OSError, match="the server answers 404"):
        fetch(f"{server}/none")
    loop = "/to/" * 8
    with pytest.raises(OSError, match="more than 5 redirects"):
        fetch(f"{server}{loop}")


@pytest.mark.usefixtures("own_is_public")
def test_size_and_time_are_bounded(server: str) -> None:
    with pytest.raises(OSError, match="it is larger than"):
        fetch(f"{server}/large", most=4999)
    assert len(fetch(f"{server}/large", most=5000)) == 5000
    started = time.monotonic()
    with pytest.raises(OSError):
        fetch(f"{server}/slow", seconds=0.3)
    assert time.monotonic() - started < 1.5
