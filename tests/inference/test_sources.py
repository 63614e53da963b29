"""What words stand for: files, patterns, lists, addresses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from residua._base.errors import InputError
from residua.inference import sources
from residua.inference.image_files import BadFile, ImageFile
from residua.inference.sources import each_source, is_plain


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("a/1.jpg", "a/2.jpg", "a/b/3.jpg", "odd[1].jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _shown(words: list[str], lines: tuple[bytes, ...] = ()) -> list[str]:
    return [str(each) if isinstance(each, Path) else each.reason for each in each_source(words, lines)]


def test_words_become_paths(photos: Path) -> None:
    assert _shown(["a/*.jpg", "a/**/*.jpg"]) == ["a/1.jpg", "a/2.jpg", "a/1.jpg", "a/2.jpg", "a/b/3.jpg"]
    assert _shown(["odd[1].jpg", "nowhere.jpg", "b/*.png"]) == [
        "odd[1].jpg",
        "nowhere.jpg",
        "a pattern that no file matches",
    ]
    (photos / "list.txt").write_bytes(b"a/1.jpg\r\n\n" + b"\xff.jpg\na/b/*.jpg")
    assert _shown(["@list.txt", "a"]) == ["a/1.jpg", os.fsdecode(b"\xff.jpg"), "a/b/3.jpg", "a"]
    assert _shown(["@-"], (b"a/1.jpg\n", b"\n", b"a/2.jpg")) == ["a/1.jpg", "a/2.jpg"]
    assert _shown(["@-"], (b"a/1.jpg\n", b"  \n")) == ["a/1.jpg"], "a blank line is no path"
    (photos / "@list.txt").touch()
    assert _shown(["@list.txt"]) == ["@list.txt"]
    assert is_plain(["a", "odd[1].jpg", "@list.txt"])
    assert not any(is_plain([word]) for word in ("*.jpg", "@-", "@other", "https://a.b/c.png"))


def test_a_list_that_is_not_there_is_refused_at_once(photos: Path) -> None:
    with pytest.raises(InputError, match=r"@nowhere\.txt, a list that cannot be read"):
        each_source(["a", "@nowhere.txt"])


def test_a_list_without_a_path_is_stated(photos: Path) -> None:
    (photos / "empty.txt").write_text("\n \n")
    assert list(each_source(["@empty.txt", "a"])) == [BadFile("@empty.txt", "a list without a path"), Path("a")]
    assert list(each_source(["@-"], ())) == [BadFile("standard input", "a list without a path")]


def test_addresses_are_asked_where_that_is_allowed(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = "https://user:secret@example.org/a.png?signature=1"
    (refused,) = each_source([address])
    assert refused == BadFile("https://example.org/a.png", "an address; give allow_urls=True")
    asked: list[str] = []
    monkeypatch.setattr(sources, "fetch", lambda url: asked.append(url) or b"content")
    (image,) = each_source([address], allow_urls=True)
    assert isinstance(image, ImageFile)
    assert image.name == "https://example.org/a.png"
    assert asked == []
    assert callable(image.content)
    assert image.content() == b"content"
    assert asked == [address]
