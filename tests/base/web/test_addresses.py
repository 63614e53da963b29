"""Addresses that hold secrets, that are none, or that a server sends in their place."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from residua._base.errors import InputError
from residua._base.files import check_local
from residua._base.public import is_address, public_address
from residua._base.web.download import RemoteFile, fetch
from residua._base.web.http import ERRORS, Refused, head, number_in
from residua._base.web.reach import unreachable
from servers import Behaviour, serving

CONTENT, OTHER = bytes(range(256)) * 40, b"changed"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Behaviour]:
    """A server with one file, and no time to lose between attempts."""
    monkeypatch.setattr("residua._base.web.http.time.sleep", lambda _: None)
    for name in ("RESIDUA_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with serving(files={"/data.bin": CONTENT}) as behaviour:
        yield behaviour


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("https://host/w.pth?X-Amz-Signature=s3cret#sha256=abcdef12", "https://host/w.pth#sha256=abcdef12"),
        ("https://user:s3cret@host:81/w.pth", "https://host:81/w.pth"),
        ("HTTPS://a@b:s3cret@host/w.pth#s3cret", "HTTPS://host/w.pth"),
        ("https://host?s3cret", "https://host"),
        ("ftp://user:s3cret@host/w.pth?s3cret#s3cret", "ftp://host/w.pth"),
        ("ftp:/user:s3cret@host/w.pth?s3cret", "ftp://host/w.pth"),  # as a Path has it
        ("C:/a?b", "C:/a?b"),
        ("https://host/a@b/w.pth", "https://host/a@b/w.pth"),
        ("photos/a?b#c", "photos/a?b#c"),
        ("hf://org/repo@main", "hf://org/repo@main"),
    ],
)
def test_a_public_address_holds_no_secret(address: str, public: str) -> None:
    assert public_address(address) == public


def test_a_folder_that_is_called_like_an_address_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s3:" / "photos").mkdir(parents=True)
    assert not is_address(Path("s3://photos"))
    assert is_address(Path("s3://other"))
    assert is_address("s3://photos")
    check_local("data", Path("s3://photos"))


def test_a_signed_address_is_asked_whole_and_shown_without_its_secret(server: Behaviour, tmp_path: Path) -> None:
    server.files["/signed.bin"] = CONTENT
    whole = server.address.replace("http://", "http://user:p%40ss@")
    signed = RemoteFile(f"{whole}/signed.bin?key=s3cret", SHA256)
    assert fetch(signed, tmp_path).name == "signed.bin"
    assert server.asked[0].path == "/signed.bin?key=s3cret"
    assert server.asked[0].headers["authorization"] == "Basic " + base64.b64encode(b"user:p@ss").decode()
    server.statuses = [403]
    with pytest.raises(InputError, match="Give the whole address again") as error:
        fetch(RemoteFile(f"{whole}/other.bin?key=s3cret", SHA256), tmp_path)
    assert "s3cret" not in str(error.value)
    assert "p%40ss" not in str(error.value)
    server.files["/signed.bin"] = OTHER
    with pytest.raises(InputError, match="SHA-256") as error:
        fetch(signed, tmp_path / "again")
    assert "s3cret" not in str(error.value)


def test_a_name_outside_ascii_is_asked_for_in_percent_signs(server: Behaviour, tmp_path: Path) -> None:
    server.files["/gr%C3%B6%C3%9Fe%20a.bin"] = CONTENT
    assert fetch(RemoteFile(f"{server.address}/größe%20a.bin", SHA256), tmp_path).name == "größe a.bin"


@pytest.mark.parametrize("target", ["http://[::1/x", "http://ho st/x", "http://" + "a" * 70 + ".example/", "file:///x"])
def test_a_redirect_to_no_address_is_refused(server: Behaviour, tmp_path: Path, target: str) -> None:
    server.redirects["/data.bin"] = target
    with pytest.raises(InputError, match="could not be downloaded"):
        fetch(RemoteFile(f"{server.address}/data.bin", SHA256), tmp_path)
    with contextlib.suppress(*ERRORS):
        assert head(f"{server.address}/data.bin").url == f"{server.address}/data.bin"


@pytest.mark.parametrize("host", ["ä" * 70, "a..b", "xn--", "a\udcff"])
def test_a_host_that_is_none_is_refused(host: str, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        fetch(RemoteFile(f"http://{host}.invalid:1/w.bin", SHA256), tmp_path)


def test_a_number_that_no_integer_holds_is_no_number() -> None:
    assert number_in("9" * 5000) is None
    assert number_in("12") == 12
    assert number_in("-1") is number_in("1.5") is number_in(None) is number_in("١") is None


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/a", "data:text/plain,a"])
def test_a_redirect_to_something_else_is_refused(server: Behaviour, tmp_path: Path, target: str) -> None:
    server.redirects["/data.bin"] = target
    with pytest.raises(InputError, match="could not be downloaded"):
        fetch(RemoteFile(f"{server.address}/data.bin", SHA256), tmp_path)
    assert len(server.asked) == 1


def test_a_loop_of_redirects_ends(server: Behaviour, tmp_path: Path) -> None:
    server.redirects["/data.bin"] = f"{server.address}/data.bin"
    with pytest.raises(InputError, match="could not be downloaded"):
        fetch(RemoteFile(f"{server.address}/data.bin", SHA256), tmp_path)
    with pytest.raises(Refused, match="redirects"):
        head(f"{server.address}/data.bin")


def test_the_head_of_a_file_is_followed_on_its_own_host_only(server: Behaviour) -> None:
    server.redirects = {"/old": "/new", "/new": "http://127.0.0.2:9/far"}
    server.headers["/new"] = {"X-Linked-Size": "7"}
    found = head(f"{server.address}/old", token="secret")
    assert found.url == f"{server.address}/new"
    assert found.headers["x-linked-size"] == "7"
    assert [each.headers["authorization"] for each in server.asked] == ["Bearer secret"] * 2


@pytest.mark.parametrize("url", ["ftp://a/b", "file:///etc/passwd", "http://", "https:///x", "model.pth", "http://[a"])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(InputError, match="Wanted: http"):
        RemoteFile(url, SHA256)


@pytest.mark.parametrize("digest", ["", "abc", SHA256.upper(), SHA256 + "0", "0" * 7, "xyzxyzxy"])
def test_a_hash_that_is_none_is_refused(digest: str) -> None:
    with pytest.raises(InputError, match="hexadecimal"):
        RemoteFile("http://a/b", digest)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://a/b/c%20d.pth?x=1#y", "c d.pth"),
        ("http://a", "download"),
        ("http://a/%2e%2e", "download"),
        ("http://a/x%00y", "download"),
    ],
)
def test_names_come_from_the_path_of_the_address(url: str, name: str) -> None:
    assert RemoteFile(url, SHA256).file_name == name


def test_a_host_or_a_port_that_is_none_is_a_reason_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    escaped: list[object] = []
    monkeypatch.setattr("threading.excepthook", escaped.append)
    url = f"https://{'a' * 70}.example/w"
    assert "no connection to aaa" in unreachable([url, "https://a..b/w"], 2)[url]
    assert not escaped
    with pytest.raises(InputError, match=r"the address 'https://host:port/w'.*a port"):
        unreachable(["https://host:port/w"])
    monkeypatch.setenv("https_proxy", "http://user:s3cret@proxy.example:99999")
    with pytest.raises(InputError, match=r"the proxy 'http://proxy.example:99999'.*0 to 65535"):
        unreachable(["https://host/w"])
