"""Features: what a network holds of an image at one of its end points, as one vector per image."""

from __future__ import annotations

import threading

import torch
from torch import Tensor, nn

from residua._base.errors import InputError
from residua.families.build import outline
from residua.families.end_points import resolve_point
from residua.families.members import classifier_tensors, members
from residua.families.network import Classifier
from residua.specs.schema import Spec

PENULTIMATE = "penultimate"
"""The point whose features the classifier reads."""


class FeatureNetwork:
    """Computes features, and logits in the same pass, with the weights of a network.

    The features of the penultimate point are what the last layer with weights reads. A map (B, C, h, w) becomes its
    mean over positions, (B, C), at every point.

    Args:
        model: a network that Residua built; its weights are shared, and it stays as it is.
        point: the name of an end point, or what several begin with, such as `layer4`: the last of them.

    Attributes:
        point: the name of the end point.

    Raises:
        InputError: a network that Residua did not build, or no such end point.
    """

    def __init__(self, model: nn.Module, point: str = PENULTIMATE) -> None:
        if not isinstance(model, Classifier):
            raise InputError(
                f"features of a {type(model).__name__}", "a network that Residua built", "Use create_model or load"
            )
        # Hooks of our own belong to a network of our own; its tensors are the model's.
        self._network = outline(model.spec).eval()
        self._network.load_state_dict(model.state_dict(), assign=True)
        self._network.layout = model.layout
        self.point = PENULTIMATE if point == PENULTIMATE else _point(self._network, point)
        self._seen = threading.local()
        if self.point == PENULTIMATE:
            module = self._network.get_submodule(classifier_module(model.spec))
            module.register_forward_pre_hook(self._keep)

    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        """Return the features, float32 (B, D), of normalised images (B, C, H, W) on the network's device."""
        if self.point == PENULTIMATE:
            return self.with_logits(images)[1]
        x = self._network.lay_out(images)
        for name, part in [*self._network.parts(), *self._network.head_parts()]:
            x = part(x)
            if name == self.point:
                break
        return _vectors(x)

    @torch.inference_mode()
    def with_logits(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, K) and penultimate features (B, D), both float32, of one pass.

        Raises:
            InputError: features of a different point.
        """
        if self.point != PENULTIMATE:
            raise InputError(
                f"logits beside the features of {self.point}", f"features of {PENULTIMATE}", "Leave point=… out"
            )
        logits: Tensor = self._network(images)
        return logits.float(), _vectors(self._seen.features)

    def _keep(self, module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        # Threads share the network; each has its own batch.
        self._seen.features = arguments[0]


def classifier_module(spec: Spec) -> str:
    """Return the name of the layer whose outputs are the classes, auxiliary heads aside.

    Raises:
        InputError: a network without a classifier.
    """
    spec.require_logits("reading what the classifier reads")
    auxiliary = {name for member in members(spec) if member.aux for name in member.aux.parameters}
    (module,) = {name.rpartition(".")[0] for name in classifier_tensors(spec) if name not in auxiliary}
    return module


def point_names(network: Classifier) -> list[str]:
    """Return the names of the end points that have features, in the order of the network; the last is penultimate."""
    named = [name for name, _ in [*network.parts(), *network.head_parts()] if name != network.answer]
    return [*named, PENULTIMATE]


def unit_length(features: Tensor) -> Tensor:
    """Return each row (B, D) divided by its length; a row of zeros stays."""
    return nn.functional.normalize(features.double()).float()


def _point(network: Classifier, name: str) -> str:
    return resolve_point(name, point_names(network), network.spec.name)


def _vectors(features: Tensor) -> Tensor:
    """Return (B, D) float32 of a map (B, C, h, w) or of vectors."""
    return (features.mean(dim=(2, 3)) if features.dim() == 4 else features.flatten(1)).float()
