"""What a run sends its trackers: how it was begun, each line of its history, its pictures, its end."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from residua._base.console import Display
from residua._base.public import public_name
from residua._base.signals import Interrupted
from residua.specs.schema import Spec
from residua.training.tracking.choose import NAMES
from residua.training.tracking.record import TrackRecord
from residua.training.tracking.relay import SECONDS, Relay
from residua.training.tracking.tracker import Numbers, Status, Tracker

_LEAST_SECONDS = 0.5  # that a tracker gets after another has taken all the time
FINAL = ("top1", "top5", "balanced_accuracy", "macro_f1", "loss", "mean_average_precision", "exact_match")
"""What is sent of the report, each as `final_…`."""


class Following:
    """The trackers of one run.

    Args:
        trackers: by name.
        folder: of the run.
        display: shows warnings.
        silent: another process follows the run: nothing is written.
    """

    def __init__(
        self, trackers: Mapping[str, Tracker], folder: Path, display: Display, *, silent: bool = False
    ) -> None:
        self._display, self._folder = display, folder
        self._record = TrackRecord.read(folder)
        self._sent = {name: self._record.taken.get(name, -1) for name in trackers}
        self._relays = [Relay(name, tracker, display.warn) for name, tracker in trackers.items()]
        if not silent and (trackers or self._record.resumed):
            try:
                self._record.begin(list(trackers))
            except OSError as error:
                display.warn(f"Which trackers follow the run cannot be written ({error.strerror}); training goes on")

    @property
    def active(self) -> bool:
        """Whether anybody follows the run."""
        return bool(self._relays)

    @property
    def resumed(self) -> bool:
        """Whether the run was followed before it was resumed."""
        return self._record.resumed

    def start(self, config: Mapping[str, Any]) -> None:
        """Begin, or go on, in each tracker; see `run_config`."""
        if not self.active:
            return
        head = {"id": self._record.id, "name": public_name(self._folder), "resumed": self.resumed}
        self._call("start", {**head, **config})
        names = ", ".join(relay.name for relay in self._relays)
        self._display.say(f"Followed by {names} under the id {self._record.id}")

    def history(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Send each line that a tracker does not have yet."""
        for relay in self._relays:
            for line in lines:
                step = line["step"]
                if step > self._sent[relay.name]:
                    self._sent[relay.name] = step
                    taken = functools.partial(self._record.advance, relay.name, step)
                    relay.call("log", step, line_numbers(line), taken=taken)

    def numbers(self, step: int, numbers: Numbers) -> None:
        """Send numbers that stand in no line of the history."""
        self._call("log", step, numbers)

    def image(self, step: int, name: str, png: bytes) -> None:
        """Send a picture."""
        self._call("image", step, name, png)

    def finish(self, status: Status) -> None:
        """End, and wait until all is sent or a tracker has taken too long."""
        self._call("finish", status)
        deadline = time.monotonic() + SECONDS
        for relay in self._relays:
            relay.close(max(_LEAST_SECONDS, deadline - time.monotonic()))
        for relay in self._relays:
            if relay.lost and relay.name in NAMES and status == "finished":
                command = f"residua track replay {self._folder} --to {relay.name}"
                self._display.say(f"All of the run, sent again to {relay.name}: {command}")

    def _call(self, method: str, *arguments: Any) -> None:
        for relay in self._relays:
            relay.call(method, *arguments)


@contextmanager
def following(
    trackers: Mapping[str, Tracker], folder: Path, display: Display, *, silent: bool = False
) -> Iterator[Following]:
    """Yield what sends to the trackers, and end them with the status that the block ends with."""
    follow = Following(trackers, folder, display, silent=silent)
    status: Status = "failed"
    try:
        yield follow
        status = "finished"
    except (Interrupted, KeyboardInterrupt):
        status = "stopped"
        raise
    finally:
        follow.finish(status)


def run_config(
    *,
    spec: Spec,
    recipe: Mapping[str, Any] | None,
    data: Mapping[str, Any],
    classes: Sequence[str],
    initial_weights: Mapping[str, Any] | None,
    versions: Mapping[str, str],
) -> dict[str, Any]:
    """Return what a run is, as JSON values; the same fields while it trains and when it is replayed."""
    return {
        "model": spec.name,
        "spec": spec.to_json(),
        "recipe": dict(recipe or {}),
        "data": {key: data.get(key) for key in ("given", "hash", "counts")},
        "classes": list(classes),
        "initial_weights": initial_weights and dict(initial_weights),
        "versions": dict(versions),
    }


def line_numbers(line: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a line of the history, without its step."""
    return {name: value for name, value in line.items() if name != "step" and value is not None}


def final_numbers(report: Mapping[str, Any]) -> dict[str, float]:
    """Return what is sent of the report's document."""
    return {f"final_{name}": report[name] for name in FINAL if report.get(name) is not None}
