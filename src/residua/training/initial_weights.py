"""The weights that a run begins with: named when it is asked for, recorded by hash, never needed after a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from residua._base.errors import InputError
from residua._base.public import is_address, public_address, public_name
from residua.families.network import Classifier
from residua.specs.preprocess import PreprocessSpec, default_preprocess, resized
from residua.specs.provenance import Provenance
from residua.weights.identity import Target
from residua.weights.named.locate import is_remote
from residua.weights.named.resolve import resolve
from residua.weights.named.transfer import fitted, load_weights


class InitialRecord(TypedDict):
    """Initial weights as JSON holds them."""

    given: str
    sha256: str
    preprocess: dict[str, Any] | None
    classes: list[str]
    form: NotRequired[dict[str, Any]]


@dataclass(frozen=True)
class Initial:
    """Weights to begin with, as a run records them.

    Attributes:
        given: their name; a path is absolute.
        sha256: of the file that held them when the run was begun.
        preprocess: what they were trained for; None where that is not known.
        classes: the names of their outputs; () where they are not known.
        form: fields that the network has from them, where it was asked for by its name; see `Identity.form`.
    """

    given: str
    sha256: str
    preprocess: PreprocessSpec | None
    classes: tuple[str, ...]
    form: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"the weights {self.given} (SHA-256 {self.sha256[:12]}…)"

    @property
    def public(self) -> Initial:
        """The same weights by the name that others read."""
        return replace(self, given=public_name(self.given))

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        fields = {entry.name: getattr(self, entry.name) for entry in dataclass_fields(self)}
        return fields | {"preprocess": self.preprocess and self.preprocess.to_json(whole=True)}

    @classmethod
    def from_dict(cls, record: InitialRecord) -> Initial:
        """Undo `to_dict`.

        Raises:
            InputError: a preprocessing with a field that it does not have, or a value that it refuses.
        """
        fields = record["preprocess"]
        preprocess = None if fields is None else PreprocessSpec.from_json(fields)
        return cls(record["given"], record["sha256"], preprocess, tuple(record["classes"]), record.get("form", {}))


def full_name(name: str | Path) -> str:
    """Return a name of weights as it is recorded: a path is made absolute, an address loses what may be secret."""
    return public_address(str(name)) if is_remote(name) or is_address(name) else str(Path(name).resolve())


def find_initial(name: str | Path, target: Target) -> Initial:
    """Fetch and read weights, and check that all but their classifier fits the network wanted, in their form.

    Raises:
        InputError: as `resolve`, and as `fitted`.
    """
    weights = resolve(name, target, new_classifier=True)
    _, known = fitted(weights, new_classifier=True, new_input=True)
    return Initial(known.given, known.sha256, known.preprocess, known.classes, dict(known.form))


def load_initial(initial: Initial, network: Classifier, classes: Sequence[str]) -> Provenance:
    """Load the weights into the run's network; for classes other than theirs its classifier stays as it was drawn.

    Raises:
        InputError: they are not available any more, or have changed.
    """
    weights = resolve(initial.given, Target(network.spec), new_classifier=True)
    if weights.located.sha256 != initial.sha256:
        raise InputError(
            f"{initial.given} has SHA-256 {weights.located.sha256[:16]}…, and had {initial.sha256[:16]}… when the run "
            "was begun",
            "the weights that the run was begun with",
            "Restore them, or begin a run in a different folder: out=FOLDER",
        )
    other_classes = bool(weights.classes) and tuple(weights.classes) != tuple(classes)
    loaded = load_weights(network, weights, new_classifier=True, new_input=True, other_classes=other_classes)
    # The network has their form by now, so that the comparison finds nothing to settle.
    network.provenance = replace(loaded, form=tuple(initial.form.items()))
    return network.provenance


def preprocess_for(initial: Initial | None, image_size: int) -> PreprocessSpec:
    """Return the evaluation transform of a run at this side, pixels: its weights' own, else the customary one."""
    if initial is None or initial.preprocess is None:
        return default_preprocess(image_size)
    return resized(initial.preprocess, image_size)
