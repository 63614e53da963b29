"""Distillation: a network learns the probabilities that finished networks give to the same views of the images.

Hinton, Vinyals & Dean 2015, "Distilling the Knowledge in a Neural Network", section 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from residua._base.errors import InputError
from residua.families.network import AuxLogits
from residua.specs.preprocess import PreprocessSpec, size_words

_BY_IMAGE = ("mean_image", "image_center", "image_std", "whitening")


def distillation_loss(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return T² · KL(teacher ‖ softmax(logits / T)), the mean over images, a scalar in float32.

    Its gradient is that of T² times the cross-entropy with soft targets, and it is 0 where the network agrees. The
    factor keeps the gradient's size where T changes (Hinton 2015, section 2.1).

    Args:
        logits: of the network that learns, (B, K).
        teacher: logarithms of the teacher's probabilities at the same temperature, (B, K).
        temperature: T, above 0.
    """
    own = (logits.float() / temperature).log_softmax(dim=1)
    return temperature**2 * functional.kl_div(own, teacher, reduction="batchmean", log_target=True)


@dataclass(frozen=True)
class View:
    """How a teacher sees the images of a run.

    Attributes:
        scale, offset: per channel, from the run's normalised values to the teacher's; () where they are the same.
        size: (height, width) that the teacher wants, pixels; None for whatever the run has.
    """

    size: tuple[int, int] | None
    scale: tuple[float, ...] = ()
    offset: tuple[float, ...] = ()

    def of(self, images: Tensor) -> Tensor:
        """Return images (B, 3, H, W) of the run as the teacher expects them."""
        if self.scale:
            scale, offset = (images.new_tensor(values).view(1, 3, 1, 1) for values in (self.scale, self.offset))
            images = images * scale + offset
        if self.size is not None and images.shape[2:] != self.size:
            images = functional.interpolate(images, self.size, mode="bilinear", antialias=True, align_corners=False)
        return images


@dataclass(frozen=True, eq=False)
class Teachers:
    """Finished networks in eval mode, and how much of the loss is theirs.

    Attributes:
        networks: on the device of the run.
        views: how each of them sees its images.
        orders: for each, the columns of its logits in the order of the run's classes.
        temperature: of both sides.
        weight: of the teachers' part, 0 to 1; the labels have the rest.
        autocast: opens the precision that the run's device was opened for.
    """

    networks: Sequence[nn.Module]
    views: Sequence[View]
    orders: Sequence[Tensor]
    temperature: float
    weight: float
    autocast: Callable[[], AbstractContextManager[None]] = field(repr=False)

    @torch.no_grad()
    def answers(self, images: Tensor) -> Tensor:
        """Return the logarithm of the mean of the teachers' probabilities at the temperature, float32 (B, K)."""
        terms = []
        for network, view, order in zip(self.networks, self.views, self.orders, strict=True):
            with self.autocast():
                logits = network(view.of(images))
            terms.append((logits.float()[:, order] / self.temperature).log_softmax(dim=1))
        return torch.stack(terms).logsumexp(dim=0) - math.log(len(terms))

    def blend(self, loss: Tensor, output: Tensor | AuxLogits, images: Tensor) -> Tensor:
        """Return (1 - weight) · loss + weight · `distillation_loss`; auxiliary classifiers learn from labels alone."""
        logits = output if isinstance(output, Tensor) else output.logits
        return (1 - self.weight) * loss + self.weight * distillation_loss(
            logits, self.answers(images), self.temperature
        )


def view_of(run: PreprocessSpec, teacher: PreprocessSpec, name: str) -> View:
    """Return how a teacher sees the views of a run: their values and size become those that it was trained on.

    Resize and crop are the run's, so that both see the same part of the image. The teacher gets it enlarged or reduced
    from the run's pixels, bilinear and antialiased.

    Raises:
        InputError: numbers for each pixel or of each image, on one side, that the other has not.
    """
    by_image = [key for key in _BY_IMAGE if getattr(run, key) or getattr(teacher, key)]
    if by_image:
        same = run.size == teacher.size and all(
            getattr(run, key) == getattr(teacher, key) for key in ("mean", "std", *_BY_IMAGE)
        )
        if not same:
            raise InputError(
                f"the teacher {name}, whose images are prepared with other {by_image[0]}",
                "the same, or a mean and a deviation per channel on both sides",
                "Use center='customary' and std='customary', or another teacher",
            )
        return View(None)
    if (run.mean, run.std) == (teacher.mean, teacher.std):
        return View(teacher.size)
    scale = tuple(ours / theirs for ours, theirs in zip(run.std, teacher.std, strict=True))
    offset = tuple(
        (ours - theirs) / deviation for ours, theirs, deviation in zip(run.mean, teacher.mean, teacher.std, strict=True)
    )
    return View(teacher.size, scale, offset)


def described(view: View, run: PreprocessSpec) -> str:
    """Return how a teacher's view differs from the run's, a phrase; "" where it does not."""
    parts = ["its own mean and deviation"] * bool(view.scale)
    if view.size is not None and view.size != run.size:
        parts.append(f"{size_words(view.size)} pixels, enlarged or reduced from this run's views")
    return " and ".join(parts)
