"""`residua predict`: one call of `predict_stream`, printed as it comes."""

from __future__ import annotations

import csv
import json as jsonlib
import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from residua._base.console import Display
from residua._base.errors import InputError
from residua._base.words import clock, counted, visible
from residua.cli.score_flags import PREDICTING, PredictFlags, Predicting
from residua.cli.show import Switch, answered, note, percent, print_json, printable, say
from residua.inference.answers.names import EVERY_FRAME, OnBad, Way
from residua.specs.fields import Span, checked

if TYPE_CHECKING:
    from residua.inference.sorting import Sorter
    from residua.weights.prediction import Prediction


def predict(
    run: str,
    /,
    *paths: str,
    top: int = 1,
    format: Literal["table", "jsonl", "csv"] | None = None,  # noqa: A002 (the option's name)
    out: Path | None = None,
    on_bad: OnBad | None = None,
    threshold: float | None = None,
    sort_into: Path | None = None,
    sort: Way | None = None,
    allow_urls: Switch = False,
    every_frame: int = EVERY_FRAME,
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
        every leaves: RUN/checkpoints/epoch-0003.safetensors. A folder of several runs (train --folds, or the ensemble
        of a sweep) answers with the mean of their probabilities.
    paths
        Image files and folders; patterns in quotes ('a/**/*.jpg'); @LIST, a file with a path per line; - for such a
        list on standard input; with --allow-urls, addresses; videos (extra video), named themselves or by a pattern.
    top
        Classes per image, most probable first. Of a run of several labels an image, its answers are the labels that
        reach their thresholds, and this has no effect.
    format
        table (for people; the default), jsonl (one JSON object per line) or csv. A file's form is that of its name.
    out
        A new file ending in .jsonl, .csv or .parquet (extra shards) to write the answers to, a row per image.
    on_bad
        With --out, what becomes of a file that cannot be read: record (a row with an error, and exit code 1; the
        default) or skip.
    threshold
        The least probability of an answer, 0 to 1; below it an image is unsure.
    sort_into
        A folder to put the files into, by class: CLASS/, unknown/ (what the run rejects) and unsure/ (below
        --threshold). A file with several labels goes into each, one with none into 'no label/'. Nothing is overwritten.
        A log there undoes it: residua undo-sort FOLDER/sorted-1.jsonl.
    sort
        With --sort-into, how: copy (the default), link (symbolic links) or move.
    allow_urls
        Fetch http and https addresses of public hosts: 64 MiB and 60 seconds for each, no private networks, no proxy.
    every_frame
        Of a video, one frame of so many.
    batch_size
        Images per forward pass.
    json
        Print one JSON document: a list of answers; with --out, what was written.
    """
    from residua.inference.image_files import BadFile
    from residua.inference.predict import predict_stream
    from residua.inference.sorting import Sorter
    from residua.inference.sources import each_source, is_plain
    from residua.weights.prediction import LabelPrediction, Prediction

    if not paths:
        raise InputError("no image", "image files or folders", f"For example: residua predict {run} photo.jpg")
    _refuse_unused(format, out, on_bad, json=json)
    _refuse_sorting(threshold, sort_into, sort, out)
    # A tuple can be counted, and asked for again when a job goes on.
    images = (
        paths
        if is_plain(paths)
        else each_source(paths, sys.stdin.buffer, allow_urls=allow_urls, every_frame=every_frame)
    )
    if out is not None:
        return _write(run, images, out, top, on_bad or "record", batch_size, computing, json)
    if computing.engine == "ray":
        raise InputError("engine='ray' without out=FILE", "a file for the answers of many machines", "Give out=FILE")
    sorter = None if sort_into is None else Sorter.open(sort_into, sort or "copy", threshold, paths)
    answers = bad = 0

    def good() -> Iterable[Prediction]:
        nonlocal answers, bad
        for item in predict_stream(run, images, top=top, batch_size=batch_size, **computing.local()):
            reason = item.reason if isinstance(item, BadFile) else ""
            if isinstance(item, LabelPrediction) and threshold is not None:
                raise InputError(
                    f"threshold={threshold} for {run}, a run whose images may have several labels",
                    "the thresholds of its own that it has for each label",
                    "Leave threshold out",
                )
            if isinstance(item, Prediction) and sorter is not None:
                reason = _sorted(sorter, item)
            if reason:
                bad += 1
                note(f"residua: {item.path}: {reason}")
            if isinstance(item, Prediction):
                answers += not reason
                yield item

    printer = _print_list if json else _PRINTERS[format or "table"]
    try:
        printer(good(), threshold)
    finally:
        # After a signal too: what was done until then can be undone.
        if sorter is not None:
            sorter.close()
            _report(sorter)
    return answered(answers, bad)


def _sorted(sorter: Sorter, answer: Prediction) -> str:
    """Put a file into its folder; return why it could not be, "" where it was."""
    if not os.path.isfile(answer.path):
        return "not sorted: it is no file"
    try:
        sorter.put(answer)
    except OSError as error:
        return f"not sorted ({error.strerror or error})"
    return ""


def _report(sorter: Sorter) -> None:
    if sorter.present:
        note(f"residua: {counted(sorter.present, 'file')} stood there already")
    if sorter.log is not None:
        note(f"Sorted: {counted(sorter.count, 'file')} into {sorter.folder}. Undo with: residua undo-sort {sorter.log}")


def _refuse_sorting(threshold: float | None, into: Path | None, way: str | None, out: Path | None) -> None:
    """Refuse options of sorting that would change nothing, and a threshold that is no probability."""
    checked("threshold", threshold, Annotated[float, Span(0, 1)] | None, "Use threshold=0.5 for one half")
    if out is not None and (threshold is not None or into is not None):
        option = f"threshold={threshold}" if into is None else f"sort_into={into}"
        raise InputError(
            f"{option} with out={out}", "one of the two", "Leave one of them out: the file has the answers"
        )
    if way is not None and into is None:
        raise InputError(f"sort={way!r} without sort_into=FOLDER", "a folder to sort into", "Give sort_into=FOLDER")


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
    paths: Any,
    out: Path,
    top: int,
    on_bad: OnBad,
    batch_size: int,
    computing: PredictFlags,
    json: bool,
) -> int:
    """Write the answers to a file, showing how far it is, and return the exit code."""
    from residua.inference.answers.journal import partial_of
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
            note(f"residua: the answers so far stand in {partial_of(out)}; the same command goes on from there")
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


def _verdict(answer: Prediction, threshold: float | None) -> str | None:
    from residua.inference.sorting import verdict

    return verdict(answer, threshold)


def _print_table(answers: Iterable[Prediction], threshold: float | None) -> None:
    for answer in answers:
        named = list(zip(answer.labels, answer.probabilities, strict=True))
        if not named:
            say(f"{answer.path}  {_no_label(answer)}", flush=True)
            continue
        words = "  ".join(f"{label} {percent(p)}" for label, p in named)
        none = _verdict(answer, threshold)
        say(f"{answer.path}  " + (f"{none}  (rather {words})" if none else words), flush=True)


def _no_label(answer: Prediction) -> str:
    """Return what is printed of an image that has none of several labels."""
    shares: dict[str, float] = getattr(answer, "all_probabilities", {})
    best = max(shares, key=shares.__getitem__)
    return f"no label  (most probable: {best} {percent(shares[best])})"


def _document(answer: Prediction, threshold: float | None) -> str:
    """Return an answer as JSON; with a threshold it states whether the answer is below."""
    fields = asdict(answer)
    if threshold is not None:
        fields["unsure"] = answer.probabilities[0] < threshold
    return printable(jsonlib.dumps(fields, ensure_ascii=False))


def _print_lines(answers: Iterable[Prediction], threshold: float | None) -> None:
    for answer in answers:
        print(_document(answer, threshold), flush=True)


def _print_list(answers: Iterable[Prediction], threshold: float | None) -> None:
    separator = "["
    for answer in answers:
        print(separator + "\n" + _document(answer, threshold), end="")
        separator = ","
    say("\n]" if separator == "," else "[]")


def _print_csv(answers: Iterable[Prediction], threshold: float | None) -> None:
    from residua.inference.answers.label_rows import label_csv, label_header
    from residua.weights.prediction import LabelPrediction

    writer = csv.writer(sys.stdout)
    header = False
    for answer in answers:
        if isinstance(answer, LabelPrediction):
            classes = list(answer.all_probabilities)
            if not header:
                print(label_header(classes))
                header = True
            print(label_csv(answer, classes))
            continue
        more = {} if answer.unknown is None else {"unknown": answer.unknown}
        more |= {} if threshold is None else {"unsure": answer.probabilities[0] < threshold}
        if not header:
            ranks = range(1, len(answer.labels) + 1)
            columns = [f"{word}{rank}" for rank in ranks for word in ("label", "probability")]
            writer.writerow(["path", *columns, *more])
            header = True
        pairs = zip(answer.labels, answer.probabilities, strict=True)
        writer.writerow(
            [
                visible(answer.path),
                *(cell for label, p in pairs for cell in (visible(label), p)),
                *(str(value).lower() for value in more.values()),
            ]
        )


_PRINTERS: dict[str, Callable[[Iterable[Prediction], float | None], None]] = {
    "table": _print_table,
    "jsonl": _print_lines,
    "csv": _print_csv,
}
