"""What decides how scores are made: the options that evaluate, compare, calibrate and ensembles share.

`ScoreOptions` is the list: the meaning, the default and the check of each. The keywords repeat names and types alone,
so that a type checker knows what the public functions take.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypedDict, TypeVar, cast

import torch

from residua._base.console import Progress
from residua._base.errors import at_least_one
from residua.data.tables.label_table import ColumnNames
from residua.evaluation.scores.views import parse_views
from residua.runtime.device import pick_device
from residua.runtime.engines.names import check_choice
from residua.specs.fields import BadPolicy, checked

Function = TypeVar("Function", bound=Callable[..., Any])


class PassKeywords(TypedDict, total=False):
    """The options of a pass over images that the caller has; see `ScoreOptions`."""

    batch_size: int
    device: torch.device | str | None
    on_bad: BadPolicy | None
    engine: str
    precision: str
    progress: Progress | None


class PartKeywords(PassKeywords, total=False):
    """The options of a pass over a settled part of a data set; see `ScoreOptions`."""

    data_dir: Path | None
    labels: str | Path | None
    columns: ColumnNames
    cache: bool


class ScoreKeywords(PartKeywords, total=False):
    """All options but the data; see `ScoreOptions`."""

    split: str | None
    views: str


@dataclass(frozen=True)
class ScoreOptions:
    """Which images are scored, and how; checked where it is made.

    Attributes:
        data: what `residua train` takes; None for the held-out part of the first run's own data.
        split: "train", "val" or "test"; None for the held-out part.
        data_dir: the folder of downloaded data sets.
        labels: a table of the labels of `data`, as in training; by default the run's own for the data that it was
            trained on, and the names of folders for other data.
        columns: names of its columns by role, such as "path=image_id,label=breed".
        views: "1", "flip", "flip_if_unsure", "10crop", "multiscale" or a comma list; see
            `residua.evaluation.scores.views`.
        batch_size: images per forward pass; no score depends on it.
        device: where networks run; None for the GPU where there is one.
        on_bad: "refuse" files that cannot be listed or do not decode, or "skip" them, which the report then states.
            None for the policy of the training on its own data, and "refuse" on other data.
        cache: read scores and decoded images of earlier passes, and store those of this one; else every file is read.
        progress: called with (images done, images in total), or None.
        engine: what computes the logits, one of `residua.runtime.engines.names.ENGINES`, or "auto".
        precision: "fp32", "bf16" or "int8", the number format that it computes in.

    Raises:
        InputError: a value out of range.
    """

    data: str | Path | None = None
    split: str | None = None
    data_dir: Path | None = None
    labels: str | Path | None = None
    columns: ColumnNames = None
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
        check_choice(self.engine, self.precision)
        _ = self.view_sets, self.where

    @cached_property
    def view_sets(self) -> tuple[str, ...]:
        """The names in `views`."""
        return parse_views(self.views)

    @cached_property
    def where(self) -> torch.device:
        """The device that `device` names."""
        return pick_device(self.device)


def takes(keywords: type) -> Callable[[Function], Function]:
    """Give a function with `**options: Unpack[keywords]` its whole signature, with the defaults of `ScoreOptions`.

    `help` then lists the options, and any other keyword is a TypeError.
    """
    fields = ScoreOptions.__dataclass_fields__
    options = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=fields[name].default, annotation=fields[name].type
        )
        for name in fields
        if name in keywords.__annotations__
    ]

    def dressed(function: Function) -> Function:
        own = inspect.signature(function)
        named = [each for each in own.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        whole = own.replace(parameters=[*named, *options])

        @functools.wraps(function)
        def call(*arguments: Any, **keywords: Any) -> Any:
            try:
                whole.bind(*arguments, **keywords)
            except TypeError as error:
                raise TypeError(f"{function.__name__}() {error}") from None
            return function(*arguments, **keywords)

        call.__signature__ = whole  # type: ignore[attr-defined]
        return cast(Function, call)

    return dressed
