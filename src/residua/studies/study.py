"""A study as a value: a question, a grid of networks under one recipe, the measurements, and the verdict."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from residua._base.errors import InputError
from residua._base.words import counted
from residua.specs.catalog import get_spec
from residua.specs.schema import Spec

if TYPE_CHECKING:
    from markupsafe import Markup

    from residua.studies.measures.subject import Subject

Answer = Literal["yes", "no", "undecided"]
FULL: dict[str, Any] = {"measure_train": 5000}
"""What every full form adds to the paper's recipe."""
QUICK: dict[str, Any] = {
    "epochs": 10,
    "batch_size": 32,
    "learning_rate": 0.1,
    "label_smoothing": 0.0,
    "train_images": 3000,
    "val_fraction": 0.02,
    "measure_train": 1000,
    "checkpoint_every_minutes": 1.0,
}
"""A short cycle on a class-balanced part of the training images: what every quick form begins with."""


@dataclass(frozen=True)
class StudyOptions:
    """What a user may choose of a grid.

    Attributes:
        quick: the quick form.
        depths: of the networks; () for the form's own.
        model: the network to take apart; "" for the form's own.
        groups: the groups of networks to train, such as "plain"; () for all.
    """

    quick: bool = False
    depths: tuple[int, ...] = ()
    model: str = ""
    groups: tuple[str, ...] = ()

    def one_depth(self, quick: int, full: int) -> int:
        """Return the depth that was asked for, or the form's, in a study of one depth.

        Raises:
            InputError: several were asked for.
        """
        if len(self.depths) > 1:
            depths = ",".join(map(str, self.depths))
            raise InputError(f"depths={depths}", "one depth in this study", f"For example depths={self.depths[0]}")
        return self.depths[0] if self.depths else quick if self.quick else full


@dataclass(frozen=True)
class Arm:
    """One network of a grid.

    Attributes:
        label: unique in the study.
        model: the catalog's name.
        edits: fields of its spec.
        recipe: fields of the recipe in which the arm differs from the others.
        group: arms that belong together, such as "plain".
        x: the arm's position in the group, such as its depth.
    """

    label: str
    model: str
    edits: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    group: str = ""
    x: float = 0.0

    @property
    def slug(self) -> str:
        """The label, as a folder's name."""
        return re.sub(r"[^a-z0-9._×]+", "-", self.label.lower()).replace("×", "x").strip("-")

    @property
    def spec(self) -> Spec:
        """The network; the data decides how many outputs it has."""
        return get_spec(self.model, **self.edits)


@dataclass(frozen=True)
class Form:
    """The length of a study: full, or quick.

    Attributes:
        recipe: the recipe's name.
        fields: what replaces its fields.
        shows: what this form can show, and what it cannot, in a few sentences. Sizes of the networks stand there as
            {layers} and {units}, filled in from those that were measured; lengths of training are stated elsewhere.
        seeds: how many, counted from 0, unless the user chooses.
    """

    recipe: str
    fields: Mapping[str, Any]
    shows: str
    seeds: int = 1


@dataclass(frozen=True)
class Result:
    """The result of one arm with one seed; rates are fractions of 1.

    Attributes:
        arm: the arm's label.
        seed: of initial weights, order, augmentation and validation split.
        group, x: the arm's.
        params: trainable parameters.
        macs: multiply-accumulates per image.
        test_error: top-1 error on the held-out part.
        test_count: its images.
        train_error: top-1 error on a class-balanced part of the training images, without augmentation, in evaluation
            mode; None where none was measured.
        train_count: their number.
        history: the run's.
        measured: what else the study measures.
        minutes: of training and measuring.
        weights_sha256: of the trained network.
        environment: versions, processor, device and date of the training and the measuring.
    """

    arm: str
    seed: int
    group: str
    x: float
    params: int
    macs: int
    test_error: float
    test_count: int
    train_error: float | None
    train_count: int
    history: tuple[Mapping[str, Any], ...]
    measured: Mapping[str, Any]
    minutes: float
    weights_sha256: str
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Results:
    """All measurements, from which a study concludes.

    Attributes:
        arms: the grid, including arms that failed.
        results: in the order of the grid, then of the seeds.
        quick: the form.
        classes: of the data; guessing has an error of 1 - 1 / classes.
    """

    arms: tuple[Arm, ...]
    results: tuple[Result, ...]
    quick: bool
    classes: int

    @property
    def seed_sd(self) -> float:
        """The standard deviation of an error rate over seeds that is assumed where there is one seed.

        Short trainings on few images vary most; He 2015, table 6, has 0.16 points at full length.
        """
        return 0.02 if self.quick else 0.005

    @property
    def sizes(self) -> dict[str, str]:
        """The networks that gave a result, in words: {"layers": "20 and 56 layers", "units": "9 and 27 units"}."""
        specs = [arm.spec for arm in self.done()]
        depths = {spec.depth for spec in specs if hasattr(spec, "depth")}
        units = {sum(spec.depths) for spec in specs if hasattr(spec, "depths")}
        return {"layers": _sizes(depths, "layer"), "units": _sizes(units, "unit")}

    def of(self, label: str) -> list[Result]:
        """Return the results of an arm, one per seed."""
        return [result for result in self.results if result.arm == label]

    def done(self, group: str | None = None) -> list[Arm]:
        """Return the arms that gave a result, of one group or of all."""
        known = {result.arm for result in self.results}
        return [arm for arm in self.arms if arm.label in known and group in (None, arm.group)]

    def groups(self) -> list[str]:
        """Return the groups, in the order of the grid."""
        return list(dict.fromkeys(arm.group for arm in self.arms))


def _sizes(numbers: Collection[int], noun: str) -> str:
    words = [f"{number:,}" for number in sorted(numbers)]
    if len(words) < 2:
        return counted(int(*numbers), noun) if words else f"their own number of {noun}s"
    return f"{', '.join(words[:-1])} and {words[-1]} {noun}s"


@dataclass(frozen=True)
class Verdict:
    """The answer to the question.

    Attributes:
        answer: "yes", "no" or "undecided".
        sentence: the answer with its numbers.
        details: further sentences.
        numbers: those of the sentences, for programs.
    """

    answer: Answer
    sentence: str
    details: tuple[str, ...] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Figure:
    """A drawing and its caption."""

    svg: Markup
    caption: str


@dataclass(frozen=True)
class Table:
    """A table of text; the first column names the row."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Outcome:
    """The conclusion of a study."""

    verdict: Verdict
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True)
class Study:
    """A question that networks can answer.

    Attributes:
        name: for the command.
        question: a sentence.
        source: paper, section, figure or table.
        grid: from the user's choices to the arms.
        full: the paper's length.
        quick: about ten minutes on two processors.
        conclude: from the results to the outcome. Arms may be missing: they failed.
        measure: from a finished run to JSON values; None where error and history suffice.
        takes_depths: whether `StudyOptions.depths` has an effect.
        takes_model: whether `StudyOptions.model` has one.
        takes_runs: whether it can measure finished runs.
    """

    name: str
    question: str
    source: str
    grid: Callable[[StudyOptions], Sequence[Arm]]
    full: Form
    quick: Form
    conclude: Callable[[Results], Outcome]
    measure: Callable[[Subject], dict[str, Any]] | None = None
    takes_depths: bool = False
    takes_model: bool = False
    takes_runs: bool = False

    def form(self, quick: bool) -> Form:
        """Return the form that was asked for."""
        return self.quick if quick else self.full
