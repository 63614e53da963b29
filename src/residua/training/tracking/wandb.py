"""Weights & Biases, offline unless WANDB_MODE states something else."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from residua._base.packages import package
from residua.training.tracking.tracker import Config, Numbers, Status


class WandbTracker:
    """Writes `wandb/offline-run-…` beside the run's folder, which `wandb sync` uploads.

    WANDB_PROJECT, WANDB_MODE, WANDB_DIR and the other variables of wandb are respected. What wandb collects of the
    machine and of the working directory is switched off.

    Args:
        beside: the folder in which the run's folder stands.
    """

    def __init__(self, beside: Path) -> None:
        self._wandb = package("wandb", "wandb")
        self._beside = beside
        self._run: Any = None

    def start(self, config: Config) -> None:
        """See `Tracker`."""
        settings = self._wandb.Settings(
            silent=True,
            console="off",
            save_code=False,
            disable_code=True,
            disable_git=True,
            x_disable_stats=True,
            x_disable_meta=True,
        )
        self._run = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", "residua"),
            mode=os.environ.get("WANDB_MODE", "offline"),
            dir=os.environ.get("WANDB_DIR", str(self._beside)),
            id=config["id"],
            name=config["name"],
            resume="allow",
            config=dict(config),
            settings=settings,
        )

    def log(self, step: int, numbers: Numbers) -> None:
        """See `Tracker`."""
        self._run.log(dict(numbers), step=step)

    def image(self, step: int, name: str, png: bytes) -> None:
        """See `Tracker`."""
        from PIL import Image

        self._run.log({name: self._wandb.Image(Image.open(io.BytesIO(png)))}, step=step)

    def finish(self, status: Status) -> None:
        """See `Tracker`."""
        self._run.finish(exit_code=0 if status == "finished" else 1)
