"""Measure how a run bears the 15 common corruptions (Hendrycks & Dietterich 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from residua._base.errors import InputError
from residua.data.corruptions.corrupt import corrupt
from residua.data.corruptions.names import (
    KINDS,
    check_size,
    checked_names,
    checked_severities,
    published_side,
)
from residua.data.preprocess.resize import apply_uint8
from residua.evaluation.measures.corruption import CorruptionRow, Corruptions, corruption_row, corruptions
from residua.evaluation.report.assemble import shown_path
from residua.evaluation.scores.corrupted import corrupted_scores
from residua.evaluation.scores.scorer import Scorer
from residua.evaluation.scores.scores import Scores
from residua.figures.pictures import thumbnail_uri
from residua.weights.run import Run

_KIND_OF = {name: kind for kind, names in KINDS.items() for name in names}
_PICTURE_SIDE = 96  # pixels: 75 of them stand in a page


@dataclass(frozen=True)
class CorruptionChoice:
    """Which corruptions are measured.

    Attributes:
        names: in the order of the paper.
        severities: rising.
        seed: of what is random in them.
    """

    names: tuple[str, ...]
    severities: tuple[int, ...]
    seed: int = 0


def chosen_corruptions(corrupt: bool | Sequence[str], severities: Sequence[int]) -> CorruptionChoice | None:
    """Return what is to be measured: all for True, those named, or None for nothing.

    Raises:
        InputError: an unknown name or severity; severities without `corrupt`.
    """
    if isinstance(corrupt, str):
        corrupt = [part.strip() for part in corrupt.split(",")]
    if corrupt is False or (corrupt is not True and not corrupt):
        if severities:
            raise InputError("severities without corrupt", "both", "Add corrupt=True")
        return None
    return CorruptionChoice(checked_names(() if corrupt is True else corrupt), checked_severities(severities))


def judge_corruptions(run: Run, scorer: Scorer, scores: Scores, choice: CorruptionChoice) -> Corruptions:
    """Measure the images that are evaluated, corrupted after resize and crop.

    Args:
        run: evaluated alone.
        scorer: of that evaluation.
        scores: of the images as they are.
        choice: what is measured.

    Raises:
        InputError: images with a side below 32 or above 512 pixels; as `corrupted_scores`.
    """
    size, location = run.preprocess_spec.size, scorer.dataset.location
    check_size(size)
    clean = scores.outcome.correct
    part = scorer.part(run)
    # The first image that is answered rightly as it is: an example of what is lost.
    shown = int(scores.indices[np.argmax(clean)])
    pixels = np.ascontiguousarray(apply_uint8(part.images.read(shown), run.preprocess_spec))[None].transpose(0, 3, 1, 2)
    wrong = np.zeros(len(clean), np.int64)
    rows: list[CorruptionRow] = []
    right: dict[int, np.ndarray[tuple[int, ...], np.dtype[np.bool_]]] = {}
    pictures: dict[int, str] = {}
    for each in corrupted_scores(run, scorer, choice.names, choice.severities, choice.seed):
        right[each.severity] = each.scores.outcome.correct
        wrong += ~right[each.severity]
        picture = corrupt(pixels, each.name, each.severity, [shown], seed=choice.seed)[0].transpose(1, 2, 0)
        pictures[each.severity] = thumbnail_uri(np.ascontiguousarray(picture), _PICTURE_SIDE)
        if each.severity == choice.severities[-1]:
            rows.append(corruption_row(each.name, _KIND_OF[each.name], right, pictures))
            right, pictures = {}, {}
    return corruptions(
        rows,
        clean,
        wrong,
        published_side=published_side(size),
        seed=choice.seed,
        picture=shown_path(part, shown, Path(location) if location else None),
    )
