"""Which network weights are of, and whether it is the one that is wanted: decided here alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from residua._base.errors import InputError
from residua._base.words import some
from residua.families.build import spec_of
from residua.specs.catalog import get_spec
from residua.specs.schema import OWN, Own, Spec
from residua.weights.peers.same_network import PEER_NETWORKS, PeerNetwork

_Fields = dict[str, tuple[Any, Any]]


@dataclass(frozen=True)
class Target:
    """The network that weights are wanted for.

    Attributes:
        spec: the network.
        fields: the fields of `spec` whose values are wanted; in the others the network follows its weights.
            None: all of them, as where a spec was given.
    """

    spec: Spec
    fields: frozenset[str] | None = None

    @classmethod
    def of(
        cls, model: str | Spec, num_classes: int | Own | None = OWN, in_channels: int | None = None, **edits: Any
    ) -> Target:
        """Return what `create_model` with these arguments wants: of a name only the edits.

        Raises:
            InputError: as `spec_of`.
        """
        spec = spec_of(model, num_classes, in_channels, **edits)
        return cls(spec, frozenset(edits) if isinstance(model, str) else None)

    def wants(self, name: str) -> bool:
        """Return whether the value of a field is wanted."""
        return self.fields is None or name in self.fields

    def taking(self, form: Mapping[str, Any]) -> Spec:
        """Return the network with the fields of `form` whose values are not wanted otherwise."""
        return self.spec.edit(**{name: value for name, value in form.items() if not self.wants(name)})


@dataclass(frozen=True)
class Identity:
    """The decision on which network weights are of, and which one is built of them; `identify` makes it.

    Attributes:
        weights: what an error calls them.
        theirs: the network of the weights, with their own number of classes and channels.
        target: what they are wanted for; None: whatever they are of.
    """

    weights: str
    theirs: Spec
    target: Target | None = None

    @property
    def form(self) -> dict[str, Any]:
        """Return the fields that the network takes from its weights, because their values are not wanted otherwise."""
        if self.target is None:
            return {}
        apart = differing(self.target.spec, self.theirs)
        return {name: getattr(self.theirs, name) for name in apart if self._free(name)}

    @property
    def network(self) -> Spec:
        """Return the network to build: the one wanted, in the form of its weights."""
        return self.theirs if self.target is None else self.target.taking(self.form)

    @property
    def opened(self) -> Spec:
        """Return the network of the weights as they are, with the ends that they have, at the density wanted."""
        target = self.target
        if target is None:
            return self.theirs
        roles, wanted = self.theirs.roles(), target.spec.diff(self.theirs)
        dense = [name for name in wanted if roles.get(name) == "density" and target.wants(name)]
        return self.theirs.edit(**{name: getattr(target.spec, name) for name in dense})

    @property
    def conflicts(self) -> _Fields:
        """Return the fields that keep the weights from the network wanted: field -> (wanted, the weights')."""
        if self.target is None:
            return {}
        apart = differing(self.target.spec, self.theirs, loading=True)
        return {name: pair for name, pair in apart.items() if not self._free(name)}

    def require(self, spec: Spec) -> None:
        """Refuse any network but the one that was decided on.

        Raises:
            InputError: names every field that differs.
        """
        if apart := spec.diff(self.network):
            raise self.refusal(self.network, spec, apart)

    def refusal(self, there: Spec, here: Spec, apart: _Fields) -> InputError:
        """Return the error for weights of one network that are to fill another: `apart` is field -> (here, there)."""
        fields = [f"{name} {theirs!r} there, {ours!r} here" for name, (ours, theirs) in apart.items()]
        edits = ", ".join(f"{name}={theirs!r}" for name, (_, theirs) in apart.items())
        same = there.name == here.name
        return InputError(
            f"{self.weights} holds a {there.name} for a {here.name}, which differs: {some(fields, 8, '; ')}",
            "the weights of the same network; classes and channels may differ",
            f"Build {there.name}" + (f" with {edits}" if same else "") + ", or give other weights",
        )

    def _free(self, name: str) -> bool:
        target = self.target
        return target is not None and not target.wants(name) and self.theirs.name == target.spec.name


def identify(weights: str, theirs: Spec, target: Target | None) -> Identity:
    """Decide which network is built of weights: made once for each opening, and passed on as a value.

    Args:
        weights: what an error calls them.
        theirs: the network of the weights.
        target: the network that they are wanted for.

    Raises:
        InputError: weights that would fit and compute something else, such as those of a different stride; lists
            every field in conflict.
    """
    identity = Identity(weights, theirs, target)
    if target is not None and (apart := identity.conflicts):
        raise identity.refusal(theirs, target.spec, apart)
    return identity


@dataclass(frozen=True)
class Counterpart:
    """A peer's network of the same structure beside ours; `counterpart` finds it.

    Attributes:
        spec: ours.
        peer_network: the peer's; None where it has none.
        departures: the fields that make ours compute something else: field -> (ours, the peer's).
    """

    spec: Spec
    peer_network: PeerNetwork | None
    departures: _Fields = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """Return the departures for people, with commas between them."""
        return ", ".join(f"{name}={ours!r} (there {theirs!r})" for name, (ours, theirs) in self.departures.items())

    @property
    def same(self) -> PeerNetwork | None:
        """Return the peer's network where it computes what ours computes."""
        return None if self.departures else self.peer_network

    @property
    def same_state(self) -> PeerNetwork | None:
        """Return it where its state dict is ours too: names, shapes, heads and all."""
        peer_network = self.same
        if peer_network is None or not peer_network.same_keys or getattr(self.spec, "head", "linear") != "linear":
            return None
        return (
            peer_network
            if all(getattr(self.spec, name) == value for name, value in peer_network.edits.items())
            else None
        )


def counterpart(spec: Spec, peer: str, *, loading: bool = False) -> Counterpart:
    """Compare a network with the peer's network of the same structure; `loading` as in `differing`."""
    peer_network = PEER_NETWORKS[peer].get(spec.name)
    if peer_network is None:
        return Counterpart(spec, None)
    return Counterpart(spec, peer_network, differing(spec, get_spec(spec.name, **peer_network.edits), loading=loading))


def differing(left: Spec, right: Spec, *, loading: bool = False) -> _Fields:
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
