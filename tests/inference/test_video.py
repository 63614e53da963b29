"""Frames of videos: every Nth, in order, named; without PyAV the message names the extra."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.runs import COLOURS, colour_run
from residua._base.errors import InputError
from residua.inference.image_files import BadFile
from residua.inference.predict import predict
from residua.inference.sources import each_source, is_plain
from residua.inference.video import frames


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A video of 30 frames: ten red, ten green, ten blue."""
    av: Any = pytest.importorskip("av", reason="PyAV, of the extra video, is not installed")
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(30):
            pixels = np.full((48, 64, 3), list(COLOURS.values())[number // 10], np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def test_every_nth_frame_is_answered(clip: Path, tmp_path: Path) -> None:
    run = colour_run(tmp_path / "run")
    answers = predict(run, each_source([str(clip)], every_frame=5), top=1)
    assert [each.path for each in answers] == [f"{clip}#frame={number}" for number in range(0, 30, 5)]
    assert [each.labels[0] for each in answers] == ["red", "red", "green", "green", "blue", "blue"]
    assert len(predict(run, frames(clip, 30))) == 1
    assert not is_plain([str(clip)])


def test_a_damaged_video_is_named(clip: Path) -> None:
    content = clip.read_bytes()
    clip.write_bytes(content[: len(content) // 3])
    *_, last = frames(clip)
    assert isinstance(last, BadFile)
    assert "a video that cannot be read from frame 0 on" in last.reason


def test_without_the_package_the_message_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    assert list(frames(tmp_path / "a.mp4")) == [
        BadFile(str(tmp_path / "a.mp4"), 'a video, which needs an extra: pip install "residua[video]"')
    ]
    monkeypatch.undo()
    importlib.invalidate_caches()
    with pytest.raises(InputError, match="every_frame=0"):
        frames(tmp_path / "a.mp4", 0)
