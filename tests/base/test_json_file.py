"""Files of ours that were damaged: one kind of error, whatever is wrong, with the reason."""

from __future__ import annotations

import json
import os
import pickle
import random
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

import pytest

from residua._base.errors import Damaged, InputError
from residua._base.json_file import mismatch, parse_json, read_json, read_json_lines


class Data(TypedDict):
    hash: str
    images: int


class Record(TypedDict):
    data: Data | None
    names: list[str]
    share: float
    form: Literal["quick", "full"]
    note: NotRequired[str]


WHOLE: dict[str, Any] = {"data": {"hash": "a", "images": 3}, "names": ["x"], "share": 1, "form": "quick"}

WRONG = {
    "null": (b"null", "it holds null"),
    "a list": (b"[]", "it holds a list"),
    "nothing": (b"", "no JSON"),
    "half": (json.dumps(WHOLE).encode()[:-9], "no JSON"),
    "another encoding": ('{"names": ["é"]}'.encode("latin-1"), "not UTF-8 from byte 12 on"),
    "utf-16": (json.dumps(WHOLE).encode("utf-16"), "not UTF-8"),
    "deep": (b"[" * 100_000 + b"]" * 100_000, "too deeply"),
    "deep enough": (b'{"a":' * 80 + b"1" + b"}" * 80, "too deeply"),
    "a long number": (b'{"share": ' + b"9" * 400 + b"}", "a number of 400 digits"),
    "a very long number": (b'{"share": ' + b"9" * 5000 + b"}", "a number of 5000 digits"),
    "NaN": (b'{"share": NaN}', "NaN is no finite number"),
    "beyond floats": (b'{"share": 1e999}', "1e999 is no finite number"),
    "a missing key": (json.dumps({k: v for k, v in WHOLE.items() if k != "names"}).encode(), "it lacks `names`"),
    "a missing inner key": (json.dumps(WHOLE | {"data": {"images": 3}}).encode(), "it lacks `data.hash`"),
    "text for a number": (json.dumps(WHOLE | {"share": "1"}).encode(), 'it holds "1" as `share`'),
    "true for a number": (json.dumps(WHOLE | {"share": True}).encode(), "it holds true"),
    "a number in a list of text": (
        json.dumps(WHOLE | {"names": ["a", 5]}).encode(),
        r"it holds 5 as `names\[1\]`",
    ),
    "another word": (json.dumps(WHOLE | {"form": "long"}).encode(), 'it holds "long"'),
}


@pytest.mark.parametrize(("content", "reason"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(Damaged, match=reason) as caught:
        read_json(path, Record)
    assert (caught.value.path, caught.value.absent) == (path, False)
    assert isinstance(caught.value, InputError)
    assert len(str(caught.value)) < 500


def test_what_is_whole_is_read(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    for content in (json.dumps(WHOLE), json.dumps(WHOLE | {"data": None, "note": "n", "new": [1]})):
        path.write_text(content)
        assert read_json(path, Record) == json.loads(content)
        path.write_bytes(b"\xef\xbb\xbf" + content.encode())
        assert read_json(path, Record) == json.loads(content)
    assert parse_json('{"12": "reason"}', dict[str, str], path) == {"12": "reason"}
    assert json.loads(json.dumps(parse_json('{"name": "\\udcff"}', dict, path))) == {"name": "\udcff"}


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(Damaged) as caught:
        read_json(tmp_path / "none.json", dict)
    assert caught.value.absent
    assert pickle.loads(pickle.dumps(caught.value)).absent
    (tmp_path / "file").write_text("{}")
    with pytest.raises(Damaged) as caught:
        read_json(tmp_path / "file" / "none.json", dict)
    assert caught.value.absent
    with pytest.raises(Damaged, match="no regular file"):
        read_json(tmp_path, dict)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Damaged, match="no regular file"):
        read_json(tmp_path / "pipe", dict)
    with pytest.raises(Damaged, match="larger than 1 bytes"):
        read_json(tmp_path / "file", dict, most=1)
    with pytest.raises(Damaged, match="cannot be read"):
        read_json(Path("a\0b"), dict)


def test_lines(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text('{"epoch": 1}\n{"epoch": 2, "at": "a\u2028b"}\n', encoding="utf-8")
    assert [row["epoch"] for row in read_json_lines(path, dict)] == [1, 2]
    path.write_text('{"epoch": 1}\n{"ep')
    assert read_json_lines(path, dict) == [{"epoch": 1}]
    path.write_text("")
    assert read_json_lines(path, dict) == []
    path.write_text('{"epoch": 1}\n{"ep\n{"epoch": 3}\n')
    with pytest.raises(Damaged, match="line 2: it is no JSON"):
        read_json_lines(path, dict)
    path.write_text('{"epoch": 1}\n[2]\n')
    with pytest.raises(Damaged, match="line 2: it holds a list"):
        read_json_lines(path, dict)


def test_any_damage_is_damage(tmp_path: Path) -> None:
    """Bytes flipped, cut and repeated at random: a value of the right kind, or `Damaged`."""
    draw, path, whole = random.Random(0), tmp_path / "record.json", json.dumps(WHOLE).encode()
    for _ in range(2000):
        content = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            place = draw.randrange(len(content))
            match draw.randrange(3):
                case 0:
                    content[place] = draw.randrange(256)
                case 1:
                    del content[place : place + draw.randint(1, 9)]
                case 2:
                    content[place:place] = content[: draw.randint(1, 60)]
            content = content or bytearray(b"x")
        path.write_bytes(bytes(content))
        try:
            found = read_json(path, Record)
        except Damaged:
            continue
        assert mismatch(found, Record) == ""
