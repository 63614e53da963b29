"""The base class of all specs: a network as a value that can be edited, compared, and written as JSON."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any, ClassVar, Final, NoReturn, Self

from residua._base.errors import InputError, did_you_mean
from residua._base.words import html_table, quoted
from residua.specs.families import FAMILIES, family_named
from residua.specs.fields import checked, field_roles, field_rules, settle
from residua.specs.limits import RateLimit


class Own(enum.Enum):
    """The value of an argument that is left out: what the network has itself, which None may not mean."""

    OWN = "own"

    def __repr__(self) -> str:
        return "OWN"


OWN: Final = Own.OWN


class Spec:
    """A network as a value: a frozen dataclass whose fields say everything that the network is.

    A family's class adds the fields, with these six names among them, and `check` for what several fields must keep
    together. The order of the fields is that of the JSON form.
    """

    family: ClassVar[str]
    name: str
    paper: str
    num_classes: int
    in_channels: int
    input_size: int

    def __post_init__(self) -> None:
        if self.num_classes is None:  # TF-slim's word for a network without its classifier
            object.__setattr__(self, "num_classes", 0)
        settle(self)
        self.check()

    @property
    def builds_aux_heads(self) -> bool:
        """Whether the network has auxiliary classifiers."""
        return self.num_classes > 0 and bool(getattr(self, "aux_heads", False))

    @property
    def answers(self) -> bool:
        """Whether the network gives one vector of logits an image."""
        return self.num_classes > 0 and bool(getattr(self, "global_pool", True))

    def require_logits(self, purpose: str) -> None:
        """Refuse a network that does not give one vector of logits an image.

        Args:
            purpose: what needs them, such as "training".

        Raises:
            InputError: the field that is in the way is named.
        """
        if not self.num_classes:
            self.refuse(
                f"{purpose} with num_classes=0",
                "a network with a classifier: this one gives pooled features",
                "Leave num_classes out, or state a number",
            )
        if not getattr(self, "global_pool", True):
            self.refuse(
                f"{purpose} with global_pool=False",
                "logits of the whole image: this network gives logits at each position",
                "Use global_pool=True: the weights are the same",
            )

    def check(self) -> None:
        """Refuse fields that are legal one by one and not together, by `refuse`."""

    @property
    def rate_limit(self) -> RateLimit | None:
        """The largest learning rate of a recipe that the user did not set; None where each recipe's own will do."""
        return None

    def refuse(self, given: str, wanted: str, remedy: str) -> NoReturn:
        """Raise the InputError of a spec that cannot be; it names the network."""
        # A legal list has up to a thousand entries, a message not.
        given, wanted = (text if len(text) <= 400 else f"{text[:400]}…" for text in (given, wanted))
        raise InputError(f"{given} for {self.name}", wanted, remedy)

    def edit(self, **edits: Any) -> Self:
        """Return a copy with some fields changed.

        Raises:
            InputError: a field that the spec does not have, with the nearest, or a value that it refuses.
        """
        known = _field_names(type(self))
        for key, value in edits.items():
            if key in known:
                continue
            others = {each.name: each.spec_class for each in FAMILIES.values() if key in _field_names(each.spec_class)}
            if others:
                # Of the families that have the field, those that take the value: not each stem is "none".
                taking = [name for name, kind in others.items() if _takes(kind, key, value)]
                raise InputError(
                    f"{key}={quoted(value)} for {self.name}",
                    f"a network of a family that has it: {', '.join(taking or others)}",
                    f"Leave it out: a {self.family} network has no {key}. The families' networks: residua models",
                )
            raise InputError(
                f"{key}={quoted(value)} for {type(self).__name__}",
                f"one of its fields: {', '.join(sorted(known))}",
                did_you_mean(key, known),
            )
        return dataclasses.replace(self, **edits)  # type: ignore[type-var]

    def diff(self, other: Spec) -> dict[str, tuple[Any, Any]]:
        """Return the fields in which two specs differ, as field -> (this value, the other's).

        A field that only one family has shows the other side as None.
        """
        left, right = self.to_json(), other.to_json()
        keys = [*left, *(key for key in right if key not in left)]
        return {key: (left.get(key), right.get(key)) for key in keys if left.get(key) != right.get(key)}

    @classmethod
    def roles(cls) -> dict[str, str]:
        """Return what the fields bear on, see `fields.Role`; those that decide what is computed are left out."""
        kind: Any = cls
        return field_roles(kind)

    def to_json(self) -> dict[str, Any]:
        """Return the spec as JSON values, `family` first; `from_json` undoes it exactly."""
        fields = {name: getattr(self, name) for name in _field_names(type(self))}
        return {"family": self.family, **{key: _plain(value) for key, value in fields.items()}}

    def _repr_html_(self) -> str:
        """Return the fields as a notebook shows them."""
        return html_table(self.name, [(key, quoted(value)) for key, value in self.to_json().items() if key != "name"])

    @staticmethod
    def from_json(document: Any) -> Spec:
        """Build a spec from what `to_json` returned, in this version or an earlier one.

        A missing field takes its default: that of a later field means the network as it was before.

        Raises:
            InputError: no JSON object, an unknown family or field, a missing field without a default, or a value that
                the spec refuses.
        """
        if not isinstance(document, dict):
            raise InputError(f"a spec {quoted(document)}", "a JSON object", "Was it written by Residua?")
        family = family_named(document.get("family"))
        kind, name = family.spec_class, family.spec
        known = {field.name: field for field in dataclasses.fields(kind)}
        unknown = [key for key in document if key != "family" and key not in known]
        missing = [key for key, field in known.items() if key not in document and field.default is dataclasses.MISSING]
        if unknown or missing:
            raise InputError(
                f"a {name} with unknown fields {quoted(unknown)} and without {missing}",
                "the fields of this version",
                "Was it written by another version of Residua?",
            )
        try:
            spec: Spec = kind(**{key: document[key] for key in known if key in document})
        except InputError as error:
            raise InputError(f"a {name} with {error.given}", error.wanted, error.remedy) from error
        return spec


def _plain(value: Any) -> Any:
    return [_plain(entry) for entry in value] if isinstance(value, tuple) else value


def _takes(kind: Any, key: str, value: Any) -> bool:
    try:
        checked(key, value, field_rules(kind)[key])
    except InputError:
        return False
    return True


def _field_names(kind: type[Any]) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]
