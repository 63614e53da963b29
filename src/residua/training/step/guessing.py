"""Whether a loss is far above that of guessing, which is what a learning rate that is too high leaves."""

from __future__ import annotations

import math

_TRAINING, _VALIDATION = 2.0, 10.0  # times the loss of guessing; validation is noisy while statistics settle


def far_above_guessing(
    train_loss: float, val_loss: float | None, *, classes: int, aux: float = 0.0, learning_rate: float
) -> str:
    """Return a sentence where an epoch's loss is far above ln(K), the loss of giving all classes the same; else "".

    Args:
        train_loss: mean of the epoch, nats.
        val_loss: of the validation; None without one.
        classes: K.
        aux: the weights of auxiliary classifiers, summed: the training loss holds theirs too.
        learning_rate: the recipe's peak, of which a fifth is advised.
    """
    guessing = math.log(classes)
    advice = (
        f"ln {classes} = {guessing:.2f}, which guessing gives: the learning rate is probably too high; try "
        f"learning_rate={learning_rate / 5:.2g}"
    )
    if train_loss > _TRAINING * guessing * (1 + aux):
        return f"The training loss of {train_loss:,.2f} is far above {advice}"
    if val_loss is not None and val_loss > _VALIDATION * guessing:
        return f"The validation loss of {val_loss:,.2f} is far above {advice}"
    return ""
