"""`residua predict`: one call of `predict_stream`, printed as it comes."""

from __future__ import annotations

import csv
import json as jsonlib
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from residua._base.console import Display
from residua._base.errors import InputError
from residua._base.words import clock, counted, visible
from residua.cli.score_flags import PREDICTING, PredictFlags, Predicting
from residua.cli.show import Switch, answered, note, percent, print_json, printable, say
from residua.inference.answers.names import OnBad

if TYPE_CHECKING:
    from residua.inference.predict import Prediction


def predict(
    run: str,
    /,
    *paths: Path,
    top: int = 1,
    format: Literal["table", "jsonl", "csv"] | None = None,  # noqa: A002 (the option's name)
    out: Path | None = None,
    on_bad: OnBad | None = None,
    batch_size: int = 64,
    computing: Predicting = PREDICTING,
    json: Switch = False,
) -> int:
    """Classify images, and the images under folders, with a trained run.

    Answers are printed as they come, in the order given; memory does not grow with their number. Files that cannot be
    read are named on stderr, the others go on, and the exit code is 1.

    With --out they go to a file, which appears when all are there. Until then the rows stand beside it, in
    FILE.partial. The same command goes on after a kill, with no row lost or doubled.

    Parameters
    ----------
    run
        The folder of a trained run, or one on the Hub: hf://ORG/REPO. The weights of one epoch, which train --keep
        every leaves: RUN/checkpoints/epoch-0003.safetensors.
    paths
        Image files and folders.
    top
        Classes per image, most probable first.
    format
        table (for people; the default), jsonl (one JSON object per line) or csv. A file's form is that of its name.
    out
        A new file ending in .jsonl, .csv or .parquet (extra shards) to write the answers to, a row per image.
    on_bad
        With --out, what becomes of a file that cannot be read: record (a row with an error, and exit code 1; the
        default) or skip.
    batch_size
        Images per forward pass.
    json
        Print one JSON document: a list of answers; with --out, what was written.
    """
    from residua.inference.predict import predict_stream
    from residua.inference.stream import BadFile

    if not paths:
        raise InputError("no image", "image files or folders", f"For example: residua predict {run} photo.jpg")
    _refuse_unused(format, out, on_bad, json=json)
    if out is not None:
        return _write(run, paths, out, top, on_bad or "record", batch_size, computing, json)
    if computing.engine == "ray":
        raise InputError("engine='ray' without out=FILE", "a file for the answers of many machines", "Give out=FILE")
    answers = bad = 0

    def good() -> Iterable[Prediction]:
        nonlocal answers, bad
        for item in predict_stream(run, paths, top=top, batch_size=batch_size, **computing.local()):
            if isinstance(item, BadFile):
                bad += 1
                note(f"residua: {item.path}: {item.reason}")
            else:
                answers += 1
                yield item

    (_print_list if json else _PRINTERS[format or "table"])(good())
    return answered(answers, bad)


def _refuse_unused(form: str | None, out: Path | None, on_bad: str | None, *, json: bool) -> None:
    """Refuse options that would change nothing."""
    if form is not None and (out is not None or json):
        other = f"out={out}" if out is not None else "json=True"
        wanted = "a file, whose name states its form" if out is not None else "one form of the answers"
        raise InputError(f"format={form!r} with {other}", wanted, "Leave one of them out")
    if on_bad is not None and out is None:
        raise InputError(
            f"on_bad={on_bad!r} without out=FILE", "a file of answers for it", "Leave it out: bad files are named"
        )


def _write(
    run: str,
    paths: tuple[Path, ...],
    out: Path,
    top: int,
    on_bad: OnBad,
    batch_size: int,
    computing: PredictFlags,
    json: bool,
) -> int:
    """Write the answers to a file, showing how far it is, and return the exit code."""
    from residua.inference.answers.predict_to import predict_to

    started, before = time.monotonic(), -1

    with Display() as display:

        def show(done: int, total: int) -> None:
            nonlocal before
            # Images that an earlier process answered are no work of this one.
            before = max(0, done - batch_size) if before < 0 else before
            if display.due():
                display.show(_moment(done, total, (done - before) / max(time.monotonic() - started, 1e-9)))

        try:
            written = predict_to(
                run,
                paths,
                out,
                top=top,
                batch_size=batch_size,
                on_bad=on_bad,
                progress=show,
                **asdict(computing),
            )
        except KeyboardInterrupt:
            note(f"residua: the answers so far stand in {out}.partial; the same command goes on from there")
            raise
    if json:
        print_json(asdict(written))
    else:
        more = f", {written.resumed:,} of them by an earlier process" if written.resumed else ""
        note(f"Written: {out}, {counted(written.rows, 'row')} for {counted(written.files, 'image')}{more}")
    if written.bad:
        kept = "without a row" if on_bad == "skip" else "each with a row that states why"
        note(f"residua: {written.bad:,} of {counted(written.files, 'file')} gave no answer, {kept}")
    # Who skips them has decided that they do not count.
    return 1 if written.bad and (on_bad == "record" or written.bad == written.files) else 0


def _moment(done: int, total: int, rate: float) -> str:
    """Return where a long job stands, such as "1,280 of 50,000 images, 310 per second, 2:37 left"."""
    of = f" of {total:,}" if total else ""
    left = f", {clock((total - done) / rate)} left" if total and rate else ""
    return f"{done:,}{of} images, {rate:,.0f} per second{left}"


def _print_table(answers: Iterable[Prediction]) -> None:
    for answer in answers:
        named = zip(answer.labels, answer.probabilities, strict=True)
        words = "  ".join(f"{label} {percent(p)}" for label, p in named)
        say(f"{answer.path}  " + (f"unknown  (rather {words})" if answer.unknown else words), flush=True)


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
        rejects = answer.unknown is not None
        if not header:
            ranks = range(1, len(answer.labels) + 1)
            columns = [f"{word}{rank}" for rank in ranks for word in ("label", "probability")]
            writer.writerow(["path", *columns, *["unknown"] * rejects])
            header = True
        pairs = zip(answer.labels, answer.probabilities, strict=True)
        writer.writerow(
            [
                visible(answer.path),
                *(cell for label, p in pairs for cell in (visible(label), p)),
                *[str(answer.unknown).lower()] * rejects,
            ]
        )


_PRINTERS: dict[str, Callable[[Iterable[Prediction]], None]] = {
    "table": _print_table,
    "jsonl": _print_lines,
    "csv": _print_csv,
}
