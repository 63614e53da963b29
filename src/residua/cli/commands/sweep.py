"""`residua sweep`: one call of `sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from residua._base.words import clock, counted
from residua.cli.label_flags import ColumnWords, Data, GroupColumn, Labels
from residua.cli.show import Switch, note, print_json, say
from residua.cli.tables import print_table


def sweep(
    data: Data,
    /,
    *,
    model: Annotated[tuple[str, ...], Parameter(negative_iterable=())] = (),
    out: Path = Path("runs/sweep"),
    seeds: int = 3,
    grid: Annotated[tuple[str, ...], Parameter(negative_iterable=())] = (),
    recipe: str | None = None,
    only: Annotated[tuple[str, ...], Parameter(negative_iterable=())] = (),
    labels: Labels = None,
    columns: ColumnWords = (),
    groups: GroupColumn = None,
    jobs: int | None = None,
    search: Literal["optuna"] | None = None,
    trials: int | None = None,
    ensemble: int = 0,
    launcher: Literal["ray"] | None = None,
    cpus_per_run: int | None = None,
    address: str | None = None,
    data_dir: Path | None = None,
    json: Switch = False,
) -> int:
    """Train networks with every combination of values and several seeds; ends in a table of means and one page.

    With --search, values are found by trials that are halved by whole epochs. Of nine short trainings three go on to
    three times the length, and one of them to the whole. Validation images decide, on a seed apart from --seeds.
    The best values are then trained with all seeds, and these runs alone are averaged.

    Each run is an ordinary one, in a folder named by its id. A sweep can be killed at any moment: the same command goes
    on, and networks, values and seeds may join. The exit code is 1 when a run failed.

    Parameters
    ----------
    model
        Networks, such as resnet18,resnet34.
    out
        The sweep's folder: a run per id, sweep.html, sweep.json; what is there goes on.
    seeds
        Trainings of each cell, with the seeds 0, 1, 2.
    grid
        FIELD=VALUE,VALUE: values of a field of the recipe, such as lr=0.05,0.1; one value holds for all runs:
        epochs=20. Spaces divide the entries of a list: "scale=0.2 1,0.5 1". May be repeated. With --search also a
        range, LOW:HIGH or LOW:HIGH:log, such as lr=0.01:0.5:log.
    recipe
        A name or a TOML file, for all runs; left out: fast.
    only
        Ids of the runs to train now; left out: all that are not done.
    jobs
        Runs at a time, each with its share of the processors; left out: as many as the sweep was begun with, at first
        one per processor, at most 8; 1 on a GPU.
    search
        optuna: what proposes the trials (TPE; extra optuna). Their journal is a file in the sweep's folder.
    trials
        With --search, in all; left out: 27. The same command with more goes on.
    ensemble
        Average the probabilities of so many runs, those with the best validation accuracy: gain and cost on the test
        part, and a folder OUT/ensemble-ID that residua predict takes.
    launcher
        ray: runs are tasks of a Ray cluster (extra ray), on one machine or many. All machines must see data and OUT
        under the same paths. A run whose worker dies goes on elsewhere from its checkpoint.
    cpus_per_run
        With --launcher ray, processors and threads of each run; left out: as the sweep was begun, at first 1. A run has
        a GPU of its own where the cluster has some.
    address
        With --launcher ray, of the cluster, such as 10.0.0.1:6379; left out: $RAY_ADDRESS, else this machine alone.
    data_dir
        Where downloaded archives are kept; left out: $RESIDUA_DATA, else ~/.cache/residua/data.
    json
        Print one JSON document.
    """
    from residua.sweeps.run_sweep import sweep as run_sweep
    from residua.sweeps.space import read_grid

    outcome = run_sweep(
        data,
        model,
        out,
        seeds=seeds,
        grid=read_grid(grid),
        recipe=recipe,
        only=only,
        jobs=jobs,
        data_dir=data_dir,
        labels=labels,
        columns=columns,
        groups=groups,
        search=search,
        trials=trials,
        ensemble=ensemble,
        launcher=launcher,
        cpus_per_run=cpus_per_run,
        address=address,
    )
    if json:
        print_json(outcome.to_dict())
    else:
        rows = [
            (
                cell.label,
                cell.val_top1.text if cell.val_top1 else "–",
                cell.top1.text,
                str(len(cell.runs)),
                clock(sum(run.seconds for run in cell.runs)),
            )
            for cell in outcome.cells
        ]
        split = outcome.cells[0].runs[0].split if outcome.cells else "test"
        print_table(("cell", "val top-1, %", f"{split} top-1, %", "seeds", "time"), rows, right=(1, 2, 3, 4))
        if outcome.search is not None:
            tried = counted(len(outcome.search.trials), "trial")
            say(f"The best of {tried}, by validation accuracy: number {outcome.search.best + 1}.")
        say("Mean ± standard deviation over the seeds, with 95% intervals; by validation accuracy, the best first.")
        if (best := outcome.ensemble) is not None:
            say(best.sentence)
            note(
                f"No folder of it: {best.reason}"
                if best.reason
                else f"Next: residua predict {out / best.folder} IMAGE…"
            )
    if outcome.left:
        note(f"{counted(len(outcome.left), 'run')} not trained yet: {', '.join(outcome.left[:8])}")
    for name, reason in outcome.failed.items():
        note(f"{name} failed: {reason}")
    return 1 if outcome.failed else 0
