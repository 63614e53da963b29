"""`residua predict`: one call of `predict_stream`, printed as it comes."""

from __future__ import annotations

import csv
import json as jsonlib
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from residua._base.errors import InputError
from residua._base.words import visible
from residua.cli.score_flags import COMPUTING, Computing
from residua.cli.show import Switch, answered, note, percent, printable, say

if TYPE_CHECKING:
    from residua.inference.predict import Prediction


def predict(
    run: str,
    /,
    *paths: Path,
    top: int = 1,
    format: Literal["table", "jsonl", "csv"] = "table",  # noqa: A002 (the option's name)
    batch_size: int = 64,
    computing: Computing = COMPUTING,
    json: Switch = False,
) -> int:
    """Classify images, and the images under folders, with a trained run.

    Answers are printed as they come, in the order given; memory does not grow with their number. Files that cannot be
    read are named on stderr, the others go on, and the exit code is 1.

    Parameters
    ----------
    run
        The folder of a trained run, or one on the Hub: hf://ORG/REPO.
    paths
        Image files and folders.
    top
        Classes per image, most probable first.
    format
        table (for people), jsonl (one JSON object per line) or csv.
    batch_size
        Images per forward pass.
    json
        Print one JSON document: a list of answers.
    """
    from residua.inference.predict import predict_stream
    from residua.inference.stream import BadFile

    if not paths:
        raise InputError("no image", "image files or folders", f"For example: residua predict {run} photo.jpg")
    answers = bad = 0

    def good() -> Iterable[Prediction]:
        nonlocal answers, bad
        for item in predict_stream(run, paths, top=top, batch_size=batch_size, **asdict(computing)):
            if isinstance(item, BadFile):
                bad += 1
                note(f"residua: {item.path}: {item.reason}")
            else:
                answers += 1
                yield item

    (_print_list if json else _PRINTERS[format])(good())
    return answered(answers, bad)


def _print_table(answers: Iterable[Prediction]) -> None:
    for answer in answers:
        named = zip(answer.labels, answer.probabilities, strict=True)
        words = "  ".join(f"{label} {percent(p)}" for label, p in named)
        say(f"{answer.path}  {words}", flush=True)


def _print_lines(answers: Iterable[Prediction]) -> None:
    for answer in answers:
        print(printable(jsonlib.dumps(asdict(answer), ensure_ascii=False)), flush=True)


def _print_list(answers: Iterable[Prediction]) -> None:
    separator = "["
    for answer in answers:
        print(separator + "\n" + printable(jsonlib.dumps(asdict(answer), ensure_ascii=False)), end="")
        separator = ","
    say("\n]" if separator == "," else "[]")


def _print_csv(answers: Iterable[Prediction]) -> None:
    writer = csv.writer(sys.stdout)
    header = False
    for answer in answers:
        if not header:
            ranks = range(1, len(answer.labels) + 1)
            writer.writerow(["path", *(f"{word}{rank}" for rank in ranks for word in ("label", "probability"))])
            header = True
        pairs = zip(answer.labels, answer.probabilities, strict=True)
        writer.writerow([visible(answer.path), *(cell for label, p in pairs for cell in (visible(label), p))])


_PRINTERS: dict[str, Callable[[Iterable[Prediction]], None]] = {
    "table": _print_table,
    "jsonl": _print_lines,
    "csv": _print_csv,
}
