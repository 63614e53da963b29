"""The course as one offline HTML page, and as Markdown with its pictures beside it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Template
from markupsafe import Markup

from residua._base.words import clock
from residua.figures import pages
from residua.studies.lessons.course import STEPS, lesson
from residua.studies.lessons.lesson import DATA, Finding, Lesson, marked

TITLE = "From convolution to residual networks, by running it"
_SHORT = "This page was made in the reduced form: everything ran, and the numbers show little."


@dataclass(frozen=True)
class Step:
    """A step that is done.

    Attributes:
        number: counted from 1.
        lesson: what it explains.
        finding: what its run gave.
        seconds: that it took.
        processor_seconds: of computing, over all processors; on a busy machine a step waits besides.
    """

    number: int
    lesson: Lesson
    finding: Finding
    seconds: float
    processor_seconds: float

    @property
    def command(self) -> str:
        """What does this step alone."""
        return f"residua learn --step {self.number}"

    @property
    def figures(self) -> list[str]:
        """The files of its pictures, from the page's folder."""
        return [f"figures/{self.number}-{index}.svg" for index in range(1, len(self.finding.pictures) + 1)]

    @property
    def took(self) -> str:
        """The duration, in minutes and seconds."""
        return f"It took {clock(self.seconds)}, with {clock(self.processor_seconds)} of processor time."

    def to_dict(self) -> dict[str, Any]:
        """Return the step as JSON values."""
        numbers = [{"value": one.value, "text": one.text, "meaning": one.meaning} for one in self.finding.numbers]
        return {
            "step": self.number,
            "title": self.lesson.title,
            "source": self.lesson.source,
            "command": self.command,
            "seconds": self.seconds,
            "processor_seconds": self.processor_seconds,
            "sentences": list(self.finding.sentences),
            "numbers": numbers,
            "figures": self.figures,
        }


def opening(short: bool) -> tuple[str, ...]:
    """Return the paragraphs above the steps."""
    text = (
        "You need to know what a convolution is, and nothing else. Every step explains one idea, runs it, and shows "
        "the picture and the numbers of that run; every number below comes from it. The images are handwritten digits "
        "of 8 × 8 pixels, which the package contains.",
        "Repeat everything, or one step, with your own runs: `residua learn` writes this page into the folder learn; "
        "`residua learn --step 2` does the second step alone. What is done is not repeated, and a course that was "
        "stopped goes on where it was.",
    )
    return (*text, _SHORT) if short else text


def machine(known: Mapping[str, str], steps: Sequence[Step]) -> str:
    """Return the sentence that states where and how long it ran."""
    if not known:
        return ""
    whole, used = clock(sum(step.seconds for step in steps)), clock(sum(step.processor_seconds for step in steps))
    return (
        f"Run on {known.get('processor', 'an unknown processor')}, {known.get('threads', '')}, with Residua "
        f"{known.get('residua', '')} and torch {known.get('torch', '')}; {len(steps)} of {len(STEPS)} steps, "
        f"{whole} in all, with {used} of processor time: other work may have run beside it. On another machine the "
        "last digits differ, and with them the numbers of trainings a little."
    )


def render_html(steps: Sequence[Step], known: Mapping[str, str], *, short: bool) -> str:
    """Return the page: one file that needs nothing else."""
    return _template().render(
        title=TITLE,
        opening=opening(short),
        steps=steps,
        contents=[(number, lesson(number).title) for number in range(1, len(STEPS) + 1)],
        done={step.number for step in steps},
        machine=machine(known, steps),
        data=DATA,
        marked=lambda text: Markup(_code(marked(text))),
        address=_address,
    )


def render_markdown(steps: Sequence[Step], known: Mapping[str, str], *, short: bool) -> str:
    """Return the page as Markdown; its pictures are files in `figures`."""
    lines = [f"# {TITLE}", "", *_spaced(opening(short))]
    for step in steps:
        lines.append(f"{step.number}. [{step.lesson.title}](#{_anchor(step)})")
    for step in steps:
        one, finding = step.lesson, step.finding
        lines += ["", f"## {step.number}. {one.title}", ""]
        lines += _spaced(text.replace("*", "**") for text in one.idea)
        width = max(len(formula) for formula, _ in one.formulas)
        lines += ["```text", *(f"{formula:<{width}}   {meaning}" for formula, meaning in one.formulas), "```", ""]
        lines += [f"**Run it.** {one.runs} {step.took}", "", "```sh", step.command, "```", ""]
        for name, drawn in zip(step.figures, finding.pictures, strict=True):
            lines += [f"![{drawn.caption}]({name})", "", f"*{drawn.caption}*", ""]
        lines += ["| measured | of what |", "|--:|---|"]
        lines += [f"| {number.text} | {number.meaning} |" for number in finding.numbers]
        lines += ["", *_spaced(finding.sentences)]
        words = "; ".join(f"**{word}**: {meaning}" for word, meaning in one.words.items())
        lines += [f"New words: {words}.", "", f"Source: {one.source}."]
        if one.more:
            lines += ["", "Further: " + ", ".join(f"`{command}`" for command in one.more) + "."]
    lines += ["", "## Where this page comes from", "", machine(known, steps)]
    return "\n".join(lines).rstrip() + "\n"


def _spaced(paragraphs: Any) -> list[str]:
    return [line for paragraph in paragraphs for line in (paragraph, "")]


def _anchor(step: Step) -> str:
    kept = "".join(letter for letter in step.lesson.title.lower() if letter.isalnum() or letter in " -")
    return f"{step.number}-{kept.replace(' ', '-')}"


def _code(text: str) -> str:
    """Return HTML text with what stands between backticks as code."""
    parts = text.split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))


def _address(svg: str) -> str:
    """Return a picture as a data address: its style sheet must not reach the page."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


@cache
def _template() -> Template:
    return pages.environment("residua.studies").get_template("learn.html.j2")
