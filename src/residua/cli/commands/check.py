"""`residua check`: one call of `residua.check`."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path

from residua._base.console import progress_bar
from residua.cli.label_flags import ColumnWords, Data, GroupColumn, Labels
from residua.cli.lists import joined
from residua.cli.show import Switch, printable, say


def check(
    data: Data,
    /,
    *,
    labels: Labels = None,
    columns: ColumnWords = (),
    groups: GroupColumn = None,
    run: Path | None = None,
    workers: int | None = None,
    data_dir: Path | None = None,
    json: Switch = False,
) -> int:
    """Decode every image of a data set and report what must be fixed before training.

    Shows a table of classes and counts. Names corrupt, truncated, empty and mislabelled files, odd modes, levels and
    sizes, placeholders, and files that are left out. Names duplicates within and across parts and classes, imbalance,
    and classes that a part lacks. The exit code is 1 when something must be fixed.

    Parameters
    ----------
    run
        The folder of a trained run: validation and test images that are nearly training images to it are named too.
    workers
        Threads that decode; left out: one per core.
    data_dir
        Where downloaded archives are kept; left out: $RESIDUA_DATA, else ~/.cache/residua/data.
    json
        Print one JSON document.
    """
    from residua.data.doctor.check import check as examine

    opened = None
    if run is not None:  # torch is imported for it alone
        from residua.evaluation.near_duplicates import near_duplicates
        from residua.evaluation.run_data import open_run

        opened = open_run(run, [data], multilabel=True)
    with progress_bar("Examining", "images") as progress:
        report = examine(
            data, labels=labels, columns=columns, groups=groups, workers=workers, data_dir=data_dir, progress=progress
        )
    if opened is not None:
        with progress_bar("Comparing", "images") as progress:
            finding = near_duplicates(
                opened,
                data,
                labels=labels,
                columns=columns or None,
                groups=groups,
                data_dir=data_dir,
                progress=progress,
            )
        report = dataclasses.replace(report, findings=(*report.findings, *filter(None, [finding])))
    if json:
        print(printable(report.to_json()))
    else:
        say(report.to_text())
        if any(each.kind == "imbalance" and each.message.startswith("train") for each in report.findings):
            words = ["residua", "train", data]
            words += [] if labels is None else ["--labels", str(labels)]
            words += ["--columns", joined(columns)] if columns else []
            words += [] if groups is None else ["--groups", groups]
            if report.multilabel:
                words += ["--balance", "loss", "--keep", "best"]
            else:
                words += ["--balance", "logits", "--keep", "best", "--keep-by", "balanced_accuracy"]
            say(f"Against imbalance: {shlex.join([*words, '--out', 'RUN'])}")
    return 0 if report.ok else 1
