"""`residua learn`: one call of `learn`."""

from __future__ import annotations

from pathlib import Path

from residua.cli.show import Switch, print_json, say


def learn(*, out: Path = Path("learn"), step: tuple[int, ...] = (), short: Switch = False, json: Switch = False) -> int:
    """Show what residual networks are in eight steps, each run on this machine; ends in one page.

    Each step takes at most two minutes on two processors. A course can be killed at any moment: the same command
    continues it, and what is done is not repeated.

    Parameters
    ----------
    out
        The folder of the page: index.html, learn.md, learn.json, figures, the trainings.
    step
        A step to do, 1 to 8; with commas between, or repeated; left out: all.
    short
        A reduced form of some seconds a step: everything runs, and the numbers show little.
    json
        Print one JSON document.
    """
    from residua.studies.lessons.learn import learn as do_lessons

    report = do_lessons(out, steps=step, short=short)
    if json:
        print_json(report.to_dict())
        return 0
    for one in report.steps:
        if step and one.number not in step:
            continue
        say(f"{one.number}. {one.lesson.title}")
        for number in one.finding.numbers:
            say(f"   {number.text}: {number.meaning}")
        for sentence in one.finding.sentences:
            say(f"   {sentence}")
        say(f"   Source: {one.lesson.source}\n")
    return 0
