"""The loss of a training step: cross entropy, and that of the auxiliary classifiers where a network has them.

Where an image may have several labels it is the binary cross entropy of each.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from residua.families.network import AuxLogits
from residua.training.step.balance import EQUAL, Balance


def training_loss(
    output: Tensor | AuxLogits,
    labels: Tensor,
    *,
    label_smoothing: float = 0.0,
    aux_weight: float = 0.0,
    balance: Balance = EQUAL,
    multilabel: bool = False,
) -> Tensor:
    """Return loss(logits) + aux_weight · Σ loss(auxiliary logits), a scalar in float32.

    The auxiliary classifiers count in training alone (Szegedy 2014, section 5): evaluation never runs them.

    Args:
        output: what the network returned in training mode: logits (B, K), or with auxiliary ones.
        labels: (B,) class indices, or (B, K) probabilities where images are mixed.
        label_smoothing: share of each label that is spread over all classes, 0 <= s < 1.
        aux_weight: weight of each auxiliary loss, a field of the network's spec.
        balance: weights of the classes, an image of mixed labels having the mean of theirs; or what is added to the
            logits (Menon 2021, "Long-tail learning via logit adjustment", equation 10).
        multilabel: whether labels are (B, K) of 0 to 1, each its own question. Then the loss is the mean over images
            and labels of the binary cross entropy. A smoothed label is (1 - s) y + s / 2, as Keras defines it.
    """

    def loss(logits: Tensor) -> Tensor:
        if multilabel:
            return _binary(logits.float(), labels, label_smoothing, balance)
        # Reduced precision ends here: a softmax over bfloat16 loses digits that the gradient needs.
        logits = logits.float()
        if balance.offsets is not None:
            logits = logits + balance.offsets
        if balance.weights is None:
            return functional.cross_entropy(logits, labels, label_smoothing=label_smoothing)
        # By the image and not by the batch's sum of weights, as torch does: an image counts the same in every batch.
        each = functional.cross_entropy(logits, labels, label_smoothing=label_smoothing, reduction="none")
        weights = balance.weights[labels] if labels.ndim == 1 else labels @ balance.weights
        return (each * weights).mean()

    if isinstance(output, Tensor):
        return loss(output)
    total = loss(output.logits)
    for logits in output.aux:
        total = total + aux_weight * loss(logits)
    return total


def _binary(logits: Tensor, labels: Tensor, label_smoothing: float, balance: Balance) -> Tensor:
    """Return the mean binary cross entropy of logits (B, K); `balance.positives` weigh the labels that are there."""
    targets = labels.to(logits.dtype)
    if label_smoothing:
        targets = targets * (1 - label_smoothing) + label_smoothing / 2
    return functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=balance.positives)
