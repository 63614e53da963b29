"""Write a file of answers: skip what stands there, append batch by batch, publish when all are there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from residua._base.errors import InputError
from residua._base.files import check_local, writing
from residua.inference.answers.journal import Journal, State, check_job, journal_of, partial_of, read_journal
from residua.inference.answers.label_rows import label_csv, label_header, label_json
from residua.inference.answers.names import SUFFIXES
from residua.inference.answers.parquet import require_parquet, write_parquet
from residua.inference.answers.partial import Partial, alone, opened, publish, skipped
from residua.inference.answers.rows import csv_header, csv_line, json_line, row_of
from residua.inference.image_files import BadFile, ImageFile
from residua.weights.prediction import Prediction

Answer = Prediction | BadFile
Answers = Callable[[Iterable[ImageFile | BadFile]], Generator[list[Answer], None, None]]
"""Files -> batches of answers, in their order."""


def check_out(out: Path | str, suffixes: Sequence[str] = SUFFIXES) -> Path:
    """Return the file to write, before any work.

    Raises:
        InputError: it exists, has another ending, or stands in no folder; pyarrow is needed and not installed.
    """
    check_local("out", out)
    path = Path(out)
    if path.suffix.lower() not in suffixes:
        raise InputError(
            f"out={path}", f"a file ending in {', '.join(suffixes)}", f"Use {path.with_suffix(suffixes[0]).name}"
        )
    if path.suffix.lower() == ".parquet":
        require_parquet()
    if not path.absolute().parent.is_dir() or path.is_dir():
        raise InputError(f"out={path}", "a file in a folder that exists", "Create the folder, or give another path")
    if path.exists() and _ended_journal(path) is None:
        raise _exists(path)
    return path


def write_answers(
    out: Path,
    job: dict[str, Any],
    files: Iterator[ImageFile | BadFile],
    answers: Answers,
    progress: Callable[[int], None],
) -> tuple[State, int]:
    """Write the answers for files; return the last state, and how many an earlier process had answered.

    Args:
        out: see `check_out`.
        job: see `job_of`.
        files: all of them, in order.
        answers: computes them; `files` has lost those that were answered before.
        progress: called with the number of files answered, after each batch.

    Raises:
        InputError: as `alone`, `ended_state`, `opened` and `Partial.skip`.
    """
    with alone(out):
        if ended := ended_state(out, job, files):
            return ended, ended["files"]
        return _written(out, job, files, answers, progress)


def _written(
    out: Path,
    job: dict[str, Any],
    files: Iterator[ImageFile | BadFile],
    answers: Answers,
    progress: Callable[[int], None],
) -> tuple[State, int]:
    with opened(out, job) as partial:
        partial.skip(_name(file) for file in files)
        if not partial.state["done"]:
            _append(partial, job, files, answers, progress)
        if job["out"] == ".parquet":
            with writing(out):
                write_parquet(partial_of(out), out, job.get("labels"))
            tidy(out)
        else:
            publish(out)
        return partial.state, partial.resumed


def _append(
    partial: Partial,
    job: dict[str, Any],
    files: Iterator[ImageFile | BadFile],
    answers: Answers,
    progress: Callable[[int], None],
) -> None:
    skipping, (header, line) = job["on_bad"] == "skip", _lines(job)
    partial.begin(header)
    with closing(answers(files)) as batches:
        for batch in batches:
            bad = sum(isinstance(item, BadFile) for item in batch)
            lines = [line(item) for item in batch if not (skipping and isinstance(item, BadFile))]
            partial.add([item.path for item in batch], lines, bad)
            progress(partial.state["files"])
    partial.save(done=True)


def _lines(job: dict[str, Any]) -> tuple[str, Callable[[Answer], str]]:
    """Return the line in front of the first row, "" for none, and what makes the line of an answer."""
    is_csv, ranks, rejects = job["out"] == ".csv", job["top"], "rejection" in job
    if (labels := job.get("labels")) is not None:
        return (label_header(labels), lambda item: label_csv(item, labels)) if is_csv else ("", label_json)
    if is_csv:
        return csv_header(ranks, rejects=rejects), lambda item: csv_line(row_of(item), ranks, rejects=rejects)
    return "", lambda item: json_line(row_of(item))


def _name(file: ImageFile | BadFile) -> str:
    return file.path if isinstance(file, BadFile) else file.name


def ended_state(out: Path, job: dict[str, Any], files: Iterator[ImageFile | BadFile]) -> State | None:
    """Return the last state of a job that a kill ended between the file's own name and the end of its journal.

    Removes that journal. None where the file does not exist.

    Args:
        out: the file to write in the end, which `alone` holds: another process may have written it since `check_out`.
        job: what decides the answers.
        files: all of them, in order.

    Raises:
        InputError: the file exists without such a journal, or it answers something else.
    """
    if not out.exists():
        return None
    ended = _ended_journal(out)
    if ended is None:
        if not journal_of(out).stat().st_size:  # made by `alone`, and nothing else
            journal_of(out).unlink()
        raise _exists(out)
    check_job(ended, job, out)
    skipped(out, ended.state, (_name(file) for file in files))
    tidy(out)
    return ended.state


def _exists(out: Path) -> InputError:
    return InputError(f"out={out}, which exists", "a file that does not", "Give another name, or delete it")


def _ended_journal(out: Path) -> Journal | None:
    """Return the journal that a kill left beside a whole file; None where there is none."""
    if not out.exists():
        return None
    journal = read_journal(journal_of(out), sys.maxsize)
    return journal if journal is not None and journal.state["done"] else None


def tidy(out: Path) -> None:
    """Remove what stood beside a file that is whole."""
    partial_of(out).unlink(missing_ok=True)
    journal_of(out).unlink(missing_ok=True)
