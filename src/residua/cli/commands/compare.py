"""`residua compare`: one call of `residua.evaluation.compare.compare`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from residua._base.console import progress_bar
from residua._base.words import counted
from residua.cli.printing.report_tables import print_overlap
from residua.cli.score_flags import SCORING, Scoring
from residua.cli.show import Switch, note, percent, print_json, say
from residua.cli.tables import print_table

if TYPE_CHECKING:
    from residua.evaluation.compare import Comparison
    from residua.evaluation.multilabel.compare import LabelComparison

_CLASSES_SHOWN = 20


def compare(
    run: str,
    /,
    *runs: str,
    data: str | None = None,
    scoring: Scoring = SCORING,
    json: Switch = False,
) -> int:
    """Set runs side by side on the same images, and test whether they differ.

    Every pair is compared by McNemar's test, exact where few images differ; p is adjusted for the number of pairs
    (Holm). The difference of top-1 has a paired score interval. Runs of several labels an image are compared by their
    mean average precision, on the same resamples of the images.

    Parameters
    ----------
    run
        The folder of a trained run; all are scored on its held-out part.
    runs
        Other runs with the same classes; optionally last, DATA to score them on.
    data
        The data to score them on, as `residua train` takes it; left out: the held-out part of the first run.
    json
        Print the comparison as one JSON document.
    """
    from residua.evaluation.compare import compare as score_all
    from residua.evaluation.multilabel.compare import LabelComparison
    from residua.evaluation.run_data import is_run_or_bundle
    from residua.weights.named.locate import is_remote

    words = [run, *runs]
    if data is None and len(words) > 2 and not is_remote(words[-1]) and not is_run_or_bundle(words[-1]):
        data = words.pop()
    with progress_bar("Evaluating", "images") as progress:
        comparison = score_all(words, data, **scoring.keywords(progress))
    if json:
        print_json(comparison.to_dict())
        return 0
    print_overlap(comparison.warning, comparison.unchecked)
    if isinstance(comparison, LabelComparison):
        _print_labels(comparison)
        return 0
    say(
        f"{comparison.data}, {comparison.split}: {counted(comparison.count, 'image')}, "
        f"{counted(len(comparison.classes), 'class', 'classes')}, views {comparison.views}"
    )
    say(comparison.evaluated)
    for sentence in comparison.notes:
        note(f"Note: {sentence}.")
    say()
    # Of at most five classes the true one is always among the first five.
    top5 = len(comparison.classes) > 5
    print_table(
        (
            "run",
            "network",
            "parameters",
            "MACs",
            *(["balanced", "macro F1"] if comparison.uneven else []),
            "top-1",
            "95% interval",
            *(["top-5"] if top5 else []),
            "loss",
            "ECE",
            "trained",
            "images/s",
        ),
        [
            (
                row.name,
                row.model,
                f"{row.parameters:,}",
                f"{row.macs:,}",
                *([percent(row.balanced_accuracy), percent(row.macro_f1)] if comparison.uneven else []),
                percent(row.top1),
                " to ".join(map(percent, row.top1_interval)),
                *([percent(row.top5)] if top5 else []),
                f"{row.loss:.4f}",
                percent(row.ece),
                "–" if row.train_seconds is None else f"{row.train_seconds:,.0f} s",
                "–" if row.images_per_second is None else f"{row.images_per_second:,.0f}",
            )
            for row in comparison.runs
        ],
        right=range(2, 13),
    )
    say()
    if comparison.uneven:
        _print_recalls(comparison)
    print_table(
        ("pair", "difference", "95% interval", "only 1st", "only 2nd", "p", "adjusted", "McNemar's test"),
        [
            (
                f"{pair.first}, {pair.second}",
                f"{100 * pair.test.difference:+z.2f}",
                f"{100 * pair.test.interval[0]:+z.2f} to {100 * pair.test.interval[1]:+z.2f}",
                str(pair.test.only_first),
                str(pair.test.only_second),
                f"{pair.test.p:.4g}",
                f"{pair.adjusted_p:.4g}",
                pair.test.method,
            )
            for pair in comparison.differences
        ],
        right=range(1, 7),
    )
    say("Differences are in points of top-1, the first run less the second. Adjusted for the number of pairs: Holm.")
    return 0


def _print_recalls(comparison: Comparison) -> None:
    """Print the recall of each class: of many, those that some run recognises least."""
    recalls = list(zip(comparison.classes, zip(*(row.recalls for row in comparison.runs), strict=True), strict=True))
    known = [(name, values) for name, values in recalls if values[0] is not None]
    known.sort(key=lambda each: min(value or 0.0 for value in each[1]))
    print_table(
        ("recall of", *(row.name for row in comparison.runs)),
        [
            (name, *("–" if value is None else percent(value) for value in values))
            for name, values in known[:_CLASSES_SHOWN]
        ],
        right=range(1, 1 + len(comparison.runs)),
    )
    if len(known) > _CLASSES_SHOWN:
        say(f"and {counted(len(known) - _CLASSES_SHOWN, 'more class', 'more classes')}: --json has them all")
    say()


def _print_labels(comparison: LabelComparison) -> None:
    """Print runs side by side, the labels that some run ranks worst, and the difference of each pair."""
    say(
        f"{comparison.data}, {comparison.split}: {counted(comparison.count, 'image')}, "
        f"{counted(len(comparison.classes), 'label')}, several an image, views {comparison.views}"
    )
    say(comparison.evaluated)
    for sentence in comparison.notes:
        note(f"Note: {sentence}.")
    say()
    print_table(
        ("run", "network", "parameters", "MACs", "mAP", "95% interval", "macro F1", "exact", "loss", "trained"),
        [
            (
                row.name,
                row.model,
                f"{row.parameters:,}",
                f"{row.macs:,}",
                percent(row.mean_average_precision),
                " to ".join(map(percent, row.mean_average_precision_interval)),
                percent(row.macro_f1),
                percent(row.exact_match),
                f"{row.loss:.4f}",
                "–" if row.train_seconds is None else f"{row.train_seconds:,.0f} s",
            )
            for row in comparison.runs
        ],
        right=range(2, 10),
    )
    say()
    values = zip(*(row.average_precisions for row in comparison.runs), strict=True)
    known = [(name, each) for name, each in zip(comparison.classes, values, strict=True) if each[0] is not None]
    known.sort(key=lambda pair: min(value or 0.0 for value in pair[1]))
    print_table(
        ("average precision of", *(row.name for row in comparison.runs)),
        [(name, *(percent(value or 0.0) for value in each)) for name, each in known[:_CLASSES_SHOWN]],
        right=range(1, 1 + len(comparison.runs)),
    )
    if len(known) > _CLASSES_SHOWN:
        say(f"and {counted(len(known) - _CLASSES_SHOWN, 'more label')}: --json has them all")
    say()
    print_table(
        ("pair", "difference", "95% interval", "p", "adjusted"),
        [
            (
                f"{pair.first}, {pair.second}",
                f"{100 * pair.difference:+z.2f}",
                f"{100 * pair.interval[0]:+z.2f} to {100 * pair.interval[1]:+z.2f}",
                f"{pair.p:.4g}",
                f"{pair.adjusted_p:.4g}",
            )
            for pair in comparison.differences
        ],
        right=range(1, 5),
    )
    say(
        "Differences are in points of mean average precision, the first run less the second, by resampled images. "
        "Adjusted for the number of pairs: Holm."
    )
