"""Clients that send too much, too slowly, or something else than they state; memory comes back."""

from __future__ import annotations

import gc
import gzip
import json
import struct
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from residua.serving.refusal import Refusal
from residua.serving.settings import Limits
from residua.serving.wire.body import packed, unpacked
from residua.serving.wire.json_text import check_depth
from serving.running import Running, running

RAW = {"Inference-Header-Content-Length": "0"}
HEAD = b"POST /v2/models/a/infer HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def strict(run_folder: Path) -> Iterator[Running]:
    """A server with little patience."""
    limits = Limits(
        body_bytes=1 << 20, header_seconds=0.6, body_seconds=0.8, chunks=100, connections=20, pixels=1_000_000
    )
    with running({"a": {"1": run_folder}}, limits=limits) as served:
        yield served


def _status(answer: bytes) -> int:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert "error" in json.loads(body), answer
    return int(head.split()[1])


def _alive(server: Running) -> None:
    assert server.http.get("/v2/health/ready").status_code == 200
    assert server.service.bodies.held == 0


def test_a_body_above_the_limit(strict: Running) -> None:
    response = strict.infer(content=b"\0" * (2 << 20), headers=RAW)
    assert response.status_code == 413
    assert "larger than 1048576" in response.json()["error"]
    _alive(strict)


def test_a_chunked_body_above_the_limit(strict: Running) -> None:
    response = strict.infer(content=(b"\0" * 65536 for _ in range(40)), headers=RAW)
    assert response.status_code == 413
    _alive(strict)


def test_headers_that_trickle(strict: Running) -> None:
    start = time.monotonic()
    assert _status(strict.raw(b"GET /v2 HTTP/1.1\r\nX-A: ", 5)) == 408
    assert time.monotonic() - start < 3
    assert _status(strict.raw(b"", 5)) == 408, "a connection without a byte"
    _alive(strict)


def test_a_body_that_stops(strict: Running) -> None:
    start = time.monotonic()
    assert _status(strict.raw(HEAD + b"Content-Length: 1000\r\n\r\n{", 6)) == 408
    assert time.monotonic() - start < 5
    _alive(strict)


def test_a_body_shorter_than_stated(strict: Running) -> None:
    strict.raw(HEAD + b"Content-Length: 1000\r\n\r\n{}", 3, end=True)
    _alive(strict)


def test_a_body_longer_than_stated(strict: Running) -> None:
    answer = strict.raw(HEAD + b"Content-Length: 2\r\n\r\n{}garbage garbage\r\n\r\n", 4)
    assert answer.startswith(b"HTTP/1.1 400")
    _alive(strict)


@pytest.mark.parametrize("length", [b"-1", b"1e3", b"99999999999999999999", b"2\r\nContent-Length: 3"])
def test_lengths_that_are_none(strict: Running, length: bytes) -> None:
    assert _status(strict.raw(HEAD + b"Content-Length: " + length + b"\r\n\r\n{}", 4)) in (400, 413)
    _alive(strict)


def test_chunks_without_end(strict: Running) -> None:
    answer = strict.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 65_536 + b"0\r\n\r\n", 6)
    assert _status(answer) == 413
    assert b"100 chunks" in answer
    _alive(strict)


def test_headers_without_end(strict: Running) -> None:
    assert _status(strict.raw(b"GET /v2 HTTP/1.1\r\nX: " + b"a" * 200_000, 4)) in (400, 431)
    _alive(strict)


@pytest.mark.parametrize("length", [66_000, 120_000])
def test_headers_that_come_at_once(strict: Running, length: int) -> None:
    lines = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 1000) for number in range(length // 1000))
    assert _status(strict.raw(HEAD + lines + b"\r\n", 4)) == 431
    _alive(strict)


def test_two_lengths_for_one_body(strict: Running) -> None:
    smuggled = b"0\r\n\r\nGET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = strict.raw(HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + smuggled, 4)
    assert _status(answer) == 400
    assert answer.count(b"HTTP/1.1 ") == 1, "what follows is not read as a request"


def test_not_http(strict: Running) -> None:
    assert _status(strict.raw(b"\x16\x03\x01\x02\x00 hello\r\n\r\n", 4)) == 400
    _alive(strict)


def test_a_gzip_bomb(strict: Running) -> None:
    bomb = gzip.compress(b"\0" * (64 << 20))
    assert len(bomb) < 100_000
    response = strict.infer(content=bomb, headers={"Content-Encoding": "gzip"})
    assert response.status_code == 413
    assert "unpacked" in response.json()["error"]
    _alive(strict)


def test_a_bomb_is_noticed_before_it_is_held() -> None:
    bomb = gzip.compress(b"\0" * (64 << 20))
    gc.collect()
    tracemalloc.start()
    with pytest.raises(Refusal):
        unpacked(bomb, Limits(body_bytes=4 << 20))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


@pytest.mark.parametrize(
    "content",
    [b"hello", gzip.compress(b"{}" * 1000)[:-4], gzip.compress(b"{}")[:8], gzip.compress(b"{}") + b"x", b""],
    ids=["plain text", "without its end", "the header alone", "with a rest", "empty"],
)
def test_compression_that_is_damaged(strict: Running, content: bytes) -> None:
    response = strict.infer(content=content, headers={"Content-Encoding": "gzip"})
    assert response.status_code == 400
    assert "compressed" in response.json()["error"]
    _alive(strict)


def _png(side: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


def test_an_image_of_400_megapixels(server: Running) -> None:
    start = time.monotonic()
    response = server.infer(content=_png(20_000), headers=RAW)
    assert response.status_code == 400
    assert "400 million pixels" in response.json()["error"]
    assert time.monotonic() - start < 2


def test_the_pixels_of_the_settings(strict: Running) -> None:
    response = strict.infer(content=_png(1_500), headers=RAW)
    assert "at most 1000000" in response.json()["error"]


def test_more_connections_than_allowed(strict: Running) -> None:
    import socket

    held = [socket.create_connection(("127.0.0.1", strict.port)) for _ in range(19)]
    try:
        assert _status(strict.raw(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n", 4)) == 503
    finally:
        for each in held:
            each.close()
    time.sleep(0.2)
    _alive(strict)


def test_the_memory_of_all_bodies_is_bounded(run_folder: Path) -> None:
    with running({"a": {"1": run_folder}}, limits=Limits(bodies_bytes=1000)) as server:
        response = server.infer(content=b"\0" * 5000, headers=RAW)
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        _alive(server)


def test_depth_is_read_in_linear_time() -> None:
    check_depth(b"[[1, 2], {}]", 2)
    check_depth(b'{"a": "[[[[[[["}', 1)
    start = time.monotonic()
    for text in (b'"' + b'\\"' * 500_000, b"[]" * 500_000, b'""' * 500_000, b"\\" * 1_000_000):
        check_depth(text, 4)
    assert time.monotonic() - start < 2
    for text in (b"[[[]]]", b"[" * 3, b"]["):
        with pytest.raises(Refusal):
            check_depth(text, 2)


def test_what_is_packed_is_what_the_client_takes() -> None:
    content = b"x" * 1000
    assert packed(content, "gzip, deflate")[1] == "gzip"
    assert packed(content, "deflate;q=0.5")[1] == "deflate"
    assert packed(content, "gzip;q=0, identity") == (content, "")
    assert packed(content, "br") == (content, "")
    assert gzip.decompress(packed(content, "gzip")[0]) == content
