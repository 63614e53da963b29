"""Which image sizes a network takes: found by asking it, not by a table."""

from __future__ import annotations

import torch

from residua._base.errors import InputError
from residua.families.build import build
from residua.families.network import Classifier
from residua.specs.schema import Spec


def refuse_size(network: Classifier, side: int, batch_size: int) -> None:
    """Refuse images, or batches, that are too small for `network`, before they are trained on.

    Args:
        network: on its device; its weights, statistics and mode are left as they are.
        side: of the square images, pixels.
        batch_size: images that a training step runs forward at once.

    Raises:
        InputError: the images vanish inside the network, and the smallest legal size; or a batch of one leaves batch
            normalisation one value a channel, which has no variance.
    """
    spec, like, training = network.spec, next(network.parameters()), network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, spec.in_channels, side, side, dtype=like.dtype, device=like.device))
    except RuntimeError:
        least = smallest_side(spec)
        if least <= side:
            raise
        raise InputError(
            f"images of {side}×{side} pixels for {spec.name}", f"at least {least}×{least}", f"Use --image-size {least}"
        ) from None
    finally:
        network.train(training)
    if batch_size == 1 and not _takes(spec, side, training=True):
        raise InputError(
            f"batch_size=1 with images of {side}×{side} pixels for {spec.name}",
            "batches of two or more: some batch normalisation sees one value a channel of an image, and one value has "
            "no variance",
            "Use --batch-size 2",
        )


def smallest_side(spec: Spec) -> int:
    """Return the side of the smallest square image, in pixels, that leaves the network something to classify."""
    least, enough = 1, spec.input_size
    while not _takes(spec, enough):
        least, enough = enough + 1, 2 * enough
    while least < enough:
        middle = (least + enough) // 2
        least, enough = (least, middle) if _takes(spec, middle) else (middle + 1, enough)
    return enough


def _takes(spec: Spec, side: int, training: bool = False) -> bool:
    with torch.device("meta"):
        network = build(spec).train(training)
        image = torch.empty(1, spec.in_channels, side, side)
    try:
        with torch.no_grad():
            network(image)
    except (RuntimeError, ValueError):
        return False
    return True
