"""Runs that are evaluated together: their records, the weights of their average, and what it is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from residua._base.errors import InputError
from residua.data.loader import Loader
from residua.evaluation.batch_norm import Reestimated, reestimate_bn
from residua.evaluation.measures.ensemble import Ensemble, Member, diversity, fit_weights, heaviest, select_greedily
from residua.evaluation.measures.significance import mcnemar
from residua.evaluation.report.assemble import describe
from residua.evaluation.run_data import open_for
from residua.evaluation.scores.scorer import Judge, check_unseen
from residua.evaluation.scores.scores import Record, combined
from residua.runtime.environment import on_device
from residua.weights.run import Run

Weights = Literal["equal", "val"]


@dataclass(frozen=True)
class Weighing:
    """How an ensemble is weighed.

    Attributes:
        weights: "equal" or "val".
        select: "greedy" or None.
        judge: of the validation part that weights are found on; None where they need none.
        notes: what to keep in mind of the members and that part, sentences.
    """

    weights: Weights
    select: Literal["greedy"] | None
    judge: Judge | None
    notes: tuple[str, ...] = ()


def open_weighing(runs: Sequence[Run], judge: Judge, weights: str, select: str | None) -> Weighing:
    """Open what the weights need, and refuse before any work what cannot be done.

    Raises:
        InputError: unknown weights or selection, or either for a single run; no validation part; one that is to be
            judged on, or that a member has learnt from.
    """
    if weights not in ("equal", "val") or select not in (None, "greedy"):
        raise InputError(f"weights={weights!r}, select={select!r}", "weights 'equal' or 'val', select 'greedy' or none")
    if weights == "equal" and select is None:
        return Weighing("equal", None, None)
    asked = "--weights val" if weights == "val" else "--select greedy"
    if len(runs) == 1:
        raise InputError(f"{asked} for a single run", "an ensemble", "Name the other runs: --with RUN")
    first = runs[0]
    dataset = judge.dataset if judge.own else open_for(first, None, None, None)
    if "val" not in dataset.splits:
        raise InputError(
            f"{asked}, and no validation part of {dataset.given}",
            "images that the run has held out and is not judged on",
            "Use equal weights, or train with --val-fraction 0.1",
        )
    if judge.own and judge.split == "val":
        raise InputError(
            f"{asked} on the validation part, which is to be judged on as well",
            "a test part, or other data: weights flatter the images that they were chosen on",
            "Use equal weights, or name other data: residua evaluate RUN DATA --with RUN",
        )
    unsure = [note for run in runs[1:] if (note := check_unseen(run, dataset, "val", "weigh the members"))]
    trained = judge.on_bad if judge.own else (first.recipe or {}).get("on_bad", "refuse")
    validation = replace(judge, dataset=dataset, split="val", own=True, on_bad=trained, progress=None)
    for run in runs:
        validation.part(run)
    notes = tuple(f"of the images that weigh the members: {note}" for note in unsure)
    return Weighing("val" if weights == "val" else "equal", "greedy" if select else None, validation, notes)


def together(runs: Sequence[Run], judge: Judge, weighing: Weighing) -> tuple[Record, Ensemble | None]:
    """Return the record of the average, in the order of the first run's classes, and what is known of the members."""
    first = runs[0]
    # A member's own answers are in its own order of classes, which decides between equal scores.
    own = [judge.record(run) for run in runs]
    if len(runs) == 1:
        return own[0], None
    records = [judge.aligned(record, run, first) for record, run in zip(own, runs, strict=True)]
    shares, how = _weigh(runs, weighing)
    whole = combined(records, shares)
    names = names_of(runs)
    members = tuple(
        Member(name, run.spec.name, share, float(record.outcome.correct.mean()), record.tally.loss())
        for name, run, share, record in zip(names, runs, shares, own, strict=True)
    )
    kept = [index for index, share in enumerate(shares) if share > 0]
    best = max(range(len(members)), key=lambda index: (members[index].top1, -index))
    return whole, Ensemble(
        members=members,
        weights=how,
        diversity=diversity([names[index] for index in kept], [records[index].outcome for index in kept]),
        best=names[best],
        against_best=mcnemar(whole.outcome.correct, own[best].outcome.correct),
        explained=names[heaviest(members)],
    )


def names_of(runs: Sequence[Run]) -> list[str]:
    """Return the names of the runs' folders; whole paths where two folders have the same name."""
    names = [run.folder.resolve().name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run.folder) for run in runs]
    return [f"{name} ({index + 1})" if names.count(name) > 1 else name for index, name in enumerate(names)]


def describe_all(runs: Sequence[Run]) -> dict[str, Any]:
    """Describe an ensemble as reports describe a network: sizes and costs are those of all members."""
    described = [describe(run.model, run.preprocess_spec) for run in runs]
    return described[0] | {
        "name": " + ".join(str(each["name"]) for each in described),
        "paper": "",
        "parameters": sum(int(each["parameters"]) for each in described),
        "macs": sum(each["macs"] for each in described) if all(each["macs"] for each in described) else None,
        "weights_bytes": sum(int(each["weights_bytes"]) for each in described),
        "weights_sha256": ", ".join(str(each["weights_sha256"]) for each in described),
    }


def reestimated_runs(runs: Sequence[Run], judge: Judge) -> tuple[list[Run], list[Reestimated]]:
    """Return copies of the runs with batch normalisation's statistics over each run's own training part.

    The second value says of each what was done.

    Raises:
        InputError: a network without batch normalisation, or a run whose training data is not at hand.
    """
    found = []
    reports = []
    for run in runs:
        own = judge.own and run is runs[0]
        dataset = judge.dataset if own else open_for(run, None, None, None)
        part = replace(judge, dataset=dataset).part(run, "train")
        model = on_device(run.model, judge.device)
        loader = Loader(
            part,
            run.preprocess_spec,
            batch_size=judge.batch_size,
            device=judge.device,
            num_classes=len(run.classes),
            train=False,
            channels_last=True,
            on_bad=(run.recipe or {}).get("on_bad", "refuse"),
        )
        reports.append(reestimate_bn(model, loader))
        found.append(replace(run, model=model.cpu()))
    return found, reports


def _weigh(runs: Sequence[Run], weighing: Weighing) -> tuple[list[float], str]:
    if weighing.judge is None:
        return [1 / len(runs)] * len(runs), "equal"
    judge = weighing.judge
    records = [judge.aligned(judge.record(run, "val"), run, runs[0], "val") for run in runs]
    logs, labels = [record.log_probabilities for record in records], torch.from_numpy(records[0].labels)
    if weighing.select is None:
        return fit_weights(logs, labels), "val"
    shares = select_greedily(logs, labels)
    if weighing.weights == "equal":
        return shares, "greedy"
    chosen = [index for index, share in enumerate(shares) if share > 0]
    fitted = dict(zip(chosen, fit_weights([logs[index] for index in chosen], labels), strict=True))
    return [fitted.get(index, 0.0) for index in range(len(runs))], "greedy, val"
