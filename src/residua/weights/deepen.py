"""`deepen`: a trained network made deeper by units that are the identity, from which training goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import overload

from residua._base.errors import InputError
from residua.families.deeper import deeper
from residua.families.network import Classifier
from residua.weights.run import Run


@overload
def deepen(network: Classifier, depths: Sequence[int]) -> Classifier: ...
@overload
def deepen(network: Run, depths: Sequence[int]) -> Run: ...
def deepen(network: Classifier | Run, depths: Sequence[int]) -> Classifier | Run:
    """Return a deeper network that computes what `network` does: its new units are the identity (He 2015, section 1).

    The new units stand behind those of their stage, before one that halves the resolution at its end.

    - Residual units: the last normalisation of the branch is 0 (original order, ReLU-only pre-activation), or the last
      convolution (full pre-activation, BN after addition). A ReLU behind the sum passes its input whole, since that
      comes out of a ReLU. The rest of the branch is drawn as in a fresh network, and learns from the second step on.
      Logits are equal bit for bit in evaluation mode, and in training mode too but for dropout. BN after addition and
      option C are equal in evaluation mode, up to rounding: their normalisations stand on the shortcut's way.
    - Plain units in the original orders, and VGG: each new convolution copies its channels (Dirac), and each new
      normalisation has mean 0 and variance 1 - eps. The ReLU behind a map without negative values is the identity.
      Logits are equal in evaluation mode, up to rounding. In training mode a normalisation uses the statistics of the
      batch, which differ. Without normalisation (VGG) logits are equal there too, but for dropout.
    - Refused, with the reason: pre-activated plain units, plain bottlenecks, gates, shared units, DenseNet, Highway and
      Inception networks.

    Args:
        network: a network of `create_model`, `build` or `load`; or a run, whose `.save_pretrained(FOLDER)` makes it
            `weights=FOLDER` of `train` with `model=run.spec`.
        depths: units in each stage (of VGG: convolutions), at least as many as there are.

    Returns:
        A new network with an edited spec, in the mode and on the device of the old; or a run of it.

    Raises:
        InputError: as above; depths that are not larger; anything but a network of ours.
    """
    if isinstance(network, Run):
        model = deeper(_network(network.model), depths)
        return Run(model, replace(network.bundle, spec=model.spec))
    return deeper(_network(network), depths)


def _network(network: object) -> Classifier:
    if not isinstance(network, Classifier):
        raise InputError(
            f"a {type(network).__name__} to deepen",
            "a network of create_model, or a run",
            "Make one with residua.create_model",
        )
    return network
