"""`residua learn`: do the steps of the course, and write a page, its text as Markdown, and one JSON document."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from residua._base.console import Display
from residua._base.errors import Damaged, InputError
from residua._base.files import check_local, write_text, writing
from residua._base.json_file import read_json
from residua._base.lock import exclusive
from residua._base.plain import plain
from residua._base.run_files import LOCK_FILE
from residua._base.signals import Interrupted
from residua._base.words import clock, some
from residua._version import __version__
from residua.runtime.environment import environment
from residua.studies.command import flags
from residua.studies.lessons.course import STEPS, lesson
from residua.studies.lessons.lesson import DATA, Course, Finding, Lesson, Number, Picture
from residua.studies.lessons.page import Step, render_html, render_markdown

PAGE, TEXT, DOCUMENT = "index.html", "learn.md", "learn.json"
_OWN = {PAGE, TEXT, DOCUMENT, "figures", "runs", "steps", LOCK_FILE}
_FORMAT = 1  # raised when a step measures differently than before, so that no older record is used


class _Record(TypedDict):
    key: list[Any]
    seconds: float
    processor_seconds: float
    environment: dict[str, str]
    sentences: list[str]
    numbers: list[dict[str, Any]]
    pictures: list[dict[str, Any]]


class _Document(TypedDict):
    data: str
    form: str
    page: str
    steps: list[dict[str, Any]]
    versions: dict[str, str]


@dataclass(frozen=True)
class CourseReport:
    """The steps that are done.

    Attributes:
        steps: in order.
        short: whether they ran in the reduced form.
        folder: of the page.
        environment: versions, processor, device and date of the last step.
    """

    steps: tuple[Step, ...]
    short: bool
    folder: Path
    environment: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values; pictures are named by their files."""
        return {
            "data": DATA,
            "form": "short" if self.short else "whole",
            "page": PAGE,
            "steps": [step.to_dict() for step in self.steps],
            "versions": dict(self.environment),
        }


def learn(
    out: str | Path = "learn", *, steps: Sequence[int] = (), short: bool = False, progress: bool = True
) -> CourseReport:
    """Do the steps of the course that are not done yet, and write index.html, learn.md, learn.json and figures.

    Args:
        out: the folder of the page and of the trainings. A course that was stopped continues when it is called again.
        steps: those to do, counted from 1; () for all. The page shows every step that is done.
        short: a reduced form of some seconds a step: everything runs, and the numbers show little.
        progress: whether stderr shows the progress.

    Raises:
        InputError: a step that does not exist; a folder that holds something else.
        Interrupted: SIGINT or SIGTERM came; everything is saved, and the message states how to continue.
    """
    check_local("out", out)
    folder = Path(out)
    for number in steps:
        if not 1 <= number <= len(STEPS):
            raise InputError(f"step={number}", f"a step from 1 to {len(STEPS)}", "Leave it out for all of them")
    _refuse_foreign(folder)
    course = Course(folder, short, progress)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder), Display(progress) as display:
        _refuse_foreign(folder)
        if not (folder / DOCUMENT).exists():
            # Before all else: it marks the folder as a course's, whenever the process is killed.
            with writing(folder / DOCUMENT):
                _write_document(_gathered(course))
        for number in sorted(set(steps)) or range(1, len(STEPS) + 1):
            one = lesson(number)
            if _read(course, number) is not None:
                display.say(f"Step {number} is done: {one.title}")
                continue
            display.say(f"Step {number} of {len(STEPS)}: {one.title}")
            try:
                seconds = _do(course, number, one)
            except Interrupted as error:
                again = shlex.join(["residua", "learn", *flags({"out": folder} | ({"short": True} if short else {}))])
                raise Interrupted(
                    f"Stopped in step {number}; all is saved. Go on with:\n  {again}", error.exit_code
                ) from None
            display.say(f"Step {number} took {clock(seconds)}")
        report = _gathered(course)
        with writing(folder / PAGE):
            _write(report)
        display.say(f"See {folder / PAGE}")
    return report


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder of something else: files of other names, or files of ours without a document of a course."""
    entries = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    others = [name for name in entries if name != LOCK_FILE and not name.endswith(".part")]
    foreign = others if not _is_course(folder) else [name for name in others if name not in _OWN]
    if foreign:
        raise InputError(f"{folder} already holds {some(foreign)}", "a folder of its own", "Give a different out=…")


def _is_course(folder: Path) -> bool:
    """Return whether a course was begun in a folder: its document states one."""
    try:
        document: _Document = read_json(folder / DOCUMENT, _Document)
    except Damaged:
        return False
    return document["page"] == PAGE


def _do(course: Course, number: int, one: Lesson) -> float:
    began, used = time.monotonic(), _processor_seconds()
    with _one_thread():
        finding = one.run(course)
    seconds = round(time.monotonic() - began, 1)
    record = {
        "key": _key(course),
        "seconds": seconds,
        "processor_seconds": round(_processor_seconds() - used, 1),
        "environment": environment(),
        **plain(finding),
    }
    file = _place(course, number)
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps(record, ensure_ascii=False) + "\n")
    return seconds


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Compute in one thread: on maps of 8 × 8 two are no faster, and on a busy machine they wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _processor_seconds() -> float:
    """Return what this process and its children that have ended have used, over all processors."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _key(course: Course) -> list[Any]:
    return [_FORMAT, __version__, course.short]


def _place(course: Course, number: int) -> Path:
    return course.out / "steps" / f"{number}.json"


def _read(course: Course, number: int) -> _Record | None:
    """Return the record of a step that is done in this form by this version; None otherwise."""
    try:
        record: _Record = read_json(_place(course, number), _Record)
    except Damaged:
        return None
    return record if record["key"] == _key(course) else None


def _gathered(course: Course) -> CourseReport:
    steps, known = [], {}
    for number in range(1, len(STEPS) + 1):
        record = _read(course, number)
        if record is None:
            continue
        finding = Finding(
            tuple(record["sentences"]),
            tuple(Number(**each) for each in record["numbers"]),
            tuple(Picture(**each) for each in record["pictures"]),
        )
        steps.append(Step(number, lesson(number), finding, record["seconds"], record["processor_seconds"]))
        known = record["environment"]
    return CourseReport(tuple(steps), course.short, course.out, known)


def _write(report: CourseReport) -> None:
    figures = report.folder / "figures"
    figures.mkdir(exist_ok=True)
    written = set()
    for step in report.steps:
        for name, drawn in zip(step.figures, step.finding.pictures, strict=True):
            write_text(report.folder / name, drawn.svg)
            written.add(Path(name).name)
    for former in figures.glob("*.svg"):
        if former.name not in written:
            former.unlink()
    write_text(report.folder / PAGE, render_html(report.steps, report.environment, short=report.short))
    write_text(report.folder / TEXT, render_markdown(report.steps, report.environment, short=report.short))
    _write_document(report)


def _write_document(report: CourseReport) -> None:
    document = json.dumps(report.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
    write_text(report.folder / DOCUMENT, document + "\n")
