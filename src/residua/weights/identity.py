"""Which network weights are of, and whether it is the one that was asked for: decided here alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from residua._base.errors import InputError
from residua._base.words import some
from residua.families.build import spec_of
from residua.specs.schema import Spec


@dataclass(frozen=True)
class Asked:
    """A network that a user asked for.

    Attributes:
        spec: the network.
        fields: the fields of `spec` whose values were asked for; in the others the network follows its weights.
            None: all of them, as where a spec was given.
    """

    spec: Spec
    fields: frozenset[str] | None = None

    @classmethod
    def of(
        cls, model: str | Spec, num_classes: int | None = None, in_channels: int | None = None, **edits: Any
    ) -> Asked:
        """Return what `create_model` with these arguments asks for: of a name only the edits.

        Raises:
            InputError: as `spec_of`.
        """
        spec = spec_of(model, num_classes, in_channels, **edits)
        return cls(spec, frozenset(edits) if isinstance(model, str) else None)

    def taking(self, form: Mapping[str, Any]) -> Spec:
        """Return the network with the fields of `form` that nobody asked for otherwise."""
        if self.fields is None:
            return self.spec
        return self.spec.edit(**{name: value for name, value in form.items() if name not in self.fields})


@dataclass(frozen=True)
class Identity:
    """The network that weights are of, beside the one that was asked for; see `identify`.

    Attributes:
        theirs: the network of the weights, with their own number of classes and channels.
        asked: what was asked for; None: whatever the weights are of.
    """

    theirs: Spec
    asked: Asked | None = None

    @property
    def form(self) -> dict[str, Any]:
        """Return the fields that the network takes from its weights, because nobody asked for their values."""
        if self.asked is None:
            return {}
        apart = differing(self.asked.spec, self.theirs)
        return {name: getattr(self.theirs, name) for name in apart if self._free(name)}

    @property
    def network(self) -> Spec:
        """Return the network to build: the one asked for, in the form of its weights."""
        return self.theirs if self.asked is None else self.asked.taking(self.form)

    @property
    def conflicts(self) -> dict[str, tuple[Any, Any]]:
        """Return the fields that keep the weights from the network asked for: field -> (asked, the weights')."""
        if self.asked is None:
            return {}
        apart = differing(self.asked.spec, self.theirs, loading=True)
        return {name: pair for name, pair in apart.items() if not self._free(name)}

    def _free(self, name: str) -> bool:
        asked = self.asked
        return (
            asked is not None
            and asked.fields is not None
            and name not in asked.fields
            and self.theirs.name == asked.spec.name
        )


def identify(given: str, theirs: Spec, asked: Asked | None) -> Identity:
    """Compare the network that weights are of with the one asked for.

    Args:
        given: what an error calls the weights.
        theirs: the network of the weights.
        asked: the network asked for.

    Raises:
        InputError: weights that would fit and compute something else, such as those of a different stride; lists
            every field in conflict.
    """
    found = Identity(theirs, asked)
    if asked is not None and (apart := found.conflicts):
        fields = [f"{name} {there!r} there, {here!r} here" for name, (here, there) in apart.items()]
        edits = ", ".join(f"{name}={there!r}" for name, (_, there) in apart.items())
        same = theirs.name == asked.spec.name
        raise InputError(
            f"{given} holds a {theirs.name} for a {asked.spec.name}, which differs: {some(fields, 8, '; ')}",
            "the weights of the same network; classes and channels may differ",
            f"Build {theirs.name}" + (f" with {edits}" if same else "") + ", or give other weights",
        )
    return found


def differing(left: Spec, right: Spec, *, loading: bool = False) -> dict[str, tuple[Any, Any]]:
    """Return the fields in which two specs compute something else from the same weights, by their roles.

    Args:
        left: a spec.
        right: the spec to compare it with.
        loading: the weights of one are for the other: their output stride is then a preference and no difference.

    Returns:
        field -> (left's value, right's value).
    """
    roles = (None,) if loading else (None, "density")
    roles_of = right.roles() | left.roles()
    return {name: pair for name, pair in left.diff(right).items() if roles_of.get(name) in roles}
