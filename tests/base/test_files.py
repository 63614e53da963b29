"""Whole files, on file systems that refuse calls, and the true cause where a write is refused."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from residua._base import files
from residua._base.errors import InputError
from residua._base.files import write_text, writing

CAUSES = {
    errno.ENOSPC: r"the disk is full \([\d,.]+ MB free\).*Make room, then repeat.*resume=True",
    errno.EDQUOT: r"the disk quota is used up",
    errno.EROFS: r"the file system is mounted read-only.*Give a different folder: out=FOLDER",
    errno.EACCES: r"there is no permission to write to",
    errno.ENAMETOOLONG: r"a name in it is too long \(\d+ bytes",
    errno.EIO: r"the disk failed",
    errno.ENOTDIR: os.strerror(errno.ENOTDIR),
    errno.EFBIG: r"the file system takes no file of this size",
}


@pytest.mark.parametrize("number", CAUSES, ids=errno.errorcode.get)
def test_a_refused_write_states_the_true_cause(number: int, tmp_path: Path) -> None:
    for error in (OSError(number, os.strerror(number)), RuntimeError(f"I/O error: words (os error {number})")):
        with pytest.raises(InputError, match=CAUSES[number]), writing(tmp_path / "new" / "a.json"):
            raise error


def test_a_disk_without_room_for_more_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = list(os.statvfs(tmp_path))
    status[5:8] = 1000, 0, 0  # f_files, f_ffree, f_favail
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(status))
    with pytest.raises(InputError, match="as many files as it can"), writing(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_what_is_no_refused_write_passes(tmp_path: Path) -> None:
    for error in (KeyError("x"), InputError("a", "b", "c")):
        with pytest.raises(type(error)), writing(tmp_path):
            raise error
    with pytest.raises(InputError, match="12 requested and 4 written"), writing(tmp_path):
        raise OSError("12 requested and 4 written")


def test_a_limit_of_file_size_is_no_full_disk(tmp_path: Path) -> None:
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom residua._base.files import write_text, writing\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "with writing(Path(sys.argv[1])):\n    write_text(Path(sys.argv[1]), 'x' * 9000)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], capture_output=True, text=True)
    assert "this process may write at most 5,000 bytes to a file (ulimit -f)" in done.stderr
    assert "full" not in done.stderr
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM])
@pytest.mark.parametrize("call", ["fsync", "chmod"])
def test_a_file_system_without_a_call_is_written_to(
    call: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files, "_warned", set())
    monkeypatch.setattr(os, call, refuse)
    with pytest.warns(UserWarning, match=f"{tmp_path} does not support"):
        write_text(tmp_path / "a", "a")
    write_text(tmp_path / "b", "b")  # a second warning would be an error
    assert [path.read_text() for path in sorted(tmp_path.iterdir())] == ["a", "b"]


def test_a_sync_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        write_text(tmp_path / "a", "a")
    assert not list(tmp_path.iterdir())


def test_the_room_is_that_of_the_nearest_folder(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free / 1e6
    assert float(files._free(tmp_path / "no" / "such").split()[0].replace(",", "")) == pytest.approx(free, rel=0.2)


@pytest.mark.parametrize(
    "name", ["x" * 255, "é" * 127, os.fsdecode(b"\xff" * 255)], ids=["ascii", "two bytes", "no utf-8"]
)
def test_the_longest_name_is_written(name: str, tmp_path: Path) -> None:
    write_text(tmp_path / name, "a")
    assert os.listdir(tmp_path) == [name]


def test_names_that_are_no_utf8_are_escaped(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.png")
    write_text(tmp_path / "plain.txt", f"é {name}")
    assert (tmp_path / "plain.txt").read_bytes() == "é ".encode() + b"\\udcff.png"
    write_text(tmp_path / "document.json", json.dumps([name], ensure_ascii=False))
    assert json.loads((tmp_path / "document.json").read_text(encoding="utf-8")) == [name]


def test_writing_leaves_the_umask_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(os, "umask", asked.append)
    write_text(tmp_path / "a", "a")
    assert not asked, f"set in {threading.current_thread().name}, it holds for every thread"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~files._UMASK
