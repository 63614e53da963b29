"""`residua label-next`: one call of `label_next`, and what it chose as a table, a page or a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from residua._base.console import progress_bar
from residua._base.errors import InputError
from residua._base.public import public_address
from residua._base.words import counted
from residua.cli.show import Switch, note, percent, print_json, say
from residua.cli.tables import print_table

_SHOWN = 20


def label_next(
    run: str,
    /,
    *unlabelled: Path,
    out: Path | None = None,
    count: int = 100,
    by: Literal["badge", "kmeans", "margin"] = "badge",
    seed: int = 0,
    batch_size: int = 64,
    device: str | None = None,
    json: Switch = False,
) -> int:
    """Choose the images to label next: those of which a run is unsure, and which differ from each other.

    Files that cannot be read are named on stderr, the others go on, and the exit code is 1.

    Parameters
    ----------
    run
        The folder of a trained run, or one on the Hub: hf://ORG/REPO.
    unlabelled
        Image files and folders.
    out
        A new file or folder. NAME.csv: a table with an empty column label. NAME.html: a contact sheet. Any other name:
        a folder of copies, with labels.csv.
    count
        Images to choose.
    by
        badge: gradients of the classifier, spread out (Ash 2020). kmeans: one image of each cluster of uncertain ones
        (Zhdanov 2019). margin: doubt alone, however alike the images are.
    seed
        Of the choice.
    batch_size
        Images per forward pass.
    device
        "cpu", "cuda" or "cuda:N"; left out: the GPU where there is one.
    json
        Print one JSON document: what was chosen.
    """
    from residua.evaluation.run_data import open_run
    from residua.labels.label_next import label_next as choose
    from residua.labels.next_files import check_next, write_next

    if not unlabelled:
        raise InputError(
            "no images to choose from",
            "image files or folders",
            f"For example: residua label-next {public_address(run)} UNLABELLED --out next.csv",
        )
    if out is not None:
        check_next(out)
    opened = open_run(run, unlabelled)
    with progress_bar("Looking at", "images") as progress:
        chosen = choose(
            opened,
            unlabelled,
            count=count,
            by=by,
            seed=seed,
            batch_size=batch_size,
            device=device,
            progress=progress,
        )
    for each in chosen.bad:
        note(f"residua: {each.path}: {each.reason}")
    if out is not None:
        write_next(out, opened, chosen)
        note(f"Wrote {out}")
    if json:
        print_json(chosen.to_dict())
    else:
        say(f"{counted(len(chosen.suggestions), 'image')} of {chosen.images:,} to label next, by {chosen.by}")
        say()
        print_table(
            ("image", "suggested", "", "or", "margin"),
            [
                (each.path, each.suggested, percent(each.probability), each.second, f"{each.margin:.3f}")
                for each in chosen.suggestions[:_SHOWN]
            ],
            right=(2, 4),
        )
        if len(chosen.suggestions) > _SHOWN:
            say(f"and {len(chosen.suggestions) - _SHOWN:,} more: {out or '--out'} and --json have them all")
    return 1 if chosen.bad else 0
