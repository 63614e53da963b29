"""Scores of several runs on one part of one data set, each computed once and cached."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from residua._base.errors import InputError, Notice
from residua.data.dataset import Dataset, Split
from residua.data.tables.label_table import label_table
from residua.evaluation.run_data import open_for, refuse_other_classes, with_labels_of
from residua.evaluation.scores.cache import cache_entry
from residua.evaluation.scores.options import ScoreOptions
from residua.evaluation.scores.scores import Scores, collect, combined
from residua.evaluation.scores.views import check_views
from residua.runtime.engines.auto import open_fastest
from residua.runtime.engines.engine import Engine
from residua.specs.fields import BadPolicy
from residua.weights.run import Run


@dataclass
class Scorer:
    """Scores runs on one data set.

    Attributes:
        dataset: the data set.
        split: the part of it.
        own: whether the first run was trained on this data.
        options: how scores are made.
        on_bad: the policy for images that do not decode, settled.
        planned: images of all passes to come, for the progress bar.
    """

    dataset: Dataset
    split: str
    own: bool
    options: ScoreOptions
    on_bad: BadPolicy
    planned: int = 0
    _done: int = field(default=0, init=False)

    def part(self, run: Run, split: str | None = None) -> Split:
        """Return a part, by default the one to score, with labels that index the run's classes.

        Raises:
            InputError: the data has classes that the run does not know.
        """
        return with_labels_of(run, self.dataset, self.dataset.splits[split or self.split], partial=True)

    def scores(self, run: Run, split: str | None = None) -> Scores:
        """Return the run's scores for every image, from the cache or from a pass, in the order of its classes.

        Raises:
            InputError: as `collect`.
        """
        part = self.part(run, split)
        return combined([self._one(run, part, views) for views in self.options.view_sets])

    def aligned(self, scores: Scores, run: Run, first: Run, split: str | None = None) -> Scores:
        """Return a run's scores with logits and labels in the order of the first run's classes."""
        if run.classes == first.classes:
            return scores
        order = [run.classes.index(name) for name in first.classes]
        return replace(scores, logits=scores.logits[:, order], labels=self.part(first, split).labels[scores.indices])

    def _one(self, run: Run, part: Split, views: str) -> Scores:
        options, engine = self.settled(run)
        entry = None
        if options.cache:
            entry = cache_entry(
                run.model,
                run.spec,
                part,
                run.preprocess_spec,
                options,
                views=views,
                data_hash=self.dataset.hash,
                on_bad=self.on_bad,
            )
            if (cached := entry.read(part)) is not None:
                self._report(len(part), len(part))
                self._done += len(part)
                return cached
        scores = collect(
            run.model,
            part,
            run.preprocess_spec,
            options,
            engine=engine,
            num_classes=len(run.classes),
            views=views,
            on_bad=self.on_bad,
            progress=self._report,
        )
        self._done += len(part)
        if entry is not None:
            entry.write(scores)
        return scores

    def settled(self, run: Run) -> tuple[ScoreOptions, Engine | None]:
        """Return the options with an engine by name, under which scores are cached, and the engine if it is open."""
        options = self.options
        if options.engine != "auto":
            return options, None
        shape = (options.batch_size, run.spec.in_channels, *run.preprocess_spec.size)
        engine, sentence = open_fastest(run.model, shape, precision=options.precision, device=options.where)
        warnings.warn(sentence, Notice, stacklevel=2)
        return replace(options, engine=engine.name), engine

    def _report(self, done: int, count: int) -> None:
        if self.options.progress is not None:
            self.options.progress(self._done + done, max(self.planned, self._done + count))


def open_scorer(runs: Sequence[Run], options: ScoreOptions) -> Scorer:
    """Open the data as the first run should see it, and refuse before any work what cannot be done.

    Raises:
        InputError: views that one of the networks cannot take; the data is gone, has changed or lacks the part; the
            data has classes that a run does not know; the classes of the runs differ.
    """
    for run in runs:
        check_views(options.view_sets, run.spec, run.preprocess_spec)
    first = runs[0]
    table = label_table(options.labels, options.columns)
    dataset = open_for(first, options.data, options.data_dir, options.on_bad, table)
    chosen = options.split or dataset.held_out
    if chosen not in dataset.splits:
        reason = dataset.unread.get(chosen, "")
        raise InputError(
            f"split {chosen!r} of {dataset.given}" + f": {reason}" * bool(reason),
            f"one of {', '.join(sorted(dataset.splits))}",
            ("Put its images into class folders, or choose" if reason else "Choose") + f" split={dataset.held_out!r}",
        )
    own = dataset.hash == first.data.get("hash")
    trained: BadPolicy = (first.recipe or {}).get("on_bad", "refuse") if own else "refuse"
    scorer = Scorer(dataset, chosen, own, options, options.on_bad or trained)
    for run in runs:
        scorer.part(run)
        refuse_other_classes(run, first)
    scorer.planned = len(dataset.splits[chosen]) * len(options.view_sets) * len(runs)
    return scorer
