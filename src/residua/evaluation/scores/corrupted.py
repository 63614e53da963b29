"""Score corrupted images: each image is decoded once per corruption, and corrupted at every severity."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from residua.data.corruptions.corrupt import VERSION, corrupt
from residua.data.corruptions.planes import Bytes
from residua.data.dataset import Split
from residua.data.decode.workers import default_workers
from residua.data.decoded import cache
from residua.data.preprocess.normalise import normalise
from residua.data.stores import Store, open_store
from residua.evaluation.measures.metrics import IntArray
from residua.evaluation.scores.cache import cache_entry
from residua.evaluation.scores.scorer import Scorer
from residua.evaluation.scores.scores import Scores, checked_logits
from residua.runtime.engines.engine import open_engine
from residua.weights.run import Run

# Values of a batch: its images stand in memory five times as bytes, and once as float64, in a few threads.
_BATCH_VALUES = 1 << 22


@dataclass(frozen=True, eq=False)
class CorruptedScores:
    """The scores of one corruption at one severity."""

    name: str
    severity: int
    scores: Scores


@torch.inference_mode()
def corrupted_scores(
    run: Run, scorer: Scorer, names: Sequence[str], severities: Sequence[int], seed: int
) -> Iterator[CorruptedScores]:
    """Yield the run's scores of the images that are evaluated, for each corruption and severity.

    Each is cached by itself: a pass that was stopped goes on where it was. Memory holds the logits of one corruption.

    Raises:
        InputError: bad images; sides that the corruptions do not fit.
        NotFinite: the logits hold NaN or infinity.
    """
    part, options = scorer.part(run), scorer.options
    settled, engine = scorer.settled(run)
    store: Store | None = None
    done, total = 0, len(names) * len(severities) * len(part)
    for name in names:
        entries = {
            level: cache_entry(
                run.model,
                run.spec,
                part,
                run.preprocess_spec,
                settled,
                views=f"1, {name} {level}, definitions {VERSION}, seed {seed}",
                data_hash=scorer.dataset.hash,
                on_bad=scorer.on_bad,
            )
            for level in severities
        }
        cached = {level: entry.read(part) for level, entry in entries.items()} if options.cache else {}
        missing = [level for level in severities if cached.get(level) is None]
        if missing:
            store = store or _store(part, run, scorer)
            engine = engine or open_engine(run.model, settled.engine, precision=settled.precision, device=options.where)
        done += len(part) * (len(severities) - len(missing))
        made: dict[int, list[torch.Tensor]] = {level: [] for level in missing}
        places: list[IntArray] = []
        began = time.perf_counter()
        for positions, images in _corrupted(store, part, run, scorer, name, missing, seed) if store and missing else ():
            places.append(positions)
            for level, batch in zip(missing, images, strict=True):
                values = normalise(torch.from_numpy(batch).to(options.where), run.preprocess_spec, channels_last=True)
                assert engine is not None
                made[level].append(checked_logits(engine(values), len(run.classes)))
            done += len(positions) * len(missing)
            if options.progress is not None:
                options.progress(min(done, total), total)
        for level in severities:
            scores = cached.get(level) or _scores(part, store, places, made[level], time.perf_counter() - began)
            if level in missing and options.cache:
                entries[level].write(scores)
            yield CorruptedScores(name, level, scores)


def _scores(
    part: Split, store: Store | None, places: Sequence[IntArray], logits: Sequence[torch.Tensor], seconds: float
) -> Scores:
    positions = np.concatenate(places)
    order = np.argsort(positions, kind="stable")
    return Scores(
        views="1",
        logits=torch.cat(list(logits))[torch.from_numpy(order)],
        labels=part.labels[positions[order]],
        indices=positions[order],
        skipped=dict(store.bad) if store else {},
        seconds=seconds,
    )


def _store(part: Split, run: Run, scorer: Scorer) -> Store:
    """Open the images as the network would see them, before normalisation."""
    cpu, use_cache = torch.device("cpu"), scorer.options.cache
    store = open_store(part, run.preprocess_spec, None, cpu, default_workers(), use_cache=use_cache)
    if store.bad and (scorer.on_bad == "refuse" or len(store.bad) == len(part)):
        raise cache.refusal((part, store.bad))
    return store


def _corrupted(
    store: Store, part: Split, run: Run, scorer: Scorer, name: str, severities: Sequence[int], seed: int
) -> Iterator[tuple[IntArray, list[Bytes]]]:
    """Yield positions and, for each severity, the images corrupted; made in the threads that decode."""
    size = max(1, min(scorer.options.batch_size, _BATCH_VALUES // (3 * math.prod(run.preprocess_spec.size))))
    good = np.delete(np.arange(len(part)), sorted(store.bad))

    def finish(positions: npt.NDArray[np.int64], images: torch.Tensor) -> tuple[IntArray, list[Bytes]]:
        pixels = images.numpy()
        return positions, [corrupt(pixels, name, level, positions, seed=seed) for level in severities]

    return store.batches([good[start : start + size] for start in range(0, len(good), size)], 0, 0, finish)
