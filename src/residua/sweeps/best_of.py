"""The best runs of a sweep as an ensemble: a folder that predict takes, its gain, and what it costs."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from residua._base.errors import InputError
from residua.bench.timing import clocked
from residua.evaluation.evaluate import evaluate
from residua.evaluation.report.report import Report
from residua.runtime.device import on_device, pick_device
from residua.weights.ensemble import write_ensemble
from residua.weights.open import load
from residua.weights.run import Run

BATCH = 32
"""Images at a time while forward passes are timed."""
_ROUNDS = 7  # of which the first warms up


@dataclass(frozen=True)
class BestOf:
    """An ensemble of the best runs of a sweep.

    Attributes:
        members: ids, by validation accuracy, the best first.
        folder: its name in the sweep's, "" where members prepare images differently.
        reason: why there is no folder, "" where there is one.
        split: on which it was measured, of `count` images.
        top1: of the average of the members' probabilities, a fraction of 1.
        loss: mean cross-entropy of that, nats.
        best: id of the member with the highest accuracy on these images.
        gain: accuracy less that of `best`, with a 95% interval and a p-value by McNemar's test.
        parameters, member_parameters: of all members, and of `best`.
        seconds, member_seconds: of a forward pass per image, of all members one after the other, and of `best`.
        device: where that was measured.
    """

    members: tuple[str, ...]
    folder: str
    reason: str
    split: str
    count: int
    top1: float
    loss: float
    best: str
    gain: float
    interval: tuple[float, float]
    p: float
    parameters: int
    member_parameters: int
    seconds: float
    member_seconds: float
    device: str

    @property
    def sentence(self) -> str:
        """The gain and its cost, for people."""
        low, high = self.interval
        larger, slower = self.parameters / self.member_parameters, self.seconds / self.member_seconds
        return (
            f"The {len(self.members)} best runs as an ensemble: {self.split} top-1 {self.top1:.2%}, "
            f"{100 * self.gain:+z.2f} points (95% {100 * low:+z.2f} to {100 * high:+z.2f}, p = {self.p:.3g}) to the "
            f"best of them, {self.best}. It costs {larger:.2g} times the parameters and {slower:.2g} times the forward "
            f"pass: {1000 * self.seconds:.3g} for {1000 * self.member_seconds:.3g} ms per image on {self.device}, "
            f"{BATCH} at a time."
        )


def best_of(folder: Path, ids: Sequence[str], data_dir: Path | None) -> BestOf:
    """Write the ensemble of these runs of a sweep, and measure it on the test part of their data.

    Args:
        folder: of the sweep.
        ids: of two runs or more, the best first.
        data_dir: where downloaded archives lie.

    Raises:
        InputError: as `evaluate`.
    """
    paths = [folder / name for name in ids]
    digest = hashlib.sha256("\n".join(ids).encode()).hexdigest()[:8]
    name, reason = f"ensemble-{digest}", ""
    if not (folder / name).exists():
        try:
            write_ensemble(folder / name, paths)
        except InputError as error:
            name, reason = "", f"{error.given}"
    report = evaluate(paths[0], members=paths[1:], split="test", data_dir=data_dir)
    assert isinstance(report, Report)
    assert report.ensemble is not None
    runs = [load(path) for path in paths]
    device = pick_device(None)
    times = forward_times(runs, device)
    sizes = [sum(each.numel() for each in run.model.parameters()) for run in runs]
    best = report.ensemble.best
    at = list(ids).index(best)
    test = report.ensemble.against_best
    return BestOf(
        members=tuple(ids),
        folder=name,
        reason=reason.replace(f"{folder}/", ""),
        split=report.split,
        count=report.count,
        top1=report.top1,
        loss=report.loss,
        best=best,
        gain=test.difference,
        interval=(test.interval[0], test.interval[1]),
        p=test.p,
        parameters=sum(sizes),
        member_parameters=sizes[at],
        seconds=sum(times),
        member_seconds=times[at],
        device=device.type,
    )


@torch.inference_mode()
def forward_times(runs: Sequence[Run], device: torch.device) -> list[float]:
    """Return the seconds per image of a forward pass of each run, the median of rounds in which they take turns."""
    networks = [on_device(run.model, device) for run in runs]
    batches = [torch.zeros((BATCH, run.spec.in_channels, *run.preprocess_spec.size), device=device) for run in runs]
    rounds: list[list[float]] = []
    for _ in range(_ROUNDS):
        rounds.append(
            [
                clocked(lambda network=network, batch=batch: network(batch), device) / BATCH  # type: ignore[misc]
                for network, batch in zip(networks, batches, strict=True)
            ]
        )
    return [statistics.median(times) for times in zip(*rounds[1:], strict=True)]
