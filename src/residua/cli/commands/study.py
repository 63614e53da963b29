"""`residua study`: one call of `residua.study`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from residua._base.errors import InputError
from residua.cli.label_flags import StudyData
from residua.cli.show import Switch, note, print_json, say
from residua.cli.tables import print_table


def study(
    name: str | None = None,
    data: StudyData = None,
    /,
    *,
    quick: Switch = False,
    seeds: int | None = None,
    depths: tuple[int, ...] = (),
    model: str | None = None,
    groups: str = "",
    run: tuple[Path, ...] = (),
    recipe: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    train_images: int | None = None,
    device: str | None = None,
    out: Path | None = None,
    jobs: int | None = None,
    data_dir: Path | None = None,
    list_: Switch = False,
    json: Switch = False,
) -> int:
    """Answer a question about networks by training a grid of them under one recipe; ends in one page.

    Without a name, and with --list, the studies are listed with their questions. A study can be killed at any moment:
    the same command continues it. The exit code is 1 when one of the trainings failed.

    Parameters
    ----------
    name
        Of the study.
    quick
        About ten minutes on two processors instead of the paper's length; the page states what that can show.
    seeds
        Trainings of each network; may become more later; left out: 1.
    depths
        Of the networks, such as 20,56, where the study has a choice.
    model
        The network to take apart, where the study takes one.
    groups
        Of the networks, with commas between, such as plain,residual; left out: all.
    run
        Finished runs to measure instead of training.
    recipe
        A name or a TOML file, for all networks; left out: the form's own.
    epochs
        Of each training; left out: the form's own.
    batch_size
        Images per step; left out: the recipe's.
    train_images
        The most images to train on, drawn class by class; left out: the form's own.
    device
        "cpu", "cuda" or "cuda:N"; left out: the GPU where there is one.
    out
        The study's folder: study.html, study.json, the runs; left out: studies/NAME, or studies/NAME-quick.
    jobs
        Trainings at a time, each with its share of the processors; left out: one per processor, at most 8; 1 on a GPU.
    data_dir
        Where downloaded archives are kept; left out: $RESIDUA_DATA, else ~/.cache/residua/data.
    list_
        List the studies.
    json
        Print one JSON document.
    """
    if name is None or list_:
        return _list(json)
    if data is None:
        raise InputError(
            f"the study {name} without DATA", "what to train on", f"For example residua study {name} digits"
        )
    from residua.studies.run_study import study as run_study

    fields: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": batch_size,
        "train_images": train_images,
        "device": device,
    }
    report = run_study(
        name,
        data,
        out,
        quick=quick,
        seeds=seeds,
        depths=depths,
        model=model,
        groups=tuple(word for word in groups.replace(",", " ").split() if word),
        runs=run,
        recipe=recipe,
        jobs=jobs,
        data_dir=data_dir,
        **{key: value for key, value in fields.items() if value is not None},
    )
    if json:
        print_json(report.to_dict())
    else:
        say(f"{report.study.question}\n{report.verdict.answer.capitalize()}. {report.verdict.sentence}")
        for line in report.verdict.details:
            say(line)
        say()
        rows = [
            (
                row.arm,
                f"{row.params:,}",
                f"{row.macs:,}",
                row.train_error.percent() if row.train_error else "",
                row.test_error.percent(),
                str(row.test_error.n),
                f"{row.minutes:.1f}",
            )
            for row in report.rows()
        ]
        header = ("arm", "parameters", "MACs", "training error, %", "test error, %", "seeds", "minutes")
        print_table(header, rows, right=(1, 2, 3, 4, 5, 6))
        say(f"\n{report.shows} {report.length}".rstrip())
    for failed, reason in report.failed.items():
        note(f"{failed} failed: {reason}")
    return 1 if report.failed else 0


def _list(json: bool) -> int:
    from residua.studies.catalog import list_studies

    studies = list_studies()
    if json:
        print_json([{"name": one.name, "question": one.question, "source": one.source} for one in studies])
        return 0
    print_table(("study", "question"), [(one.name, one.question) for one in studies])
    note("Do one: residua study NAME DATA --quick")
    return 0
