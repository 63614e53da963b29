"""Trackio: a local data base, which `trackio show` draws."""

from __future__ import annotations

import io
import sys
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
        _silence()
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
        _silence()
        self._trackio.finish()


def _silence() -> None:
    """Keep what trackio prints off stdout, where a command's own result goes; its warnings are left as they are.

    Trackio has no switch for it, and a redirected stdout would be the whole process's, in every thread.
    """
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "trackio":
            module.__dict__["print"] = _ignored


def _ignored(*_: object, **__: object) -> None:
    """Print nothing."""
