"""One walk: every entry of a folder has a kind, and nothing is opened that could wait for ever."""

from __future__ import annotations

import os
import socket
from collections import Counter
from pathlib import Path

import pytest

from data.pictures import picture
from residua.data.listing import Listing, walk


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "photos"
    (path / "deep/er").mkdir(parents=True)
    for name in ("b.png", "A.JPG", "deep/c.webp", "deep/er/d.bmp"):
        picture(1).save(path / name)
    return path


def kinds(path: Path) -> dict[str, str]:
    return {str(Path(entry.path).relative_to(path)): entry.kind for entry in walk(path)}


def test_images_in_order(folder: Path) -> None:
    assert list(kinds(folder)) == ["A.JPG", "b.png", "deep/c.webp", "deep/er/d.bmp"]
    assert set(kinds(folder).values()) == {"image"}


def test_files_without_ending_are_judged_by_their_first_bytes(folder: Path) -> None:
    picture(1).save(folder / "photo", "JPEG")
    picture(1).save(folder / "other", "PNG")
    (folder / "README").write_text("P3 is how some texts begin")
    (folder / "old.bak").write_bytes((folder / "photo").read_bytes())
    found = kinds(folder)
    assert (found["photo"], found["other"], found["README"], found["old.bak"]) == ("image", "image", "other", "other")
    (sentence,) = Listing.of(list(walk(folder))).left_out()
    assert sentence.startswith("2 files are no images by their ending: ")
    assert "1 without ending (such as README)" in sentence
    assert "1 .bak (such as old.bak)" in sentence


def test_special_files_are_named_and_never_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(folder / "pipe.png")
    os.mkfifo(folder / "pipe")
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")
        (folder / "zero.png").symlink_to("/dev/zero")
        (folder / "gone.png").symlink_to("nowhere")
        (folder / "gone").symlink_to("nowhere")
        (folder / "self.png").symlink_to("self.png")
        found = {Path(entry.path).name: (entry.kind, entry.detail) for entry in walk(folder)}
    assert found["pipe.png"] == ("unusable file", "a named pipe")
    assert found["socket.jpg"] == ("unusable file", "a socket")
    assert found["zero.png"] == ("unusable file", "a device")
    assert found["gone.png"] == ("unusable file", "a broken link")
    assert found["self.png"][0] == "unusable file"
    assert found["pipe"] == ("other", "named pipe")
    assert found["gone"][0] == "other"


def test_what_systems_and_tools_leave(folder: Path) -> None:
    for name in ("Thumbs.db", ".DS_Store", "desktop.ini", "deep/._c.webp", "deep/.hidden.jpg"):
        (folder / name).touch()
    for name in ("__MACOSX", "@eaDir", ".git", "$RECYCLE.BIN"):
        (folder / name).mkdir()
        picture(1).save(folder / name / "thumb.png")
    found = Counter(kinds(folder).values())
    assert found == {"image": 4, "system": 9}
    (sentence,) = Listing.of(list(walk(folder))).left_out()
    for name in ("Thumbs.db", "__MACOSX/", "@eaDir/"):
        assert name in sentence


def test_links_are_followed_and_loops_end(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    picture(2).save(tmp_path / "more/e.png")
    (folder / "linked").symlink_to(tmp_path / "more")
    (folder / "deep/loop").symlink_to(folder)
    found = kinds(folder)
    assert found["linked/e.png"] == "image"
    assert found["deep/loop"] == "loop"


def test_runs_are_no_data(folder: Path) -> None:
    (folder / "run").mkdir()
    (folder / "run/model.safetensors").touch()
    picture(1).save(folder / "run/maps.png")
    assert kinds(folder)["run"] == "run"
    assert "run/maps.png" not in kinds(folder)


def test_everything_is_counted(folder: Path) -> None:
    (folder / "notes.txt").touch()
    os.mkfifo(folder / "pipe.png")
    (folder / ".x").touch()
    entries = list(walk(folder))
    listing = Listing.of(entries)
    parts = (listing.images, listing.others, listing.unusable, listing.system, listing.runs)
    assert sum(map(len, parts)) == len(entries) == 7
