"""A report as text: rates as lines, slices, classes and members as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from residua._base.words import agree, counted, some
from residua.cli.printing.robustness import print_corruptions, print_shift
from residua.cli.show import note, percent, say
from residua.cli.tables import print_table

if TYPE_CHECKING:
    from residua.evaluation.measures.ensemble import Ensemble
    from residua.evaluation.measures.metrics import ClassMetrics
    from residua.evaluation.multilabel.report import MultilabelReport
    from residua.evaluation.report.report import Report

_SLICES_SHOWN = 40  # about a screen


def print_report(result: Report) -> None:
    """Print the findings of an evaluation for people."""
    print_overlap(result.data.get("warning", ""), result.data.get("unchecked", ""))
    low, high = result.top1_interval
    say(
        f"{result.name} on {result.data['given']}, {result.split}: {counted(result.count, 'image')}, "
        f"{counted(len(result.classes), 'class', 'classes')}"
    )
    if result.uneven:
        ends = " to ".join(map(percent, result.balanced_accuracy_interval or ()))
        say(
            f"balanced accuracy {percent(result.balanced_accuracy)} (95% interval {ends})   "
            f"macro F1 {percent(result.macro_f1)}"
        )
    say(f"top-1 {percent(result.top1)} (95% interval {percent(low)} to {percent(high)})")
    # Of at most five classes the true one is always among the first five.
    top5 = f"top-5 {percent(result.top5)}   " if len(result.classes) > 5 else ""
    say(f"{top5}loss {result.loss:.4f}   always the most frequent class: {percent(result.baseline)}")
    if result.calibration and result.abstention and result.brier is not None:
        rows = (
            f"Brier {result.brier:.4f}   ECE {percent(result.calibration.ece)}   MCE {percent(result.calibration.mce)}"
        )
        say(f"{rows}   AURC {result.abstention.aurc:.4f}")
    if result.views != "1":
        say(f"views: {result.views}")
    if done := result.reestimated:
        say(
            f"batch normalisation: {counted(done.layers, 'layer')} re-estimated over {counted(done.count, 'image')}, "
            f"{counted(done.passes, 'pass', 'passes')}, "
            f"the last of which found them within {percent(done.change)}"
        )
    if (calibrated := result.calibrated) is not None:
        rates = f"loss {calibrated.loss:.4f}   Brier {calibrated.brier:.4f}   ECE {percent(calibrated.calibration.ece)}"
        say(f"with temperature {calibrated.temperature:.4f}: {rates}")
        for row in calibrated.thresholds:
            reached = "never reached on the validation part" if row.probability is None else ""
            if row.probability is not None:
                right = "none" if row.accuracy is None else percent(row.accuracy)
                reached = f"from {percent(row.probability)} on; here {percent(row.coverage)} answered, {right} right"
            say(f"  for {row.wanted:.0%} right: {reached}")
    _print_unknown(result)
    print_corruptions(result)
    print_shift(result)
    if result.ensemble:
        _print_ensemble(result.ensemble)
    for each in result.studies:
        say(f"study {each.name}, {each.form} form: {each.question} {each.answer.capitalize()}. {each.sentence}")
    for sentence in result.data["notes"]:
        note(f"Note: {sentence}.")
    if result.absent:
        note(f"Note: without images here, and therefore not measured: {some(result.absent, 12)}.")
    say()
    if result.slices:
        print_table(
            ("slice", "value", "top-1", "95% interval", "loss", "images"),
            [
                (
                    s.column,
                    s.value,
                    percent(s.top1),
                    " to ".join(map(percent, s.top1_interval)),
                    f"{s.loss:.4f}",
                    str(s.count),
                )
                for s in result.slices[:_SLICES_SHOWN]
            ],
            right=(2, 3, 4, 5),
        )
        if len(result.slices) > _SLICES_SHOWN:
            more = len(result.slices) - _SLICES_SHOWN
            say(f"and {counted(more, 'more slice')}: --json has {agree(more, 'it', 'them all')}")
        say()
    print_table(
        ("class", "precision", "recall", "F1", "images"),
        [(c.name, *_rates(c), str(c.support)) for c in result.per_class],
        right=(1, 2, 3, 4),
    )


def print_overlap(warning: str, unchecked: str) -> None:
    """State first that scored images were trained on, or that it is not known: the rates below mean less then."""
    if warning:
        say(f"WARNING: {warning}")
    if unchecked:
        note(f"Note: {unchecked}")


def _print_unknown(result: Report) -> None:
    if (effect := result.rejection) is not None:
        right = "" if effect.accuracy is None else f"; of the others {percent(effect.accuracy)} right"
        say(f"unknown ({effect.score} above {effect.threshold:.6g}): {percent(effect.rejected)} of these images{right}")
    if (unknown := result.unknown) is not None:
        caught = "" if unknown.rejected is None else f", of which {percent(unknown.rejected)} are answered unknown"
        say(f"{counted(unknown.count, 'image')} of no class, from {unknown.folder}{caught}")
        for row in unknown.detections:
            say(f"  {row.score:12} AUROC {row.auroc:.4f}   FPR95 {percent(row.fpr95)}")


def _rates(row: ClassMetrics) -> tuple[str, str, str]:
    """Return precision, recall and F1 for the table; what no image decides is no number."""
    if not row.support:
        return "–", "–", "–"
    return percent(row.precision) if row.predicted else "–", percent(row.recall), percent(row.f1)


def _print_ensemble(ensemble: Ensemble) -> None:
    say()
    print_table(
        ("member", "network", "weight", "top-1", "loss"),
        [(m.name, m.model, f"{m.weight:.3f}", percent(m.top1), f"{m.loss:.4f}") for m in ensemble.members],
        right=(2, 3, 4),
    )
    if ensemble.alone:
        say(f"weights: {ensemble.weights}")
        say(f"{ensemble.alone} alone has a weight: the answers are its own, and nothing is averaged.")
        return
    say()
    print_table(
        ("pair", "disagree", "both wrong", "errors correlate"),
        [
            (
                f"{pair.first}, {pair.second}",
                percent(pair.disagreement),
                percent(pair.double_fault),
                "–" if pair.error_correlation is None else f"{pair.error_correlation:.3f}",
            )
            for pair in ensemble.diversity
        ],
        right=(1, 2, 3),
    )
    test = ensemble.against_best
    say(f"weights: {ensemble.weights}")
    say(
        f"against the best member, {ensemble.best}: {100 * test.difference:+z.2f} points "
        f"(95% {100 * test.interval[0]:+z.2f} to {100 * test.interval[1]:+z.2f}), p = {test.p:.4g} "
        f"(McNemar, {test.method}: {test.only_first} and {test.only_second} images differ)"
    )


def print_label_report(result: MultilabelReport) -> None:
    """Print a report: the rates, the notes, and a row per label, the weakest first."""
    from residua.evaluation.multilabel.label_sections import how_chosen, weakest_first

    print_overlap(result.data.get("warning", ""), result.data.get("unchecked", ""))
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
