"""The outcome of a sweep: each run, and each cell with means and intervals over its seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from residua._base.plain import plain
from residua.evaluation.measures.metrics import wilson
from residua.grids.folds.outcome import mean_of
from residua.sweeps.best_of import BestOf
from residua.sweeps.search import Search
from residua.sweeps.space import Cell

LEVEL = 0.95


@dataclass(frozen=True)
class RunResult:
    """A run of a sweep.

    Attributes:
        id: the name of its folder in the sweep's.
        seed: of it.
        split: on which its final report is, "test" where there is one.
        count: images of that.
        top1: accuracy on them, a fraction of 1.
        loss: mean cross-entropy, nats.
        val_top1: accuracy of its best epoch on the validation images; None without any.
        seconds: of training.
    """

    id: str
    seed: int
    split: str
    count: int
    top1: float
    loss: float
    val_top1: float | None
    seconds: float


@dataclass(frozen=True)
class Mean:
    """A mean over seeds.

    Attributes:
        value: the mean.
        deviation: sample standard deviation over the seeds; None for one seed.
        low, high: a 95% interval of an accuracy, over the seeds (Student). With one seed, or where all come to the
            same, over the images (Wilson).
    """

    value: float
    deviation: float | None
    low: float
    high: float

    @property
    def text(self) -> str:
        """The mean of an accuracy in percent, such as "91.2 ± 0.4 (90.1 to 92.3)"."""
        spread = "" if self.deviation is None else f" ± {100 * self.deviation:.2f}"
        return f"{100 * self.value:.2f}{spread} ({100 * self.low:.2f} to {100 * self.high:.2f})"


@dataclass(frozen=True)
class CellResult:
    """A cell of a sweep.

    Attributes:
        model: the network.
        fields: of the recipe, as the sweep sets them.
        label: the network and the values that differ.
        runs: by seed.
        top1: over the seeds.
        val_top1: over the seeds; None without validation.
    """

    model: str
    fields: Mapping[str, Any]
    label: str
    runs: tuple[RunResult, ...]
    top1: Mean
    val_top1: Mean | None


@dataclass(frozen=True)
class Sweep:
    """What a sweep has shown.

    Attributes:
        folder: of it: a run per id, sweep.html, sweep.json.
        data: name of the data.
        seeds: that each cell was to have.
        cells: by validation accuracy, the best first; in the order of the sweep where there is none.
        failed: why a run gave no result, by its id.
        left: ids of runs that were not to be trained now and are not finished.
        others: finished runs in the folder, of other cells or further seeds.
        search: that found the values of the cell; None for a sweep of all combinations.
        ensemble: of the best runs, where one was asked for.
    """

    folder: Path
    data: str
    seeds: int
    cells: tuple[CellResult, ...]
    failed: Mapping[str, str]
    left: tuple[str, ...]
    others: int = 0
    search: Search | None = None
    ensemble: BestOf | None = None

    @property
    def common(self) -> str:
        """The values that all cells share, such as "epochs=3, batch_size=64"; "" for none."""
        first = self.cells[0].fields if self.cells else {}
        shared = {
            name: value for name, value in first.items() if all(each.fields[name] == value for each in self.cells)
        }
        return ", ".join(f"{name}={value}" for name, value in shared.items())

    def to_dict(self) -> dict[str, Any]:
        """Return the sweep as JSON values."""
        document: dict[str, Any] = plain(asdict(self) | {"folder": str(self.folder), "failed": dict(self.failed)})
        return document


def mean_over(values: Sequence[float], count: int) -> Mean:
    """Return the mean of accuracies, each on `count` images, with its interval."""
    if len(set(values)) == 1:
        deviation = 0.0 if len(values) > 1 else None
        return Mean(values[0], deviation, *wilson(round(values[0] * count), count, LEVEL))
    mean = mean_of(values, 0.0, 1.0)
    return Mean(mean.value, mean.deviation, mean.low, mean.high)


def cell_result(cell: Cell, runs: Sequence[RunResult], val_count: int) -> CellResult:
    """Return a cell from its runs, one or more; `val_count` is the number of images that validate each."""
    validated = [run.val_top1 for run in runs if run.val_top1 is not None]
    return CellResult(
        cell.model,
        dict(cell.fields),
        cell.label,
        tuple(runs),
        mean_over([run.top1 for run in runs], runs[0].count),
        mean_over(validated, val_count) if len(validated) == len(runs) and val_count else None,
    )


def ranked(cells: Sequence[CellResult]) -> tuple[CellResult, ...]:
    """Return the cells by validation accuracy, the best first; as they are where one has none."""
    if any(cell.val_top1 is None for cell in cells):
        return tuple(cells)
    return tuple(sorted(cells, key=lambda cell: -cell.val_top1.value if cell.val_top1 else 0.0))


def best_runs(cells: Sequence[CellResult], count: int) -> list[str]:
    """Return the ids of the runs with the best validation accuracy, the best first, at most `count`."""
    runs = [run for cell in cells for run in cell.runs if run.val_top1 is not None]
    return [run.id for run in sorted(runs, key=lambda run: -(run.val_top1 or 0.0))[:count]]
