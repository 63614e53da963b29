"""Only regular files are read; whatever else has the name of an image is named and never waited for."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from data.pictures import encoded, picture
from residua.data.decode import MAX_FILE_BYTES, BadImage, decode, read


def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(BadImage, match=r"cannot be read \(a named pipe, not a file\)"):
        decode(tmp_path / "pipe.jpg")


def test_a_link_to_a_named_pipe_neither(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "pipe")
    with pytest.raises(BadImage, match="a named pipe"):
        decode(tmp_path / "link.jpg")


def test_sockets_devices_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # A socket's path must be short.
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("socket.jpg")
        with pytest.raises(BadImage, match=r"cannot be read \(a socket, not a file\)"):
            decode(tmp_path / "socket.jpg")
    for device in ("/dev/null", "/dev/zero"):
        with pytest.raises(BadImage, match="a device, not a file"):
            decode(Path(device))
    with pytest.raises(BadImage, match="a folder, not a file"):
        decode(tmp_path)


@pytest.mark.parametrize("name", ["a\0b.jpg", "x" * 300 + ".jpg"])
def test_names_that_no_file_can_have(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadImage, match="cannot be read"):
        decode(tmp_path / name)


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(picture(1), "PNG"))
    (tmp_path / "bad.png").write_bytes(b"none")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        decode(tmp_path / "a.png")
        for path in (tmp_path, tmp_path / "bad.png", Path("/dev/null")):
            with pytest.raises(BadImage):
                decode(path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_large_files_of_no_known_format_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("video.jpg", MAX_FILE_BYTES), ("huge.jpg", MAX_FILE_BYTES + 1)):
        with open(tmp_path / name, "wb") as stream:
            stream.truncate(size)
    with pytest.raises(BadImage, match="not an image"):
        read(tmp_path / "video.jpg")
    with pytest.raises(BadImage, match="larger than 1 GiB"):
        read(tmp_path / "huge.jpg")
