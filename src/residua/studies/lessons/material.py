"""What lessons share: the trained plain and residual networks, their images, studies as findings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from markupsafe import Markup
from torch import Tensor

from residua.data.open import open_dataset
from residua.families.resnet import Network
from residua.figures.attributes import alone
from residua.studies.lessons.lesson import DATA, Course, Picture
from residua.studies.measures.subject import Subject
from residua.studies.measures.surgery import residual
from residua.studies.report import StudyReport
from residua.studies.run_study import study
from residua.weights.open import load
from residua.weights.run import Run


def studied(course: Course, name: str, **choices: Any) -> StudyReport:
    """Do a study in its quick form; what is done already is not repeated."""
    return study(name, DATA, course.runs / name, quick=True, progress=course.progress, **choices)


def degradation(course: Course) -> StudyReport:
    """Train the plain and the residual network of both depths, the material of most lessons."""
    return studied(course, "degradation", depths=course.depths, **course.recipe)


def trained(course: Course, kind: str, depth: int) -> Path:
    """Return the folder of a run of `degradation`; it is trained where it is missing."""
    degradation(course)
    return course.runs / "degradation" / "runs" / f"{kind}-{depth}-seed0"


def subject_of(run: Run) -> Subject:
    """Return a run with the images that it was trained and tested on."""
    recipe: dict[str, Any] = dict(run.recipe or {})
    return Subject(run, open_dataset(DATA, val_fraction=recipe["val_fraction"], seed=recipe["seed"]), True, 0)


def network_of(folder: Path) -> tuple[Network, Subject]:
    """Return a trained network in evaluation mode, and its subject."""
    subject = subject_of(load(folder))
    return residual(subject.model), subject


def held_out(subject: Subject) -> list[tuple[Tensor, Tensor]]:
    """Return the test images and labels in batches."""
    return [(batch.images, batch.labels) for batch in subject.batches()]


@torch.inference_mode()
def logits_of(network: torch.nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """Return the logits (N, classes) of a network for batches of images."""
    return torch.cat([network(images) for images, _ in batches])


def accuracy(logits: Tensor, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Return the share of images whose largest logit is that of their class."""
    labels = torch.cat([labels for _, labels in batches])
    return float((logits.argmax(1) == labels).double().mean())


def picture(svg: Markup, caption: str) -> Picture:
    """Return a chart as a picture that stands alone."""
    return Picture(alone(str(svg)), caption)


def pictures_of(report: StudyReport, most: int = 3) -> tuple[Picture, ...]:
    """Return the first figures of a study."""
    return tuple(picture(figure.svg, figure.caption) for figure in report.outcome.figures[:most] if figure.svg)
