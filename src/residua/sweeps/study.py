"""Trials of a search in a journal that survives a kill, proposed by optuna.

The journal is a file beside the runs. What is proposed next follows from it alone: a fresh sampler draws each
trial, with the trial's number as its seed.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from residua._base.errors import InputError
from residua._base.packages import package
from residua.sweeps.search_space import SearchSpace

JOURNAL_FILE = "search.journal"
_RANDOM = 9  # trials that are drawn at random before the sampler models them: the first group


class Journal:
    """The trials of a search.

    Args:
        folder: of the sweep; the caller holds its lock.
        space: what trials are drawn from.
        identity: JSON values; a search goes on only with the same.

    Raises:
        InputError: optuna is missing; the folder holds another search, or a journal that cannot be read.
    """

    def __init__(self, folder: Path, space: SearchSpace, identity: Mapping[str, Any]) -> None:
        self._optuna = package("optuna", "optuna")
        journal = package("optuna.storages.journal", "optuna")
        # Its lines about each trial stand in the sweep's own; experimental parts are pinned by tests.
        logging.getLogger("optuna").setLevel(logging.ERROR)
        self._space = space
        path = folder / JOURNAL_FILE
        _repair(path)
        try:
            with _quiet():
                storage = self._optuna.storages.JournalStorage(journal.JournalFileBackend(str(path)))
                self._study = self._optuna.create_study(
                    study_name="sweep", storage=storage, direction="maximize", load_if_exists=True
                )
        except (ValueError, KeyError, OSError) as error:
            raise InputError(
                f"{path}, which cannot be read: {error}", "the journal of a search", "Give a different out=FOLDER"
            ) from error
        stored = self._study.user_attrs.get("identity")
        if stored is None:
            self._study.set_user_attr("identity", dict(identity))
        elif stored != identity:
            raise InputError(
                f"{folder} holds a search of other networks, values or recipe",
                "the same",
                "Give a different out=FOLDER",
            )

    @property
    def groups(self) -> list[list[int]]:
        """The trials that began together, by number."""
        return list(self._study.user_attrs.get("groups", []))

    def begin(self, count: int) -> list[int]:
        """Begin trials together, and return their numbers."""
        known = {number for group in self.groups for number in group}
        # A kill between a proposal and its group leaves trials that have no group yet.
        numbers = [each.number for each in self._study.trials if each.number not in known and self._whole(each)][:count]
        while len(numbers) < count:
            with _quiet():
                self._study.sampler = self._optuna.samplers.TPESampler(
                    seed=len(self._study.trials), n_startup_trials=_RANDOM, constant_liar=True
                )
                numbers.append(self._study.ask(self._distributions()).number)
        self._study.set_user_attr("groups", [*self.groups, numbers])
        return numbers

    def drawn(self, number: int) -> dict[str, Any]:
        """Return what was drawn for a trial, as `SearchSpace.cell` takes it."""
        return dict(self._study.trials[number].params)

    def conclude(self, number: int, values: Sequence[float], *, whole: bool) -> None:
        """Record what a trial has shown; one that is concluded already stays as it is.

        Args:
            number: of the trial.
            values: of each rung that it reached; none where it failed at once.
            whole: whether the last one is of the whole training.
        """
        states = self._optuna.trial.TrialState
        if self._study.trials[number].state.is_finished():
            return
        trial = self._optuna.Trial(self._study, self._study.trials[number]._trial_id)
        for rung, value in enumerate(values):
            if rung not in self._study.trials[number].intermediate_values:
                trial.report(value, step=rung)
        if whole:
            self._study.tell(number, values[-1])
        else:
            self._study.tell(number, state=states.PRUNED if values else states.FAIL)

    def _whole(self, trial: Any) -> bool:
        return set(trial.params) == set(self._distributions())

    def _distributions(self) -> dict[str, Any]:
        kinds = self._optuna.distributions
        several = {"model": self._space.models} if len(self._space.models) > 1 else {}
        drawn = {
            name: kinds.CategoricalDistribution(list(range(len(values))))
            for name, values in (several | dict(self._space.choices)).items()
        }
        for name, each in self._space.ranges.items():
            kind = kinds.IntDistribution if each.whole else kinds.FloatDistribution
            drawn[name] = kind(each.low, each.high, log=each.log)
        return drawn


def _repair(path: Path) -> None:
    """Cut off a line that a kill left half-written, and release what the killed process had locked."""
    for name in (".lock", ".lock.rename"):
        path.with_name(path.name + name).unlink(missing_ok=True)
    if path.is_file():
        content = path.read_bytes()
        if content and not content.endswith(b"\n"):
            path.write_bytes(content[: content.rfind(b"\n") + 1])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
