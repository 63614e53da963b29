"""The loss of a training step: cross entropy, and that of the auxiliary classifiers where a network has them."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from residua.families.network import AuxLogits


def training_loss(
    output: Tensor | AuxLogits, labels: Tensor, *, label_smoothing: float = 0.0, aux_weight: float = 0.0
) -> Tensor:
    """Return loss(logits) + aux_weight · Σ loss(auxiliary logits), a scalar in float32.

    The auxiliary classifiers count in training alone (Szegedy 2014, section 5): evaluation never runs them.

    Args:
        output: what the network returned in training mode: logits (B, K), or with auxiliary ones.
        labels: (B,) class indices, or (B, K) probabilities where images are mixed.
        label_smoothing: share of each label that is spread over all classes, 0 <= s < 1.
        aux_weight: weight of each auxiliary loss, a field of the network's spec.
    """

    def loss(logits: Tensor) -> Tensor:
        # Reduced precision ends here: a softmax over bfloat16 loses digits that the gradient needs.
        return functional.cross_entropy(logits.float(), labels, label_smoothing=label_smoothing)

    if isinstance(output, Tensor):
        return loss(output)
    total = loss(output.logits)
    for logits in output.aux:
        total = total + aux_weight * loss(logits)
    return total
