"""`doubt`: which labels of a run's data are probably wrong, the worst first."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from residua._base.errors import InputError
from residua._base.run_files import FOLDS_FILE
from residua.evaluation.measures.confident_learning import doubt_labels
from residua.evaluation.measures.metrics import IntArray
from residua.evaluation.measures.neighbours import Nearest
from residua.evaluation.run_data import open_run
from residua.labels.judges import Judge, Verdicts, judge_by_features, judge_by_folds, judge_by_run
from residua.labels.pool import Pool, Progress, open_pool
from residua.specs.fields import checked
from residua.weights.run import Run

NEIGHBOURS = 4
"""Images shown beside a doubted one."""


@dataclass(frozen=True)
class LabelledNeighbour:
    """An image like a doubted one.

    Attributes:
        path: its name; see `Dataset.image_name`.
        label: as it is given.
        cosine: of the features, -1 to 1.
        row: its position in the pool.
    """

    path: str
    label: str
    cosine: float
    row: int


@dataclass(frozen=True)
class Doubt:
    """A label that is probably wrong.

    Attributes:
        path: the file relative to the data; of an image that is no file, part and position.
        given: its label.
        suggested: the most probable class.
        given_probability: of the label.
        suggested_probability: of the class suggested.
        margin: half of 1 plus the difference of the two: the less, the more doubtful.
        unseen: whether no network that took part had learnt from the image with its label.
        neighbours: the images most like it, with their labels.
        row: its position in the pool.
    """

    path: str
    given: str
    suggested: str
    given_probability: float
    suggested_probability: float
    margin: float
    unseen: bool
    neighbours: tuple[LabelledNeighbour, ...]
    row: int


@dataclass(frozen=True, eq=False)
class Doubts:
    """Labels that are probably wrong.

    Attributes:
        data: the name of the data.
        network: the name of the network.
        classes: in order.
        images: how many were judged.
        unseen: how many of them by a network that had not learnt from them.
        not_judged: images left out: the only ones of their class, held out by no run, or not decoded.
        share: the estimated share of wrong labels among those judged.
        by: who judged; see `Judge`.
        how: how the probabilities were made, a sentence.
        note: what is uncertain, a sentence, or "".
        doubts: the most doubtful first.
        corrections: label by name of the corrections that the run was trained with.
        pool: the images.
    """

    data: str
    network: str
    classes: tuple[str, ...]
    images: int
    unseen: int
    not_judged: int
    share: float
    by: str
    how: str
    note: str
    doubts: tuple[Doubt, ...] = field(repr=False)
    corrections: dict[str, str] = field(repr=False)
    pool: Pool = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values; pictures are left to the page."""
        names = ("data", "network", "images", "unseen", "not_judged", "share", "by", "how", "note")
        document = {name: getattr(self, name) for name in names}
        return {**document, "classes": list(self.classes), "doubts": [asdict(each) for each in self.doubts]}


def doubt(
    run: Run | Path | str,
    data: str | Path | None = None,
    *,
    by: Judge | None = None,
    folds: int = 5,
    seed: int = 0,
    data_dir: Path | None = None,
    device: torch.device | str | None = None,
    progress: Progress | None = None,
) -> Doubts:
    """Return the labels of a run's data that are probably wrong, by confident learning (Northcutt 2021).

    A network has learnt the labels that it was trained on, wrong ones too. So whoever judges an image here has not
    learnt from its label; `Doubt.unseen` states where the network that made the features had.

    Args:
        run: a `Run` or its folder; or the folder of a cross-validation.
        data: where its training data lies; by default where it lay in training. Other data of the same classes is
            judged as a whole. Test parts are left alone.
        by: "features" judges every image by logistic classifiers on the run's features, one per fold; "held-out"
            judges the images that the run has held out, by the run itself; "folds" takes the answers of a
            cross-validation. None: "folds" for the folder of one, else "features".
        folds: of the classifiers.
        seed: of the folds.
        data_dir: where downloaded archives lie.
        device: "cpu", "cuda", …; by default the GPU where there is one.
        progress: called with (images done, images in total).

    Raises:
        InputError: data that is gone or has changed; nothing held out for "held-out"; fewer than 2 folds; "folds" of
            what is no cross-validation.
    """
    crossed = Path(run) if not isinstance(run, Run) and (Path(run) / FOLDS_FILE).is_file() else None
    by = by or ("folds" if crossed else "features")
    checked("by", by, Judge)
    if by == "folds" and crossed is None:
        raise InputError(
            "by='folds' of one run", "the folder of a cross-validation", "Use by='features', or train with folds=5"
        )
    # Features and pictures are those of the first fold; they decide nothing where folds judge.
    run = open_run(crossed / "fold-1" if crossed else run, [data])
    pool = open_pool(run, data, data_dir=data_dir, device=device, progress=progress)
    if by == "folds" and crossed is not None:
        verdicts = judge_by_folds(crossed, pool, run.classes)
    elif by == "features":
        verdicts = judge_by_features(pool, len(run.classes), folds, seed)
    else:
        verdicts = judge_by_run(pool, run.temperature)
    note = (
        "" if pool.own else f"{run.name} was trained on other data: whether that held some of these images is not known"
    )
    return examined(run, pool, verdicts, by, note)


def examined(run: Run, pool: Pool, verdicts: Verdicts, by: str, note: str = "") -> Doubts:
    """Rank the labels of a pool by verdicts about them."""
    labels = pool.labels[verdicts.rows]
    judged = doubt_labels(verdicts.probabilities, labels)
    near = _nearest(pool, verdicts.rows[judged.rows])
    doubts = []
    for number, row in enumerate(judged.rows.tolist()):
        label, best = int(labels[row]), int(judged.suggested[row])
        doubts.append(
            Doubt(
                path=pool.names[verdicts.rows[row]],
                given=run.classes[label],
                suggested=run.classes[best],
                given_probability=float(verdicts.probabilities[row, label]),
                suggested_probability=float(verdicts.probabilities[row, best]),
                margin=float(judged.margins[row]),
                unseen=bool(verdicts.unseen[row]),
                neighbours=tuple(
                    LabelledNeighbour(pool.names[other], run.classes[pool.labels[other]], cosine, other)
                    for other, cosine in near[number]
                ),
                row=int(verdicts.rows[row]),
            )
        )
    return Doubts(
        data=pool.dataset.name,
        network=run.spec.name,
        classes=run.classes,
        images=len(labels),
        unseen=int(verdicts.unseen.sum()),
        not_judged=len(pool) - len(labels) + len(pool.skipped),
        share=judged.share,
        by=by,
        how=verdicts.how,
        note=note,
        doubts=tuple(doubts),
        corrections=dict(pool.dataset.corrections),
        pool=pool,
    )


def _nearest(pool: Pool, rows: IntArray) -> list[list[tuple[int, float]]]:
    """Return for each of some rows the positions and cosines of the images most like it, itself left out."""
    if not len(rows):
        return []
    nearest = Nearest(pool.features[rows], NEIGHBOURS + 1)
    nearest.add(pool.features)
    pairs = zip(rows.tolist(), nearest.rows.tolist(), nearest.cosines.tolist(), strict=True)
    return [
        [(other, cosine) for other, cosine in zip(others, cosines, strict=True) if other != row][:NEIGHBOURS]
        for row, others, cosines in pairs
    ]
