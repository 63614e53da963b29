"""The last lines of a training on images of one label each: the result, and how it stands against guessing."""

from __future__ import annotations

from pathlib import Path

from residua._base.words import counted
from residua.evaluation.report.headline import Headline, headline
from residua.evaluation.report.report import Report


def one_label_sentences(report: Report, duration: str, folder: Path) -> tuple[str, str]:
    """Return two sentences, led by what the page leads with: balanced accuracy where classes are uneven.

    Args:
        report: of the held-out part.
        duration: of the training, for people.
        folder: of the run.
    """
    first = headline(report)
    low, high = first.interval
    accuracy = f", accuracy {report.top1:.2%}," if first.balanced else ""
    result = (
        f"{report.split} {'balanced ' if first.balanced else ''}accuracy {first.value:.2%} (95% interval {low:.2%} to "
        f"{high:.2%}, {counted(report.count, 'image')}){accuracy} and loss {report.loss:.4f} after {duration}; "
        f"see {folder}/report.html"
    )
    return result, _beside_guessing(report, first)


def _beside_guessing(report: Report, first: Headline) -> str:
    """Return how the result stands against always answering the most frequent class."""
    most = max(report.per_class, key=lambda row: row.support)
    always = f"always answering {most.name} would " + (
        f"have a balanced accuracy of {first.baseline:.2%}" if first.balanced else f"be right for {first.baseline:.2%}"
    )
    points = f"{100 * (first.value - first.baseline):+z.2f} points"
    low, high = first.interval
    if high < first.baseline:
        return f"Worse than guessing: {always} ({points})"
    if low <= first.baseline:
        return f"Not shown to be better than guessing: {always} ({points})"
    return f"Better than guessing: {always} ({points})"
