"""Results of several labels an image on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from residua._base.words import counted, some
from residua.cli.show import note, percent, say
from residua.cli.tables import print_table

if TYPE_CHECKING:
    from residua.evaluation.multilabel.compare import LabelComparison
    from residua.evaluation.multilabel.report import MultilabelReport

_LABELS_SHOWN = 20


def print_label_report(result: MultilabelReport) -> None:
    """Print a report: the rates, the notes, and a row per label, the weakest first."""
    from residua.evaluation.multilabel.label_sections import how_chosen, weakest_first

    say(
        f"{result.name} on {result.data['given']}, {result.split}: {counted(result.count, 'image')}, "
        f"{counted(len(result.classes), 'label')}, several an image"
    )
    low, high = result.mean_average_precision_interval
    say(
        f"mean average precision {percent(result.mean_average_precision)} (95% interval {percent(low)} to "
        f"{percent(high)})   guessing {percent(result.baseline)}"
    )
    say(
        f"macro F1 {percent(result.macro_f1)}   micro F1 {percent(result.micro_f1)}   precision "
        f"{percent(result.micro_precision)}   recall {percent(result.micro_recall)}"
    )
    low, high = result.exact_match_interval
    say(
        f"exact match {percent(result.exact_match)} (95% interval {percent(low)} to {percent(high)})   wrong decisions "
        f"{percent(result.hamming_loss)}   loss {result.loss:.4f}"
    )
    if result.views != "1":
        say(f"views: {result.views}")
    say(how_chosen(result))
    for sentence in result.data["notes"]:
        note(f"Note: {sentence}.")
    if result.absent:
        note(f"Note: on no image here, and therefore not measured: {some(result.absent, 12)}.")
    say()
    print_table(
        ("label", "AP", "precision", "recall", "F1", "threshold", "images", "given"),
        [
            (
                row.name,
                "–" if row.average_precision is None else percent(row.average_precision),
                percent(row.precision) if row.predicted else "–",
                percent(row.recall) if row.support else "–",
                percent(row.f1) if row.support else "–",
                percent(row.threshold),
                f"{row.support:,}",
                f"{row.predicted:,}",
            )
            for row in weakest_first(result.per_label)
        ],
        right=range(1, 8),
    )


def print_label_comparison(comparison: LabelComparison) -> None:
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
        [(name, *(percent(value or 0.0) for value in each)) for name, each in known[:_LABELS_SHOWN]],
        right=range(1, 1 + len(comparison.runs)),
    )
    if len(known) > _LABELS_SHOWN:
        say(f"and {counted(len(known) - _LABELS_SHOWN, 'more label')}: --json has them all")
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
