"""Frames of videos as images, by PyAV (extra `video`)."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from residua._base.errors import at_least_one
from residua.data.decode import BadImage
from residua.data.decode.bad_image import check_size
from residua.inference.answers.names import EVERY_FRAME
from residua.inference.image_files import BadFile, ImageFile

SUFFIXES = frozenset((".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi"))
"""The endings of files that are taken for videos."""
_WITHOUT = 'a video, which needs an extra: pip install "residua[video]"'


def is_video(path: Path) -> bool:
    """Return whether a file is taken for a video: by its name, since containers of photos begin alike."""
    return path.suffix.lower() in SUFFIXES


def frames(path: Path | str, every: int = EVERY_FRAME) -> Iterator[ImageFile | BadFile]:
    """Yield every Nth frame of a video's first stream as an image, upright, called "FILE#frame=N", counted from 0.

    Decoded frames are held one by one, as they are asked for. What cannot be read is named in their place.

    Raises:
        InputError: `every` below 1.
    """
    at_least_one(every_frame=every)
    return _frames(Path(path), every)


def _frames(path: Path, every: int) -> Iterator[ImageFile | BadFile]:
    try:
        av = importlib.import_module("av")
    except ImportError:
        yield BadFile(str(path), _WITHOUT)
        return
    number = 0
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                yield BadFile(str(path), "a video file without pictures")
                return
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for number, frame in enumerate(container.decode(stream)):
                if number % every == 0:
                    check_size(frame.height, frame.width, str(path))
                    shown = f"{path}#frame={number}"
                    yield ImageFile(path, path, shown, _pixels(frame))
    except BadImage as error:
        yield BadFile(str(path), error.reason)
    except (av.error.FFmpegError, OSError) as error:
        reason = " ".join(str(error.strerror or error).split())[:200]
        yield BadFile(str(path), f"a video that cannot be read from frame {number} on ({reason})")


def _pixels(frame: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    pixels: np.ndarray[Any, np.dtype[np.uint8]] = frame.to_ndarray(format="rgb24")
    # Phones store a video lying on its side, with the angle to turn it by, in degrees against the clock.
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels
