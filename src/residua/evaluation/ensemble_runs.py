"""Evaluate runs as an ensemble: the members' scores, the weights of their average, and the gain over the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from residua._base.errors import InputError
from residua.data.loader import Loader
from residua.evaluation.batch_norm import Reestimation, reestimate_bn
from residua.evaluation.measures.ensemble import Ensemble, Member, diversity, fit_weights, heaviest, select_greedily
from residua.evaluation.measures.significance import mcnemar
from residua.evaluation.report.assemble import describe
from residua.evaluation.run_data import open_for
from residua.evaluation.scores.scorer import Scorer
from residua.evaluation.scores.scores import Scores, combined
from residua.evaluation.scores.seen import check_unseen
from residua.runtime.device import on_device
from residua.weights.run import Run

Weights = Literal["equal", "val"]


@dataclass(frozen=True)
class Weighing:
    """How the members of an ensemble are weighted.

    Attributes:
        weights: "equal" or "val".
        select: "greedy" or None.
        validation: scores the validation part that the weights are fitted on; None where they need none.
        notes: caveats about the members and that part, sentences.
    """

    weights: Weights
    select: Literal["greedy"] | None
    validation: Scorer | None
    notes: tuple[str, ...] = ()


def open_weighing(runs: Sequence[Run], scorer: Scorer, weights: str, select: str | None) -> Weighing:
    """Open the data that the weights need, and refuse before any work what cannot be done.

    Raises:
        InputError: unknown weights or selection, or either for a single run; no validation part; a validation part that
            is to be scored as well, or that a member has learnt from.
    """
    if weights not in ("equal", "val") or select not in (None, "greedy"):
        raise InputError(
            f"member_weights={weights!r}, select={select!r}",
            "member_weights 'equal' or 'val', select 'greedy' or none",
            "Leave both out for equal weights of all members",
        )
    if weights == "equal" and select is None:
        return Weighing("equal", None, None)
    asked = "member_weights='val'" if weights == "val" else "select='greedy'"
    if len(runs) == 1:
        raise InputError(f"{asked} for a single run", "an ensemble", "Name the other runs as members")
    first = runs[0]
    dataset = scorer.dataset if scorer.own else open_for(first, None, None, None)
    if "val" not in dataset.splits:
        raise InputError(
            f"{asked}, and no validation part of {dataset.given}",
            "images that the run has held out and that are not evaluated",
            "Use equal weights, or train with val_fraction=0.1",
        )
    if scorer.own and scorer.split == "val":
        raise InputError(
            f"{asked} on the validation part, which is to be evaluated as well",
            "a test part, or other data: weights flatter the images that they were chosen on",
            "Use equal weights, or name other data",
        )
    unsure = [note for run in runs[1:] if (note := check_unseen(run, dataset, "val", "weight the members"))]
    trained = scorer.on_bad if scorer.own else (first.recipe or {}).get("on_bad", "refuse")
    silent = replace(scorer.options, progress=None)
    validation = replace(scorer, dataset=dataset, split="val", own=True, options=silent, on_bad=trained)
    for run in runs:
        validation.part(run)
    notes = tuple(f"of the images that weight the members: {note}" for note in unsure)
    return Weighing("val" if weights == "val" else "equal", "greedy" if select else None, validation, notes)


def ensemble_runs(runs: Sequence[Run], scorer: Scorer, weighing: Weighing) -> tuple[Scores, Ensemble | None]:
    """Return the scores of the average, in the order of the first run's classes, and the account of the members.

    A single run gives its own scores and None.
    """
    first = runs[0]
    # The order of its own classes decides between equal logits of a member.
    own = [scorer.scores(run) for run in runs]
    if len(runs) == 1:
        return own[0], None
    aligned = [scorer.aligned(scores, run, first) for scores, run in zip(own, runs, strict=True)]
    shares, how = _weigh(runs, weighing)
    average = combined(aligned, shares)
    names = names_of(runs)
    members = tuple(
        Member(name, run.spec.name, share, float(scores.outcome.correct.mean()), scores.tally.loss())
        for name, run, share, scores in zip(names, runs, shares, own, strict=True)
    )
    kept = [index for index, share in enumerate(shares) if share > 0]
    best = max(range(len(members)), key=lambda index: (members[index].top1, -index))
    return average, Ensemble(
        members=members,
        weights=how,
        diversity=diversity([names[index] for index in kept], [aligned[index].outcome for index in kept]),
        best=names[best],
        against_best=mcnemar(average.outcome.correct, own[best].outcome.correct),
        explained=names[heaviest(members)],
    )


def names_of(runs: Sequence[Run]) -> list[str]:
    """Return the names of the runs' folders, or their paths where two folders have the same name."""
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run.folder) for run in runs]
    return [f"{name} ({index + 1})" if names.count(name) > 1 else name for index, name in enumerate(names)]


def describe_all(runs: Sequence[Run]) -> dict[str, Any]:
    """Describe an ensemble as reports describe a network, with the sizes and costs of all members summed."""
    described = [describe(run.model, run.preprocess_spec) for run in runs]
    return described[0] | {
        "name": " + ".join(str(each["name"]) for each in described),
        "paper": "",
        "parameters": sum(int(each["parameters"]) for each in described),
        "macs": sum(each["macs"] for each in described) if all(each["macs"] for each in described) else None,
        "weights_bytes": sum(int(each["weights_bytes"]) for each in described),
        "weights_sha256": ", ".join(str(each["weights_sha256"]) for each in described),
    }


def reestimated_runs(runs: Sequence[Run], scorer: Scorer) -> tuple[list[Run], list[Reestimation]]:
    """Return copies of the runs with batch normalisation's statistics over each run's own training part.

    The second value is the account of each re-estimation.

    Raises:
        InputError: a network without batch normalisation, or a run whose training data is not available.
    """
    adapted = []
    reports = []
    for run in runs:
        own = scorer.own and run is runs[0]
        dataset = scorer.dataset if own else open_for(run, None, None, None)
        part = replace(scorer, dataset=dataset).part(run, "train")
        model = on_device(run.model, scorer.options.where)
        loader = Loader(
            part,
            run.preprocess_spec,
            batch_size=scorer.options.batch_size,
            device=scorer.options.where,
            num_classes=len(run.classes),
            train=False,
            channels_last=True,
            on_bad=(run.recipe or {}).get("on_bad", "refuse"),
            use_cache=scorer.options.cache,
        )
        reports.append(reestimate_bn(model, loader))
        adapted.append(replace(run, model=model.cpu()))
    return adapted, reports


def _weigh(runs: Sequence[Run], weighing: Weighing) -> tuple[list[float], str]:
    scorer = weighing.validation
    if scorer is None:
        return [1 / len(runs)] * len(runs), "equal"
    scores = [scorer.aligned(scorer.scores(run, "val"), run, runs[0], "val") for run in runs]
    logs, labels = [each.log_probabilities for each in scores], torch.from_numpy(scores[0].labels)
    if weighing.select is None:
        return fit_weights(logs, labels), "val"
    shares = select_greedily(logs, labels)
    if weighing.weights == "equal":
        return shares, "greedy"
    chosen = [index for index, share in enumerate(shares) if share > 0]
    fitted = dict(zip(chosen, fit_weights([logs[index] for index in chosen], labels), strict=True))
    return [fitted.get(index, 0.0) for index in range(len(runs))], "greedy, val"
