"""Streams that are closed, full, or of other encodings: exit codes, JSON, and no traceback."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from residua.cli.show import print_json, say
from residua.cli.tables import print_table

NETWORKS = f"{sys.executable} -m residua models 'resnet1*'"
TRAIN = (
    f"{sys.executable} -m residua train digits --model cifar_resnet8 --epochs 1 --max-steps 1 --min-steps 0 "
    "--batch-size 8 --train-images 40 --json --out"
)


def shell(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, timeout=240)


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (f"{NETWORKS} >&-", 0, "networks. Any legal depth"),
        (f"{NETWORKS} 2>&-", 0, ""),
        (f"{NETWORKS} --json >&- 2>&- <&-", 0, ""),
        (f"{NETWORKS} >/dev/full", 2, "standard output takes no more (No space left on device)"),
        (f"{NETWORKS} --json >/dev/full", 2, "standard output takes no more (No space left on device)"),
        (f"{NETWORKS} 2>/dev/full", 0, ""),
        (f"{NETWORKS} | head -n 1", 0, ""),
        (f"{NETWORKS}x 2>/dev/full", 2, ""),
        (f"{NETWORKS}x 2>&-", 2, ""),
    ],
)
def test_a_stream_that_takes_nothing(command: str, code: int, words: str) -> None:
    done = shell(command)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_training_outlives_its_streams(tmp_path: Path) -> None:
    for name, end, code in (
        ("closed", "2>&- >&-", 0),
        ("full", "2>/dev/full >/dev/full", 2),
        ("left", "2>&1 | true", 0),
    ):
        done = shell(f"{TRAIN} {tmp_path / name} {end}")
        assert done.returncode == code, (name, done.stderr)
        assert (tmp_path / name / "model.safetensors").is_file()
        assert (tmp_path / name / "report.json").is_file()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "utf-16", "cp1252"])
def test_json_is_json_in_every_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["café", "🐱", "\udcff", "\x7f\x9b", "\u202e", "日本", "\u2028"]
    content = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(content, encoding=encoding, errors="backslashreplace"))
    print_json({"classes": names})
    sys.stdout.flush()
    text = content.getvalue().decode(encoding)
    assert json.loads(text) == {"classes": names}
    assert not set("\x7f\x9b\u202e\u2028") & set(text)


def test_names_move_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\x1b[2Jb\nc\u202ed")
    print_table(("class",), [("e\x9bf",)])
    assert capsys.readouterr().out == "a\\x1b[2Jb\nc\\u202ed\nclass\n---------\ne\\x9bf\n".replace(
        "---------", "------"
    )
