"""Trackers by name, and objects that are trackers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from residua._base.errors import InputError, did_you_mean
from residua.training.tracking.mlflow import MlflowTracker
from residua.training.tracking.tensorboard import TensorBoardTracker
from residua.training.tracking.tracker import METHODS, Tracker
from residua.training.tracking.trackio import TrackioTracker
from residua.training.tracking.wandb import WandbTracker

Track = str | Sequence[str | Tracker] | None
"""Names of trackers, and objects with their four methods; one name may stand alone."""

_KNOWN: dict[str, Callable[[Path], Tracker]] = {
    "mlflow": lambda folder: MlflowTracker(_beside(folder)),
    "tensorboard": TensorBoardTracker,
    "trackio": lambda folder: TrackioTracker(),
    "wandb": lambda folder: WandbTracker(_beside(folder)),
}
NAMES = tuple(_KNOWN)


def choose_trackers(track: Track, folder: Path, field: str = "track") -> dict[str, Tracker]:
    """Return the trackers of a run by name; an object is called by its class. Imports the packages of those named.

    Args:
        track: None for none.
        folder: of the run.
        field: what errors call the argument.

    Raises:
        InputError: an unknown name, a package that is not installed, or an object that lacks a method.
    """
    entries: Sequence[str | Tracker] = [track] if isinstance(track, str) else track or ()
    chosen: dict[str, Tracker] = {}
    # Names first: to import a package takes seconds.
    for entry in entries:
        if isinstance(entry, str) and entry not in _KNOWN:
            known = f"one of {', '.join(NAMES)}"
            raise InputError(
                f"{field}={entry!r}", known, did_you_mean(entry, NAMES, least=0.6) or f"Use {field}={NAMES[-1]!r}"
            )
    for entry in entries:
        if isinstance(entry, str):
            chosen[entry] = _KNOWN[entry](folder)
        else:
            name = type(entry).__name__
            lacking = [method for method in METHODS if not callable(getattr(entry, method, None))]
            if lacking or isinstance(entry, type):
                raise InputError(
                    f"{field} has {name} {entry!r:.80}, " + (f"without {', '.join(lacking)}" if lacking else "a class"),
                    f"an object with the methods {', '.join(METHODS)}",
                    "Give an object of the protocol residua.training.tracking.tracker.Tracker",
                )
            alike = sum(other.partition(" ")[0] == name for other in chosen)
            chosen[f"{name} {alike + 1}" if alike else name] = entry
    return chosen


def _beside(folder: Path) -> Path:
    return folder.absolute().parent
