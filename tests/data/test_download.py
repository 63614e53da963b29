"""Downloads against a server that breaks off, ignores ranges, or sends something else."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from residua._base.errors import InputError
from residua.data.download import Archive, fetch

CONTENT = np.random.default_rng(0).integers(0, 256, 1_500_000, dtype=np.uint8).tobytes()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    ranges: list[str | None]
    breaks: list[int]
    """How many bytes to send before breaking off, one entry a request; then whole answers."""
    honours_ranges = True
    content = CONTENT
    status = 0


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        if self.server.status:
            self.send_error(self.server.status)
            return
        start = int(asked[6:-1]) if asked and self.server.honours_ranges else 0
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.breaks.pop(0)] if self.server.breaks else body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        running.ranges, running.breaks = [], []
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def archive(server: Server, content: bytes = CONTENT) -> Archive:
    address = f"http://127.0.0.1:{server.server_address[1]}/data.tar.gz"
    return Archive(address, hashlib.sha256(content).hexdigest(), len(content))


def test_a_download_reports_its_progress(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = fetch(archive(server), tmp_path / "new", lambda held, total: seen.append((held, total)))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [held for held, _ in seen] == sorted(held for held, _ in seen)
    fetch(archive(server), tmp_path / "new")
    assert len(server.ranges) == 1


def test_a_broken_download_continues_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.breaks = [400_000, 300_000]
    assert fetch(archive(server), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=400000-", "bytes=700000-"]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["data.tar.gz", "data.tar.gz.lock"]


def test_a_part_of_an_earlier_run_is_continued(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.tar.gz.part").write_bytes(CONTENT[:1_000_000])
    assert fetch(archive(server), tmp_path).read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000000-"]


def test_a_server_without_ranges_starts_again(server: Server, tmp_path: Path) -> None:
    server.honours_ranges, server.breaks = False, [400_000]
    assert fetch(archive(server), tmp_path).read_bytes() == CONTENT


def test_something_else_is_refused_and_removed(server: Server, tmp_path: Path) -> None:
    server.content = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    with pytest.raises(InputError, match="SHA-256"):
        fetch(archive(server), tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["data.tar.gz.lock"]


def test_a_missing_file_is_not_asked_for_again(server: Server, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(InputError, match="404"):
        fetch(archive(server), tmp_path)
    assert len(server.ranges) == 1


def test_two_downloads_at_once_fetch_once(server: Server, tmp_path: Path) -> None:
    threads = [threading.Thread(target=fetch, args=(archive(server), tmp_path)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "data.tar.gz").read_bytes() == CONTENT
    assert len(server.ranges) == 1
