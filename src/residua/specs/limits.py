"""Limits that fields of several families share: a spec that breaks one is refused where it is made."""

from __future__ import annotations

from typing import Any

from residua._base.errors import InputError


def positive(spec: Any, *names: str) -> None:
    """Refuse whole numbers below 1 in the named fields, also inside lists.

    Raises:
        InputError: names the first field that holds one.
    """
    for name in names:
        value = getattr(spec, name)
        if not _all_positive(value):
            raise InputError(f"{name}={value!r} for {spec.name}", "whole numbers above 0", f"Give {name} another value")


def probabilities(spec: Any, *names: str) -> None:
    """Refuse named fields that are no drop probability.

    Raises:
        InputError: a value below 0, or 1 and above.
    """
    for name in names:
        if not 0 <= getattr(spec, name) < 1:
            raise InputError(
                f"{name}={getattr(spec, name)} for {spec.name}", "a probability: 0 <= p < 1", "Use 0 for none"
            )


def norm_constants(spec: Any) -> None:
    """Refuse a `bn_eps` or a `bn_momentum` that batch normalisation cannot use.

    Raises:
        InputError: bn_eps is not above 0, or bn_momentum is outside [0, 1].
    """
    if spec.bn_eps <= 0 or not 0 <= spec.bn_momentum <= 1:
        raise InputError(
            f"bn_eps={spec.bn_eps}, bn_momentum={spec.bn_momentum} for {spec.name}",
            "bn_eps > 0 and 0 <= bn_momentum <= 1",
            "torch's own are 1e-5 and 0.1",
        )


def aux_weight(spec: Any) -> None:
    """Refuse a negative weight of the auxiliary losses.

    Raises:
        InputError: aux_weight < 0.
    """
    if spec.aux_weight < 0:
        raise InputError(
            f"aux_weight={spec.aux_weight} for {spec.name}", "aux_weight >= 0", "Use aux_heads=False for no such loss"
        )


def _all_positive(value: Any) -> bool:
    if isinstance(value, tuple):
        return bool(value) and all(_all_positive(item) for item in value)
    return bool(value >= 1)
