"""What corruption and a second set of images do to a run, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from residua._base.words import counted
from residua.cli.show import percent, say
from residua.cli.tables import print_table

if TYPE_CHECKING:
    from residua.evaluation.report.report import Report


def print_corruptions(result: Report) -> None:
    """Print accuracy by corruption and severity, where it was measured."""
    if (measured := result.corruptions) is None:
        return
    say()
    print_table(
        ("top-1 at severity", *map(str, measured.severities), "mean error"),
        [(row.name, *(percent(cell.top1) for cell in row.cells), percent(row.error)) for row in measured.rows],
        right=tuple(range(1, len(measured.severities) + 2)),
    )
    say(
        f"mean corruption error {percent(measured.mean_error)} (95% interval {_ends(measured.mean_error_interval)}), "
        f"unnormalised; without corruption {percent(measured.clean_error)}: {percent(measured.relative_error)} more"
    )


def print_shift(result: Report) -> None:
    """Print how a second set of images differs, where there is one."""
    if (shift := result.shift) is None:
        return
    say()
    low, high = shift.interval
    say(
        f"{shift.folder}, {shift.split}: {counted(shift.count, 'image')}, top-1 {percent(shift.top1)} "
        f"(95% interval {_ends(shift.top1_interval)})"
    )
    say(
        f"difference {100 * shift.difference:+z.2f} points (95% {100 * low:+z.2f} to {100 * high:+z.2f})"
        + ("" if low > 0 or high < 0 else ": chance may explain it")
    )
    if shift.by_shares is not None and shift.by_recalls is not None:
        say(
            f"of it {100 * shift.by_shares:+z.2f} points by other shares of the classes, "
            f"{100 * shift.by_recalls:+z.2f} by other recalls"
        )
    print_table(
        ("class", "recall here", "there", "difference", "95% interval", "images there"),
        [
            (
                row.name,
                "–" if row.first_recall is None else percent(row.first_recall),
                "–" if row.second_recall is None else percent(row.second_recall),
                "–" if row.difference is None else f"{100 * row.difference:+z.1f}",
                "–" if row.interval is None else f"{100 * row.interval[0]:+z.1f} to {100 * row.interval[1]:+z.1f}",
                str(row.second_count),
            )
            for row in shift.classes
        ],
        right=(1, 2, 3, 4, 5),
    )
    for each in shift.moved:
        say(f"  {each.true} taken for {each.predicted}: {percent(each.first)} here, {percent(each.second)} there")


def _ends(interval: tuple[float, float]) -> str:
    return " to ".join(map(percent, interval))
