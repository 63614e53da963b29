"""`predict_to`: answers for any number of images into one file, in bounded memory, through kills."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from residua._base.console import Progress
from residua._base.errors import InputError, at_least_one
from residua.data.decode.workers import default_workers
from residua.evaluation.run_data import open_run
from residua.inference.answers.counting import counting
from residua.inference.answers.job import job_of
from residua.inference.answers.journal import journal_of, read_journal
from residua.inference.answers.names import OnBad
from residua.inference.answers.on_ray import cluster, pool_of
from residua.inference.answers.write import Answer, Answers, check_out, write_answers
from residua.inference.image_files import BadFile, ImageFile, Paths, each_file, image_files, listed
from residua.inference.predict import answered_batches
from residua.inference.stream import Predictor
from residua.runtime.engines.names import EngineName, check_engine
from residua.specs.fields import checked
from residua.weights.run import Run


@dataclass(frozen=True)
class AnswersFile:
    """A file of answers that was written.

    Attributes:
        path: the file.
        files: images that were asked for.
        bad: those of them without an answer: rows with an error, or left out.
        rows: of the file.
        resumed: images that an earlier process had answered.
        seconds: of work, of all processes together.
        engine: that computed the logits.
        precision: in which it computed.
    """

    path: Path
    files: int
    bad: int
    rows: int
    resumed: int
    seconds: float
    engine: str
    precision: str


def predict_to(
    run: Run | Path | str,
    paths: Paths | Iterable[ImageFile | BadFile],
    out: Path | str,
    *,
    top: int = 5,
    batch_size: int = 64,
    device: torch.device | str | None = None,
    engine: str = "eager",
    precision: str = "fp32",
    workers: int | None = None,
    on_bad: OnBad = "record",
    actors: int = 0,
    actor_engine: EngineName = "eager",
    progress: Progress | None = None,
) -> AnswersFile:
    """Write a row per image to a file, which appears under its name when all are there.

    Until then the rows stand in `out` with ".partial" behind its name, and a journal beside them. After a kill the same
    call goes on, and no row is lost or doubled. On the same number of threads the bytes are those of a job that was
    never killed. Memory does not grow with the number of images.

    Args:
        run: as for `predict_stream`; an ensemble is for the other engines than "ray".
        paths: files, and folders whose images are found recursively, sorted. An iterator has to give the same paths
            again when the job goes on.
        out: a file ending in .jsonl, .csv or .parquet (extra `shards`), which does not exist.
        top: classes per row; all where there are fewer. Of several labels an image, a row has those that reach their
            thresholds, and the probability of each.
        batch_size: images per forward pass.
        device: "cpu", "cuda", …; by default the GPU where there is one.
        engine: what computes the logits: "eager", "compiled", "native", "onnxruntime", "openvino" or "auto". A job
            that goes on keeps the engine that "auto" chose. "ray" spreads the batches over the machines of a Ray
            cluster, or over this one (extra `ray`); run and images lie under the same paths on all of them.
        precision: the number format that it computes in.
        workers: decoding threads; by default one per processor that this process may use, at most 16.
        on_bad: what becomes of a file that gives no answer: "record" writes a row with an error, "skip" none.
        actors: with engine "ray", how many processes open the run; 0 for one per machine.
        actor_engine: with engine "ray", what computes in each of them.
        progress: called with (images done, images in total) after each batch; the total is 0 until they are counted.

    Raises:
        InputError: `out` exists, has another ending, or was begun with another run, other options or other images;
            numbers below 1; an unknown device, engine or precision; a disk that refuses.
    """
    workers = default_workers() if workers is None else workers
    at_least_one(top=top, batch_size=batch_size, workers=workers)
    if actors and engine != "ray":
        raise InputError(f"actors={actors} with engine={engine!r}", "engine='ray' for it", "Leave it out")
    policy: OnBad = checked("on_bad", on_bad, OnBad, "Use on_bad='record' for rows with an error")
    file = check_out(out)
    chosen = open_run(run, listed(paths), multilabel=True, ensemble=engine != "ray")
    form: dict[str, Any] = {"top": min(top, len(chosen.classes)), "batch_size": batch_size, "on_bad": policy}
    with ExitStack() as stack:
        answers: Answers
        if engine == "ray":
            check_engine(actor_engine, precision)
            stack.enter_context(cluster())
            pool = pool_of(chosen, actor_engine, precision, device, form["top"], batch_size, actors)
            answers, name = pool.answers, actor_engine
            job = job_of(chosen, file, engine=name, precision=precision, device=pool.device, cluster="ray", **form)
        else:
            engine = (_begun_with(file) or engine) if engine == "auto" else engine
            predictor = Predictor.open(chosen, device=device, engine=engine, precision=precision, batch_size=batch_size)
            opened = predictor.engine
            name = cast(EngineName, opened.name)
            job = job_of(chosen, file, engine=name, precision=opened.precision, device=opened.device.type, **form)

            def answers(files: Iterable[ImageFile | BadFile]) -> Generator[list[Answer], None, None]:
                return answered_batches(predictor, files, top, batch_size, workers)

        with counting(paths, progress) as counted:
            state, resumed = write_answers(file, job, image_files(each_file(paths)), answers, counted)
    return AnswersFile(
        path=file,
        files=state["files"],
        bad=state["bad"],
        rows=state["files"] - (state["bad"] if policy == "skip" else 0),
        resumed=resumed,
        seconds=state["seconds"],
        engine=name,
        precision=precision,
    )


def _begun_with(out: Path) -> str | None:
    """Return the engine of a job that goes on."""
    journal = read_journal(journal_of(out), 0)
    engine = journal.job.get("engine") if journal else None
    return engine if isinstance(engine, str) else None
