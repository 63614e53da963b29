"""Trackio: a local data base, which `trackio show` draws."""

from __future__ import annotations

import contextlib
import io
from typing import Any

from residua._base.packages import package
from residua.training.tracking.tracker import Config, Numbers, Status


class TrackioTracker:
    """Writes into trackio's own folder (TRACKIO_DIR), or where TRACKIO_SPACE_ID or TRACKIO_SERVER_URL states.

    Trackio knows a run by its name: the run's id is a part of it.
    """

    def __init__(self) -> None:
        self._trackio = package("trackio", "trackio")
        self._run: Any = None

    def start(self, config: Config) -> None:
        """See `Tracker`."""
        with _silent():
            self._run = self._trackio.init(
                project="residua",
                name=f"{config['name']}-{config['id']}",
                config=dict(config),
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )

    def log(self, step: int, numbers: Numbers) -> None:
        """See `Tracker`."""
        self._run.log(dict(numbers), step=step)

    def image(self, step: int, name: str, png: bytes) -> None:
        """See `Tracker`."""
        from PIL import Image

        self._run.log({name: self._trackio.Image(Image.open(io.BytesIO(png)))}, step=step)

    def finish(self, status: Status) -> None:
        """See `Tracker`."""
        # Not the run's own `finish`: at the end of the process, trackio would finish and print again.
        with _silent():
            self._trackio.finish()


def _silent() -> contextlib.AbstractContextManager[object]:
    """Keep what trackio prints off stdout, where a command's own result goes."""
    return contextlib.redirect_stdout(io.StringIO())
