"""Servers that hold a judge up, flood it, or are none: each is recognised, in bounded time and memory."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
import time
import zlib
from collections.abc import Iterator

import pytest

from residua._base.errors import InputError
from residua.serving.conform.conform import conform
from residua.serving.conform.exchange import Judge

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@contextlib.contextmanager
def answering(*pieces: bytes, seconds: float = 0.0, times: int = 1) -> Iterator[str]:
    """Yield the address of a server that sends every client these bytes, each after a while, `times` over."""
    ended = threading.Event()

    def answer(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.recv(1 << 16)
            for piece in pieces * times:
                if ended.wait(seconds):
                    return
                client.sendall(piece)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = server.accept()
                threading.Thread(target=answer, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            ended.set()
            server.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def _whole(body: bytes, encoding: str = "", status: str = "200 OK", header: str = "") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"Content-Encoding: {encoding}"] if encoding else []
    return "\r\n".join([*lines, *([header] if header else []), "", ""]).encode() + body


@pytest.mark.parametrize("drips", [(HEAD[:40], b"a"), (HEAD + b"Content-Length: 999\r\n\r\n", b"a")])
def test_a_server_that_drips_is_given_up_at_the_deadline(drips: tuple[bytes, bytes]) -> None:
    with answering(drips[0], *drips[1:] * 200, seconds=0.1) as url:
        start = time.monotonic()
        before = threading.active_count()
        answer = Judge(url, timeout=0.8).get("v2")
        assert answer.status == 0
        assert answer.fault == "no whole answer within 0.8 seconds"
        assert time.monotonic() - start < 5
        # Its thread ends too.
        until = time.monotonic() + 5
        while threading.active_count() > before + 1 and time.monotonic() < until:
            time.sleep(0.02)
        assert threading.active_count() <= before + 1


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_is_refused(encoding: str) -> None:
    flood = zlib.compressobj(wbits=31 if encoding == "gzip" else 15)
    zeros = bytes(1 << 20)
    bomb = b"".join([*(flood.compress(zeros) for _ in range(64)), flood.flush()])
    assert len(bomb) < 1 << 17
    with answering(_whole(bomb, encoding)) as url:
        assert Judge(url).get("v2").fault == "an answer of more than 32 MiB"
    small = gzip.compress(b"{}") if encoding == "gzip" else zlib.compress(b"{}")
    with answering(_whole(small, encoding)) as url:
        assert Judge(url).get("v2").json == {}
    with answering(_whole(small[:-3], encoding)) as url:
        assert "cut off" in Judge(url).get("v2").fault


def test_an_endless_answer_is_refused() -> None:
    with answering(HEAD + b"\r\n", *[bytes(1 << 20)] * 40) as url:
        assert Judge(url).get("v2").fault == "an answer of more than 32 MiB"


DEEP = b"[" * 100_000 + b"]" * 100_000
CASES = [
    (_whole(b"", status="302 Found", header="Location: https://user:secret@b/login?key=1"), "redirects to 'https://b/"),
    (_whole(DEEP), "POST v2/repository/index: the body is JSON that is nested too deeply"),
    (_whole(b"<html>"), "POST v2/repository/index: the body is no JSON"),
    (_whole(b"{}", status="404 Not Found"), "index: status 404; GET v2/models/stats: status 404"),
    (_whole(b"{}", status="401 Unauthorized"), "a server that answers 401. Wanted: its bearer token"),
    (_whole(b"[]"), "index: names no model that is ready"),
]


@pytest.mark.parametrize(("answer", "words"), CASES)
def test_what_is_wrong_is_stated(answer: bytes, words: str) -> None:
    with answering(answer) as url, pytest.raises(InputError) as refused:
        conform(url)
    assert words in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("path", ["/v2", "/v2/", "/a/v2/models/m"])
def test_an_address_of_the_protocol_itself_is_refused(path: str) -> None:
    server = "http://127.0.0.1:8911" + path.partition("/v2")[0]
    with pytest.raises(InputError, match=f"without /v2. Use {server}"):
        Judge(f"http://127.0.0.1:8911{path}")
    with pytest.raises(InputError, match="timeout"):
        Judge("http://127.0.0.1:8911", timeout=float("nan"))


def test_answers_at_the_edge_of_depth_fail_their_rows() -> None:
    """Lists that the parser takes, and that functions of ours cannot descend into."""
    body = json.dumps({"outputs": [{"data": 0}], "inputs": [{"name": "x", "datatype": "FP32", "shape": [1e999]}]})
    deep = body.replace('"data": 0', '"data": ' + "[" * 900 + "]" * 900)
    with answering(_whole(deep.encode())) as url:
        result = conform(url, model="m")
    assert not result.passed
