"""`residua doubt`: one call of `doubt`, its page and its file of corrections."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from residua._base.console import progress_bar
from residua._base.errors import InputError
from residua._base.words import counted
from residua.cli.show import Switch, check_target, note, percent, print_json, say
from residua.cli.tables import print_table

_SHOWN = 20


def doubt(
    run: str,
    data: str | None = None,
    /,
    *,
    out: Path | None = None,
    by: Literal["features", "held-out", "folds"] | None = None,
    folds: int = 5,
    seed: int = 0,
    data_dir: Path | None = None,
    device: str | None = None,
    json: Switch = False,
) -> int:
    """Find labels that are probably wrong, the worst first, as pictures and as a CSV file to decide in.

    Labels are ranked by confident learning (Northcutt 2021). Whoever judges an image has not learnt from its label.
    Edit the CSV file, then train with --corrections. Test parts are left alone.

    Parameters
    ----------
    run
        The folder of a trained run, or of a cross-validation (train --folds).
    data
        Its training data, or other data of the same classes; left out: where its data lay in training.
    out
        A page to write, ending in .html; the corrections stand beside it, in NAME.csv.
    by
        features: every image, by classifiers on the run's features, one per fold; seconds. The network that made the
        features knows the labels that it was trained on. held-out: by the run itself, only images that it held out.
        folds: by the runs of a cross-validation, each of which had its images held out; the default where there is one.
    folds
        Of the classifiers.
    seed
        Of the folds.
    data_dir
        Where downloaded archives lie.
    device
        "cpu", "cuda" or "cuda:N"; left out: the GPU where there is one.
    json
        Print one JSON document: the doubts.
    """
    from residua.labels.corrections_file import write_corrections
    from residua.labels.doubt import doubt as examine
    from residua.labels.page import write_doubt_page

    check_target(out, ".html")
    corrections = out.with_suffix(".csv") if out else None
    check_target(corrections, ".csv")
    if corrections is not None and corrections.exists():
        raise InputError(
            f"{corrections}, which exists and may hold decisions", "a name beside which no file stands", "Use another"
        )
    with progress_bar("Looking at", "images") as progress:
        doubts = examine(run, data, by=by, folds=folds, seed=seed, data_dir=data_dir, device=device, progress=progress)
    if out is not None and corrections is not None:
        write_corrections(corrections, doubts)
        write_doubt_page(out, doubts, corrections.name)
        note(f"Wrote {out} and {corrections}")
    if doubts.note:
        note(f"residua: {doubts.note}")
    if json:
        print_json(doubts.to_dict())
        return 0
    say(
        f"{doubts.data}: {len(doubts.doubts):,} of {counted(doubts.images, 'label')} are doubted; about "
        f"{percent(doubts.share)} are estimated to be wrong"
    )
    say(doubts.how)
    if doubts.unseen < doubts.images:
        say(f"The network had not seen the labels of {doubts.unseen:,} of these images; of the others, it hides some")
    if not doubts.doubts:
        return 0
    say()
    print_table(
        ("image", "given", "", "suggested", "", "the network"),
        [
            (
                each.path,
                each.given,
                percent(each.given_probability),
                each.suggested,
                percent(each.suggested_probability),
                "had not seen it" if each.unseen else "had seen it",
            )
            for each in doubts.doubts[:_SHOWN]
        ],
        right=(2, 4),
    )
    if len(doubts.doubts) > _SHOWN:
        say(f"and {len(doubts.doubts) - _SHOWN:,} more: {out or '--out'} and --json have them all")
    return 0
