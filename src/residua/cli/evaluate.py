"""`residua evaluate`: one call of `residua.evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from residua._base.progress import progress_bar
from residua.cli.show import Switch, note, percent, print_json, print_table


def evaluate(
    run: str,
    data: str | None = None,
    /,
    *,
    split: Literal["train", "val", "test"] | None = None,
    batch_size: int = 256,
    device: str | None = None,
    on_bad: Literal["refuse", "skip"] | None = None,
    data_dir: Path | None = None,
    report: Path | None = None,
    json: Switch = False,
) -> int:
    """Measure a trained run on images that it has not learnt from.

    Parameters
    ----------
    run
        The folder of a trained run, or one on the Hub: hf://ORG/REPO.
    data
        What `residua train` takes; left out: the run's own held-out part.
    split
        The part of the data; left out: test, else val.
    batch_size
        Images in one forward pass; the result does not depend on it.
    device
        "cpu", "cuda" or "cuda:N"; left out: the GPU where there is one.
    on_bad
        What a corrupt image does: refuse, or skip (left out and counted); left out: as in training.
    data_dir
        Where downloaded archives are kept; left out: $RESIDUA_DATA, else ~/.cache/residua/data.
    report
        A folder to write report.html and report.json to.
    json
        Print the report as one JSON document.
    """
    from residua.evaluation.evaluate import evaluate as measure
    from residua.evaluation.report import write_report

    if report:
        # Before the measuring: a place that cannot be written to must not cost a pass over the data.
        report.mkdir(parents=True, exist_ok=True)
    with progress_bar("Evaluating", "images") as progress:
        found = measure(
            run,
            data,
            split=split,
            batch_size=batch_size,
            device=device,
            on_bad=on_bad,
            data_dir=data_dir,
            progress=progress,
        )
    if report:
        page, _ = write_report(report, found)
        note(f"Report: {page}")
    if json:
        print_json(found.to_dict())
        return 0
    low, high = found.top1_interval
    print(f"{found.name} on {found.data['given']}, {found.split}: {found.count} images, {len(found.classes)} classes")
    print(f"top-1 {percent(found.top1)} (95% interval {percent(low)} to {percent(high)})")
    print(f"top-5 {percent(found.top5)}   loss {found.loss:.4f}   baseline {percent(found.baseline)}")
    print()
    print_table(
        ("class", "precision", "recall", "F1", "images"),
        [(c.name, percent(c.precision), percent(c.recall), percent(c.f1), str(c.support)) for c in found.per_class],
        right=(1, 2, 3, 4),
    )
    return 0
