"""A lesson as a value: what it explains, what it runs, and what the run gave."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DATA = "digits"


@dataclass(frozen=True)
class Course:
    """How the lessons run.

    Attributes:
        out: the folder of the page; trainings stand in its folder `runs`.
        short: the reduced form, which shows that everything runs and little else.
        progress: whether stderr shows the progress.
    """

    out: Path
    short: bool = False
    progress: bool = True

    @property
    def runs(self) -> Path:
        """The folder of the trainings; the two forms share none."""
        return self.out / "runs" / ("short" if self.short else "whole")

    @property
    def depths(self) -> tuple[int, int]:
        """Layers of the shallow and of the deep network that most lessons take apart."""
        return (8, 14) if self.short else (8, 32)

    @property
    def recipe(self) -> dict[str, Any]:
        """Fields of every training: digits as they are, 8 × 8 pixels."""
        return {
            "image_size": 8,
            "epochs": 1 if self.short else 15,
            "precision": "fp32",
            "device": "cpu",
            **({"train_images": 200, "measure_train": 100} if self.short else {}),
        }


@dataclass(frozen=True)
class Picture:
    """A drawing.

    Attributes:
        svg: an SVG file that stands alone.
        caption: what it shows.
        wide: whether it needs the page's whole width.
    """

    svg: str
    caption: str
    wide: bool = False


@dataclass(frozen=True)
class Number:
    """A measured number.

    Attributes:
        text: as the page shows it.
        meaning: of what.
        value: for programs.
    """

    text: str
    meaning: str
    value: float


@dataclass(frozen=True)
class Finding:
    """What a lesson's run gave.

    Attributes:
        sentences: what it shows.
        numbers: the first is the lesson's own.
        pictures: at least one.
    """

    sentences: tuple[str, ...]
    numbers: tuple[Number, ...]
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Lesson:
    """One step of the course.

    Attributes:
        title: a sentence.
        idea: paragraphs, before anything is run.
        formulas: each with what it states.
        words: terms that appear here for the first time, each explained.
        runs: what the command does, a sentence.
        source: paper, section, equation.
        more: commands for those who want to go on.
        run: does it.
    """

    title: str
    idea: tuple[str, ...]
    formulas: tuple[tuple[str, str], ...]
    words: Mapping[str, str]
    runs: str
    source: str
    run: Callable[[Course], Finding]
    more: tuple[str, ...] = field(default_factory=tuple)


def marked(markup: str) -> str:
    """Return text whose terms are marked with asterisks as HTML; everything else is escaped."""
    return re.sub(r"\*([^*]+)\*", r"<b>\1</b>", html.escape(markup))
