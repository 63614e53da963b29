"""Downloads against a server that breaks off, lies, ignores ranges, changes its files, or sends something else."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from residua._base.console import BYTES, progress_bar
from residua._base.errors import InputError
from residua._base.web import download, http
from residua._base.web.download import RemoteFile, fetch
from servers import Behaviour, serving

CONTENT = np.random.default_rng(0).integers(0, 256, 1_500_000, dtype=np.uint8).tobytes()
OTHER = np.random.default_rng(1).integers(0, 256, 1_500_000, dtype=np.uint8).tobytes()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server() -> Iterator[Behaviour]:
    with serving(files={"/data.bin": CONTENT}) as behaviour:
        yield behaviour


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited between attempts; no time passes."""
    found: list[float] = []
    monkeypatch.setattr(http.time, "sleep", found.append)
    for name in ("RESIDUA_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return found


def remote(server: Behaviour, digest: str = SHA256, size: int | None = len(CONTENT), **changes: Any) -> RemoteFile:
    return RemoteFile(f"{server.address}/data.bin", digest, size, **changes)


def left(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir() if not each.name.endswith(".lock"))


def test_a_download_reports_its_progress(server: Behaviour, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = fetch(remote(server), tmp_path / "new", lambda held, total: seen.append((held, total)))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [held for held, _ in seen] == sorted(held for held, _ in seen)
    fetch(remote(server), tmp_path / "new")
    assert len(server.asked) == 1


@pytest.mark.parametrize("size", [len(CONTENT), None])
@pytest.mark.parametrize("tags", [True, False])
def test_a_broken_download_continues_where_it_stopped(
    server: Behaviour, tmp_path: Path, tags: bool, size: int | None
) -> None:
    server.breaks, server.tags = [400_000, 300_000], tags
    assert fetch(remote(server, size=size), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=400000-", "bytes=700000-"]
    assert all(("if-range" in each.headers) == tags for each in server.asked[1:])
    assert left(tmp_path) == ["data.bin"]


def test_any_number_of_breaks_is_endured_while_something_arrives(server: Behaviour, tmp_path: Path) -> None:
    server.breaks = [100_000] * 14
    assert fetch(remote(server), tmp_path).read_bytes() == CONTENT
    assert len(server.asked) == 15


def test_a_server_at_a_crawl_is_given_up_and_its_part_is_kept(
    server: Behaviour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    monkeypatch.setattr(download, "_SLOW_SECONDS", 0.2)
    server.drips = [0.01]
    with pytest.raises(InputError, match=r"bytes per second for 0 seconds; what arrived is kept.*Repeat the command"):
        fetch(remote(server), tmp_path)
    held = (tmp_path / "data.bin.part").read_bytes()
    assert 0 < len(held) < 1000
    assert CONTENT.startswith(held)
    assert not waits
    assert fetch(remote(server), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={len(held)}-"]


def test_a_part_of_an_earlier_run_is_continued(server: Behaviour, tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:1_000_000])
    assert fetch(remote(server), tmp_path).read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000000-"]


@pytest.mark.parametrize("note", [b"\xff\xfe", b"a\r\nHost: b", b"x" * 10_000], ids=["no text", "two headers", "long"])
def test_a_damaged_note_beside_a_part_is_left_out(server: Behaviour, tmp_path: Path, note: bytes) -> None:
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:1_000_000])
    (tmp_path / "data.bin.part.etag").write_bytes(note)
    assert fetch(remote(server), tmp_path).read_bytes() == CONTENT
    assert "if-range" not in server.asked[0].headers


def test_a_folder_that_cannot_be_written_to_serves_what_it_holds(
    server: Behaviour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(remote(server), tmp_path)

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(download, "waiting", refuse)
    assert fetch(remote(server), tmp_path).read_bytes() == CONTENT
    with pytest.raises(OSError, match=os.strerror(errno.EROFS)):
        fetch(remote(server), tmp_path / "new")


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_a_whole_part_needs_no_more(server: Behaviour, tmp_path: Path, size: int | None) -> None:
    (tmp_path / "data.bin.part").write_bytes(CONTENT)
    assert fetch(remote(server, size=size), tmp_path).read_bytes() == CONTENT
    assert server.ranges == ([] if size else [f"bytes={len(CONTENT)}-"])


def test_a_part_that_is_longer_than_the_file_is_dropped(server: Behaviour, tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(OTHER + OTHER)
    assert fetch(remote(server, size=None), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [f"bytes={2 * len(OTHER)}-", None]


def test_a_server_without_ranges_starts_again(server: Behaviour, tmp_path: Path) -> None:
    server.honours_ranges, server.breaks = False, [400_000]
    assert fetch(remote(server), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("tags", [True, False])
def test_versions_of_a_changed_file_are_not_glued(server: Behaviour, tmp_path: Path, tags: bool) -> None:
    server.files["/data.bin"], server.breaks, server.tags = OTHER, [400_000], tags

    def change(number: int) -> None:
        if number == 2:
            server.files["/data.bin"] = CONTENT

    server.before = change
    assert fetch(remote(server), tmp_path).read_bytes() == CONTENT
    # With a tag the second answer is whole; without one the hash of the pieces is wrong, and all is requested again.
    assert server.ranges == [None, "bytes=400000-"] + ([] if tags else [None])


def test_a_range_that_was_not_asked_for_is_not_glued(server: Behaviour, tmp_path: Path) -> None:
    server.breaks = [400_000]

    def skew(number: int) -> None:
        server.headers["/data.bin"] = {"Content-Range": "bytes 17-99/100"} if number == 2 else {}

    server.before = skew
    assert fetch(remote(server), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=400000-", None]


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_a_length_beyond_the_end_is_a_lie(server: Behaviour, tmp_path: Path, size: int | None) -> None:
    server.lies = 1000
    assert fetch(remote(server, size=size), tmp_path).read_bytes() == CONTENT


def test_a_length_short_of_the_end_is_a_lie(server: Behaviour, tmp_path: Path) -> None:
    server.lies = -1000
    with pytest.raises(InputError, match="1000 more expected"):
        fetch(remote(server), tmp_path)
    # What came is kept, for a server that is honest again.
    assert left(tmp_path) == ["data.bin.part"]
    server.lies = 0
    assert fetch(remote(server), tmp_path).read_bytes() == CONTENT
    assert server.ranges[-1] == f"bytes={len(CONTENT) - 1000}-"


def test_a_length_short_of_an_unknown_end_is_found_out_by_the_hash(server: Behaviour, tmp_path: Path) -> None:
    server.lies = -1000
    with pytest.raises(InputError, match="SHA-256"):
        fetch(remote(server, size=None), tmp_path)
    assert left(tmp_path) == []


def test_a_server_that_announces_no_length(server: Behaviour, tmp_path: Path) -> None:
    server.announces_length = False
    assert fetch(remote(server, size=None), tmp_path).read_bytes() == CONTENT


def test_no_more_is_read_than_the_file_has(server: Behaviour, tmp_path: Path) -> None:
    server.files["/data.bin"], server.announces_length = CONTENT * 20, False
    seen: list[int] = []
    with pytest.raises(InputError, match="bytes"):
        fetch(remote(server), tmp_path, lambda held, total: seen.append(held))
    assert seen[-1] < 2 * len(CONTENT)
    assert left(tmp_path) == []


@pytest.mark.parametrize("digest", [SHA256, SHA256[:8]])
def test_something_else_is_refused_and_removed(server: Behaviour, tmp_path: Path, digest: str) -> None:
    assert fetch(remote(server, digest), tmp_path / "a").read_bytes() == CONTENT
    server.files["/data.bin"] = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    with pytest.raises(InputError, match=rf"SHA-256.*SHA-256 {digest}\b"):
        fetch(remote(server, digest), tmp_path)
    assert left(tmp_path) == ["a"]


def test_files_that_git_names(server: Behaviour, tmp_path: Path) -> None:
    # `printf 'hello\n' | git hash-object --stdin`
    server.files["/data.bin"] = b"hello\n"
    file = remote(server, "ce013625030ba8dba906f756967f9e9ca394464a", None, kind="git")
    assert fetch(file, tmp_path).read_bytes() == b"hello\n"
    server.files["/data.bin"] = b"hallo\n"
    (tmp_path / "data.bin").unlink()
    with pytest.raises(InputError, match="git's SHA-1"):
        fetch(file, tmp_path)


def test_a_damaged_file_in_the_cache_is_fetched_again(server: Behaviour, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(OTHER)
    assert fetch(remote(server), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("status", [404, 401, 403, 410])
def test_a_lasting_refusal_is_not_asked_for_again(server: Behaviour, tmp_path: Path, status: int) -> None:
    server.statuses = [status] * 9
    with pytest.raises(InputError, match=str(status)):
        fetch(remote(server), tmp_path)
    assert len(server.asked) == 1


def test_a_busy_server_is_asked_again_after_the_time_it_names(
    server: Behaviour, tmp_path: Path, waits: list[float]
) -> None:
    server.statuses, server.retry_after = [429, 500, 503], "7"
    assert fetch(remote(server), tmp_path).read_bytes() == CONTENT
    assert waits == [7, 7, 7]


@pytest.mark.parametrize(("after", "attempts"), [("", 4), ("3600", 1), ("-1", 4), ("Tue", 4)])
def test_a_server_that_stays_busy_is_given_up(server: Behaviour, tmp_path: Path, after: str, attempts: int) -> None:
    server.statuses, server.retry_after = [503] * 9, after
    with pytest.raises(InputError, match="503"):
        fetch(remote(server), tmp_path)
    assert len(server.asked) == attempts


def test_a_redirect_is_followed_without_the_token(server: Behaviour, tmp_path: Path) -> None:
    server.token = "secret"
    with serving(files={"/far": CONTENT}) as other:
        server.redirects["/data.bin"] = f"{other.address}/far?signature=1"
        assert fetch(remote(server, token="secret"), tmp_path).read_bytes() == CONTENT
        assert "authorization" not in other.asked[0].headers
    assert "secret" not in repr(remote(server, token="secret"))


@pytest.mark.parametrize("name", ["RESIDUA_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_names_what_is_missing_and_its_place(
    server: Behaviour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(InputError) as error:
        fetch(remote(server), tmp_path)
    assert f"{server.address}/data.bin" in str(error.value)
    assert f"the file at {tmp_path}/data.bin" in str(error.value)
    (tmp_path / "data.bin").write_bytes(CONTENT)
    assert fetch(remote(server), tmp_path).read_bytes() == CONTENT
    (tmp_path / "data.bin").write_bytes(OTHER)
    with pytest.raises(InputError, match="SHA-256"):
        fetch(remote(server), tmp_path)
    assert not server.asked
    assert (tmp_path / "data.bin").exists()


def test_a_file_without_room_is_refused_before_it_is_sent(
    server: Behaviour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: namedtuple("Usage", "free")(1_200_000))
    with pytest.raises(InputError, match=r"1\.5 MB more, and 1\.2 MB are free"):
        fetch(remote(server, size=None), tmp_path)
    assert len(server.asked) == 1


def test_a_full_disk_is_not_tried_again(server: Behaviour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(download._Part, "begin", full)
    with pytest.raises(InputError, match="No space left"):
        fetch(remote(server), tmp_path)
    assert len(server.asked) == 1


def test_two_downloads_at_once_fetch_once(server: Behaviour, tmp_path: Path) -> None:
    threads = [threading.Thread(target=fetch, args=(remote(server), tmp_path)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert len(server.asked) == 1


def test_a_download_announces_itself_once(capfd: pytest.CaptureFixture[str]) -> None:
    with progress_bar("weights.pth", BYTES) as show:
        assert capfd.readouterr().err == ""
        show(1, 2_500_000)
        show(2, 2_500_000)
    assert capfd.readouterr().err == "Downloading weights.pth, 2.5 MB\n"
    with progress_bar("config.json", BYTES) as show:
        show(1, 500)
    with progress_bar("Examining", "images") as show:
        show(1, 2)
    assert capfd.readouterr().err == ""
