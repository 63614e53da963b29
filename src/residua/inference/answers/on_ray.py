"""Answers from many machines: Ray Data hands batches of paths to a pool of actors, each with an engine of its own.

Machines see the run and the images under the same paths. Batches are those of one machine, and come back in order.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from residua._base.errors import InputError, at_least_one
from residua._base.packages import package
from residua.inference.image_files import BadFile, ImageFile
from residua.inference.predict import answered_batches
from residua.inference.stream import Predictor
from residua.runtime.distributed import ray_cluster
from residua.weights.bundle.value import hash_tensors
from residua.weights.open import load
from residua.weights.prediction import LabelPrediction, Prediction
from residua.weights.run import Run

_BATCHES_OF_A_WAVE = 1024
"""Batches that are handed to Ray at a time: they bound what the driver holds."""


@dataclass(frozen=True)
class Pool:
    """What the actors need, and how many there are.

    Attributes:
        source: the run, as `load` takes it on every machine.
        weights: SHA-256 of its weights: a machine whose run is another answers nothing.
        engine: that each actor opens.
        precision: in which it computes.
        device: "cpu", or "cuda" for a GPU per actor.
        top: classes per answer.
        batch_size: images per forward pass.
        actors: how many; 0 for one per machine.
    """

    source: str
    weights: str
    engine: str
    precision: str
    device: str
    top: int
    batch_size: int
    actors: int = 0

    def answers(self, files: Iterable[ImageFile | BadFile]) -> Generator[list[Prediction | BadFile], None, None]:
        """Yield the answers of `batch_size` files at a time, in the order given, inside `cluster`.

        Raises:
            InputError: the machines have too few processors for the actors; what an actor refuses.
        """
        ray = package("ray", "ray")
        with _ordered():
            yield from self._answers(ray, files)

    def _answers(self, ray: Any, files: Iterable[ImageFile | BadFile]) -> Iterator[list[Prediction | BadFile]]:
        from ray.data import ActorPoolStrategy

        actors, processors = self._sizes(ray)
        source = iter(files)
        batches = iter(lambda: list(itertools.islice(source, self.batch_size)), [])
        while wave := [_packed(batch) for batch in itertools.islice(batches, _BATCHES_OF_A_WAVE)]:
            answered = ray.data.from_items(
                [{"number": number, "batch": batch} for number, batch in enumerate(wave)],
                override_num_blocks=len(wave),
            ).map_batches(
                _Actor,
                fn_constructor_args=(self, processors),
                batch_size=1,
                batch_format="numpy",
                compute=ActorPoolStrategy(size=min(actors, len(wave))),
                num_cpus=processors,
                num_gpus=1 if self.device == "cuda" else 0,
            )
            for number, row in enumerate(answered.iter_rows()):
                # Rows would belong to other paths: worth a check, whatever Ray promises.
                if int(row["number"]) != number:
                    raise RuntimeError(f"Ray returned batch {row['number']} in the place of batch {number}")
                yield _rows(row["batch"])

    def _sizes(self, ray: Any) -> tuple[int, int]:
        """Return the number of actors and the processors of each: all that fit, since engines use several."""
        nodes = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
        nodes = [count for count in nodes if count]
        actors = self.actors or len(nodes)
        at_least_one(actors=actors)
        for processors in range(max(nodes, default=0), 0, -1):
            if sum(count // processors for count in nodes) >= actors:
                return actors, processors
        raise InputError(
            f"actors={actors} on machines with {sum(nodes)} processors in all",
            "at most one actor per processor",
            "Leave out actors=… for one per machine",
        )


def pool_of(
    run: Run,
    engine: str,
    precision: str,
    device: torch.device | str | None,
    top: int,
    batch_size: int,
    actors: int,
) -> Pool:
    """Return the pool for a run, which every machine loads from where this one did; called inside `cluster`.

    Without a device, the actors have a GPU each where there are enough of them.

    Raises:
        InputError: a negative number of actors, or a GPU by its number: Ray gives each actor its own.
    """
    if actors:
        at_least_one(actors=actors)
    name = _device(actors) if device is None else str(device)
    if name not in ("cpu", "cuda"):
        raise InputError(
            f"device={name!r} with engine='ray'", "'cpu' or 'cuda'", "Use device='cuda' for a GPU per actor"
        )
    weights = hash_tensors(run.model.state_dict())
    return Pool(str(run.folder.absolute()), weights, engine, precision, name, top, batch_size, actors)


class _Actor:
    """One of the pool: opens the run once, then answers batches."""

    def __init__(self, pool: Pool, threads: int) -> None:
        torch.set_num_threads(threads)
        self._pool, self._threads = pool, threads
        self._predictor: Predictor | None = None
        # Ray would start an actor whose constructor raised again and again, and wrap what it raised.
        self._refusal: InputError | None = None
        try:
            self._predictor = _opened(pool)
        except InputError as error:
            self._refusal = error

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        import numpy as np

        texts = [self._answered(text) for text in batch["batch"]]
        return {"number": batch["number"], "batch": np.array(texts, dtype=object)}

    def _answered(self, text: str) -> str:
        """Return the rows of a batch as JSON, or what was refused."""
        files = [_file(path, reason) for path, reason in json.loads(text)]
        pool = self._pool
        try:
            if self._predictor is None:
                assert self._refusal is not None
                raise self._refusal
            (answers,) = answered_batches(self._predictor, files, pool.top, pool.batch_size, self._threads)
        except InputError as error:
            return json.dumps({"refusal": [error.given, error.wanted, error.remedy]})
        return json.dumps([_row(item) for item in answers])


def _opened(pool: Pool) -> Predictor:
    run = load(pool.source)
    if hash_tensors(run.model.state_dict()) != pool.weights:
        raise InputError(
            f"{pool.source}, whose weights are others on this machine",
            "the same run under the same path on every machine",
            "Copy it there",
        )
    return Predictor.open(
        run, device=pool.device, engine=pool.engine, precision=pool.precision, batch_size=pool.batch_size
    )


def _packed(batch: list[ImageFile | BadFile]) -> str:
    # JSON carries names that are no UTF-8, which Arrow's strings cannot.
    if any(isinstance(file, ImageFile) and file.content is not None for file in batch):
        raise InputError(
            "an address or an image in memory with engine='ray'", "files that every machine has", "Download it first"
        )
    return json.dumps([[str(file.path), file.reason if isinstance(file, BadFile) else None] for file in batch])


def _file(path: str, reason: str | None) -> ImageFile | BadFile:
    return ImageFile(Path(path), Path(path)) if reason is None else BadFile(path, reason)


def _row(item: Prediction | BadFile) -> list[Any]:
    if isinstance(item, BadFile):
        return [item.path, item.reason]
    row = [item.path, list(item.labels), list(item.probabilities), item.unknown]
    return [*row, dict(item.all_probabilities)] if isinstance(item, LabelPrediction) else row


def _rows(text: str) -> list[Prediction | BadFile]:
    """Return what an actor answered for a batch.

    Raises:
        InputError: what it refused.
    """
    document = json.loads(text)
    if isinstance(document, dict):
        raise InputError(*document["refusal"])
    return [_unpacked(item) for item in document]


def _unpacked(row: list[Any]) -> Prediction | BadFile:
    if len(row) == 2:
        return BadFile(*row)
    ranked = (row[0], tuple(row[1]), tuple(row[2]), row[3])
    return Prediction(*ranked) if len(row) == 4 else LabelPrediction(*ranked, row[4])


@contextlib.contextmanager
def cluster() -> Iterator[None]:
    """Connect to the cluster that RAY_ADDRESS names, or start one of this machine alone, which ends with the block.

    A connection that the caller has stays.

    Raises:
        InputError: the extra `ray` is not installed.
    """
    package("ray.data", "ray")
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    with ray_cluster.cluster():
        yield


@contextlib.contextmanager
def _ordered() -> Iterator[None]:
    """Keep rows in their order and bars off the screen; afterwards the caller's settings of Ray Data hold again."""
    from ray.data import DataContext

    context = DataContext.get_current()
    before = context.execution_options.preserve_order, context.enable_progress_bars
    context.execution_options.preserve_order, context.enable_progress_bars = True, False
    try:
        yield
    finally:
        context.execution_options.preserve_order, context.enable_progress_bars = before


def _device(actors: int) -> str:
    """Return "cuda" where each actor can have a GPU of its own: by default, one on every machine."""
    gpus = [int(node["Resources"].get("GPU", 0)) for node in package("ray", "ray").nodes() if node["Alive"]]
    return "cuda" if (sum(gpus) >= actors if actors else bool(gpus) and all(gpus)) else "cpu"
