"""`residua track replay`: one call of `replay`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from residua._base.words import counted
from residua.cli.show import Switch, print_json, say


def track(
    action: Literal["replay"],
    run: Path,
    /,
    *,
    to: Annotated[tuple[str, ...], Parameter(negative_iterable=())] = (),
    json: Switch = False,
) -> int:
    """Send a finished run to trackers: its configuration, history and results.

    Each replay is a run of its own in the tracker. Exit code 1: a tracker did not take it.

    Parameters
    ----------
    action
        "replay", which sends a run that has ended.
    run
        The run's folder.
    to
        wandb (offline unless WANDB_MODE=online), mlflow (mlflow.db beside the run's folder unless MLFLOW_TRACKING_URI),
        trackio, tensorboard.
    json
        Print one JSON document: the id of the replay, its trackers, the lines of the history.
    """
    from residua.training.tracking.replay import replay

    sent = replay(run, to)
    if json:
        print_json(asdict(sent))
    else:
        lines = counted(sent.lines, "line")
        say(f"{sent.run} is sent to {', '.join(sent.trackers)} under the id {sent.id}: {lines} of its history")
    return 0
