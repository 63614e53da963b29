"""Sending a finished run to trackers, from what stands in its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np

from residua._base.errors import AnswerNo, InputError
from residua._base.json_file import read_json, read_json_lines
from residua._base.public import public_name
from residua._base.run_files import HISTORY_FILE, REPORT_DOCUMENT
from residua.training.folder.run_folder import is_finished
from residua.training.pictures import confusion_picture
from residua.training.tracking.choose import NAMES, Track, choose_trackers
from residua.training.tracking.follow import final_numbers, line_numbers, run_config
from residua.training.tracking.record import new_id
from residua.training.tracking.tracker import Tracker
from residua.weights.bundle.read import load_bundle


class _Line(TypedDict):
    epoch: int
    step: int


class _Report(TypedDict):
    classes: list[str]
    confusion: NotRequired[list[list[int]]]  # of one label an image


@dataclass(frozen=True)
class Replay:
    """What was sent.

    Attributes:
        run: the folder.
        id: under which the trackers know this replay.
        trackers: their names.
        lines: of the history.
    """

    run: str
    id: str
    trackers: tuple[str, ...]
    lines: int


def replay(run: str | Path, to: Track) -> Replay:
    """Send a finished run, whole, to trackers, each time under a fresh id.

    Args:
        run: the folder.
        to: names of trackers, and objects of the protocol; one name may stand alone.

    Raises:
        InputError: the folder holds no finished run, or as for `choose_trackers`.
        AnswerNo: a tracker did not take it; those before it have.
    """
    folder = Path(run)
    bundle = load_bundle(folder)
    if not is_finished(folder):
        raise InputError(f"{folder}, which has not finished training", "a finished run", "Resume it first: resume=True")
    trackers = choose_trackers(to, folder, "to")
    if not trackers:
        raise InputError("no tracker to send the run to", f"one of {', '.join(NAMES)}", "For example to='wandb'")
    lines: list[dict[str, Any]] = [dict(line) for line in read_json_lines(folder / HISTORY_FILE, _Line)]
    report: dict[str, Any] = dict(read_json(folder / REPORT_DOCUMENT, _Report))
    name = new_id()
    config = {"id": name, "name": public_name(folder), "resumed": False} | run_config(
        spec=bundle.spec,
        recipe=bundle.recipe,
        data=bundle.data,
        classes=bundle.classes,
        initial_weights=bundle.initial_weights,
        versions=bundle.versions,
    )
    for called, tracker in trackers.items():
        try:
            _send(tracker, config, lines, report)
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise AnswerNo(f"{called} did not take the run: {reason}") from error
    return Replay(str(folder), name, tuple(trackers), len(lines))


def _send(tracker: Tracker, config: dict[str, Any], lines: Sequence[dict[str, Any]], report: dict[str, Any]) -> None:
    tracker.start(config)
    for line in lines:
        tracker.log(line["step"], line_numbers(line))
    last = lines[-1]["step"] if lines else 0
    tracker.log(last, final_numbers(report))
    if "confusion" in report:
        tracker.image(last, "confusion", confusion_picture(np.array(report["confusion"]), report["classes"]))
    tracker.finish("finished")
