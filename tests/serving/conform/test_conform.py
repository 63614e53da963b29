"""`residua conform`: our server passes whole, a wrong one fails where it is wrong."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from xml.etree import ElementTree

import pytest

from residua._base.errors import InputError
from residua.cli.app import main
from residua.serving.conform.conform import conform
from residua.serving.conform.report import junit
from serving.conform.wrong_server import FAULTS, wrong_server
from serving.running import Running, running

REQUEST = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [0.0, 1.0]}]}


def _url(server: Running) -> str:
    return f"http://127.0.0.1:{server.port}"


def test_our_server_passes_whole(server: Running) -> None:
    result = conform(_url(server))
    faults = [f"{row.requirement}: {row.reason} ({row.request} -> {row.answer})" for row in result.rows]
    assert not [fault for row, fault in zip(result.rows, faults, strict=True) if row.verdict != "pass"]
    assert result.passed
    assert len(result.rows) == result.count("pass") >= 60
    assert all(row.requirement and row.source and row.request and row.answer for row in result.rows)


def test_our_server_without_a_repository_and_with_a_token(run_folder: Path, tmp_path: Path) -> None:
    with running({"b": {"3": run_folder}}, token="sesame") as server:
        result = conform(_url(server), token="sesame")
        assert result.model == "b"
        assert result.passed
        assert {row.source for row in result.rows if row.verdict == "skip"} == {"Triton, extension_model_repository.md"}
        with pytest.raises(InputError, match="bearer token"):
            conform(_url(server))


def test_a_wrong_server_fails_where_it_is_wrong(tmp_path: Path) -> None:
    request = tmp_path / "request.json"
    request.write_text(json.dumps(REQUEST))
    with wrong_server() as url:
        result = conform(url, request=request)
    assert not result.passed
    failed = {row.requirement for row in result.rows if row.verdict == "fail"}
    assert failed >= FAULTS
    assert "GET v2/health/live answers 200" not in failed
    assert all(row.reason for row in result.rows if row.verdict == "fail")
    skipped = {row.requirement for row in result.rows if row.verdict == "skip"}
    assert "Binary input gives the answer of JSON input" in skipped


def test_the_command(server: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    xml = tmp_path / "conform.xml"
    assert main(["conform", _url(server), "--junit", str(xml), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["passed"] is True
    suite = ElementTree.fromstring(xml.read_bytes())
    assert suite.get("failures") == "0"
    assert len(suite) == len(document["rows"]) == int(suite.get("tests", ""))
    assert main(["conform", _url(server), "--model", "a", "--verbose"]) == 0
    out = capsys.readouterr().out
    assert "Conforms." in out
    assert "request: POST /v2/models/a/infer" in out
    with wrong_server() as url:
        assert main(["conform", url, "--junit", str(xml)]) == 1
    assert "Does not conform." in capsys.readouterr().out
    assert int(ElementTree.fromstring(xml.read_bytes()).get("failures", "")) > 5


def test_addresses_without_a_server(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}", "ftp://a", "http://", "http://a:99999999"):
        with pytest.raises(InputError, match="url="):
            conform(url, timeout=2)
    assert main(["conform", f"127.0.0.1:{port}"]) == 2
    assert "a server that answers" in capsys.readouterr().err


def test_text_that_xml_cannot_hold() -> None:
    from residua.serving.conform.conform import Conformance, Row

    row = Row("a\x00b", "s\ud800", "must", "\x1b[31m", "<&>", "fail", "\x07")
    assert ElementTree.fromstring(junit(Conformance("http://\x01", "m", (row,)))).get("failures") == "1"
