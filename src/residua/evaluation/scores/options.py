"""What decides how scores are made: the options that evaluate, compare, calibrate and ensembles share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from residua._base.errors import at_least_one
from residua.evaluation.scores.views import parse_views
from residua.runtime.device import pick_device
from residua.runtime.engines.engine import check_engine
from residua.specs.fields import BadPolicy, checked

Progress = Callable[[int, int], None]
"""Called with (images done, images in total)."""


@dataclass(frozen=True)
class ScoreOptions:
    """Which images are scored, and how; checked where it is made.

    Attributes:
        data: what `residua train` takes; None for the held-out part of the first run's own data.
        split: "train", "val" or "test"; None for the held-out part.
        data_dir: the folder of downloaded data sets.
        views: a comma list of view sets.
        batch_size: images per forward pass; no score depends on it.
        device: where networks run; None for the GPU where there is one.
        on_bad: "refuse" or "skip" images that do not decode; None for the policy of the training on its own data, and
            "refuse" on other data.
        cache: whether scores are read from the cache and stored there.
        progress: called with (images done, images in total), or None.
        engine: the name of the engine that computes logits.
        precision: "fp32" or "bf16", the number format that it computes in.

    Raises:
        InputError: a value out of range.
    """

    data: str | Path | None = None
    split: str | None = None
    data_dir: Path | None = None
    views: str = "1"
    batch_size: int = 256
    device: torch.device | str | None = None
    on_bad: BadPolicy | None = None
    cache: bool = True
    progress: Progress | None = None
    engine: str = "eager"
    precision: str = "fp32"

    def __post_init__(self) -> None:
        at_least_one(batch_size=self.batch_size)
        checked("on_bad", self.on_bad, BadPolicy | None, "Leave it out for the policy of the training")
        check_engine(self.engine, self.precision)
        _ = self.view_sets, self.where

    @cached_property
    def view_sets(self) -> tuple[str, ...]:
        """The names in `views`."""
        return parse_views(self.views)

    @cached_property
    def where(self) -> torch.device:
        """The device that `device` names."""
        return pick_device(self.device)
