"""Fine-tuning part of a network: what stands still, and how much slower the layers near the image learn."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from residua._base.errors import InputError, did_you_mean
from residua._base.words import some
from residua.families.end_points import stage_of
from residua.families.members import Member, classifier_tensors, members
from residua.specs.schema import Spec

BACKBONE = "backbone"


@dataclass(frozen=True)
class FrozenParts:
    """The parameters and modules of a network that training leaves as they are.

    Attributes:
        parameters: their names.
        modules: that work as in evaluation, whatever the network does: batch norms keep their statistics, dropout
            drops nothing. A module that a learning part calls too is not among them.
    """

    parameters: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()

    def apply(self, network: nn.Module) -> None:
        """Take the parameters out of training, and hold the modules."""
        for name in self.parameters:
            network.get_parameter(name).requires_grad_(False)
        self.hold(network)

    def hold(self, network: nn.Module) -> None:
        """Put the modules into eval mode, as is due whenever the network was put into training mode."""
        for name in self.modules:
            network.get_submodule(name).training = False


def frozen(spec: Spec, freeze: str) -> FrozenParts:
    """Return what `freeze` keeps still in the network of `spec`.

    Args:
        freeze: "" for nothing; "backbone" for all but the head; the name of an end point or of a stage, such as
            "layer2", for everything up to its end; or how many of the network's parts, such as "3". Auxiliary
            classifiers stand still with the end point that they read.

    Raises:
        InputError: no such end point (the legal ones are named), or nothing would be left to train.
    """
    if not freeze:
        return FrozenParts()
    parts = members(spec)
    last = _last(spec, parts, freeze)
    still = [each for part in parts[: last + 1] for each in (part, part.aux) if each is not None]
    moving = [each for part in parts[last + 1 :] for each in (part, part.aux) if each is not None]
    kept = classifier_tensors(spec) if freeze == BACKBONE else ()
    parameters = [name for each in still for name in each.parameters if name not in kept]
    learning = [name for each in (*still, *moving) for name in each.parameters if name not in parameters]
    if not learning:
        raise InputError(
            f"freeze={freeze!r} for {spec.name}, which leaves nothing to train",
            "a part of the network that ends before its classifier",
            f"Use freeze={BACKBONE!r} to train the classifier alone",
        )
    called = {name for each in moving for name in each.modules} | {name.rpartition(".")[0] for name in learning}
    modules = dict.fromkeys(name for each in still for name in each.modules if name not in called)
    return FrozenParts(tuple(parameters), tuple(modules))


def layer_scales(spec: Spec, decay: float) -> dict[str, float]:
    """Return the factor of the learning rate of each parameter, by its name in the network of `spec`.

    ELECTRA (Clark 2020, arXiv 2003.10555, appendix A) and BEiT (Bao 2021, arXiv 2106.08254, appendix) fine-tune with
    this layer-wise decay. Of the L parts that learn anything, counted from the image, the i-th has decay^(L − i); the
    last, the classifier, has 1. Auxiliary classifiers have 1 too.
    """
    learning = [part for part in members(spec) if part.parameters]
    scales = {
        name: decay ** (len(learning) - number) for number, part in enumerate(learning, 1) for name in part.parameters
    }
    return scales | {name: 1.0 for part in members(spec) if part.aux for name in part.aux.parameters}


def _last(spec: Spec, parts: tuple[Member, ...], freeze: str) -> int:
    """Return the number of the last part that stands still, counted from 0."""
    names = [part.name for part in parts]
    if freeze == BACKBONE:
        return sum(not part.head for part in parts) - 1
    if freeze.isascii() and freeze.isdecimal() and 1 <= int(freeze) <= len(parts):
        return int(freeze) - 1
    exact = [index for index, name in enumerate(names) if name == freeze]
    below = [index for index, name in enumerate(names) if freeze in (stage_of(name), name.rpartition("/")[0])]
    if exact or below:
        return (exact or below)[-1]
    legal = [*dict.fromkeys(map(stage_of, names)), BACKBONE]
    raise InputError(
        f"freeze={freeze!r} for {spec.name}",
        f"one of {some(legal, 40)}; any end point below them; or a number of parts from 1 to {len(parts)}",
        did_you_mean(freeze, [*legal, *names], 1) or f"For example freeze={legal[0]!r}",
    )
