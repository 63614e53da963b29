"""Trackio: a local data base, which `trackio show` draws."""

from __future__ import annotations

import io
import re
import sys
import warnings
from typing import Any

from residua._base.packages import package
from residua.training.tracking.tracker import Config, Numbers, Status

_LOSS = re.compile(r"could not be persisted|be lost|dropped|skipped metric|failed to process|(init|finish)\(\) failed")


class TrackioTracker:
    """Writes into trackio's own folder (TRACKIO_DIR), or where TRACKIO_SPACE_ID or TRACKIO_SERVER_URL states.

    Trackio knows a run by its name: the run's id is a part of it. It keeps its errors to itself and only warns. Where
    such a warning states that data are lost, the next call here raises it, and so do all after it.
    """

    def __init__(self) -> None:
        self._trackio = package("trackio", "trackio")
        self._run: Any = None
        self._faults: list[str] = []

    def start(self, config: Config) -> None:
        """See `Tracker`."""
        self._faults.clear()
        self._take_over()
        self._run = self._trackio.init(
            project="residua",
            name=f"{config['name']}-{config['id']}",
            config=dict(config),
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        self._check()

    def log(self, step: int, numbers: Numbers) -> None:
        """See `Tracker`."""
        self._check()
        self._run.log(dict(numbers), step=step)

    def image(self, step: int, name: str, png: bytes) -> None:
        """See `Tracker`."""
        from PIL import Image

        self._check()
        self._run.log({name: self._trackio.Image(Image.open(io.BytesIO(png)))}, step=step)

    def finish(self, status: Status) -> None:
        """See `Tracker`."""
        # Not the run's own `finish`: at the end of the process, trackio would finish and print again.
        self._take_over()
        self._trackio.finish()
        self._check()

    def _check(self) -> None:
        if self._faults:
            raise RuntimeError(self._faults[0])

    def _take_over(self) -> None:
        """Keep what trackio prints off stdout, where a command's own result goes, and note its errors.

        Trackio has no switch for either. A redirected stdout would be the whole process's, in every thread, and so
        would a filter of warnings.
        """
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] == "trackio":
                module.__dict__["print"] = _ignored
                if "_emit_nonfatal_warning" in module.__dict__:
                    module.__dict__["_emit_nonfatal_warning"] = self._note

    def _note(self, message: str, category: type[Warning] = UserWarning, **options: Any) -> None:
        if _LOSS.search(message):
            self._faults.append(message)
        else:  # advice, or what it keeps and sends later
            warnings.warn(message, category, **options)


def _ignored(*_: object, **__: object) -> None:
    """Print nothing."""
