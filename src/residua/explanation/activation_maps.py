"""Class activation maps: a layer's feature maps, weighted by their effect on a class."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from residua.explanation.attribution import Attribution, checked, evaluating, scores, settled
from residua.explanation.layers import target_layer
from residua.families.network import Classifier

Weigh = Callable[[Tensor, Tensor], Tensor]


def grad_cam(
    model: Classifier, images: Tensor, targets: Tensor | None = None, /, *, layer: str | None = None
) -> Attribution:
    """Compute Grad-CAM: ReLU(Σ_k w_k A^k) with w_k = mean over positions of ∂y/∂A^k, y the logit of the class.

    Selvaraju et al. 2017, section 3, equations 1 and 2. The network runs once; only the part behind the
    layer runs backwards.

    Args:
        model: the network.
        images: (B, C, H, W), as the network sees them.
        targets: (B,) int64 classes; by default the predicted.
        layer: an end point of the network; by default `target_layer` chooses.

    Returns:
        maps (B, H, W): the map, enlarged bilinearly; values (B, 1, h, w): before the ReLU.

    Raises:
        InputError: a layer or a class that the network does not have; a network without feature maps.
    """
    return _weighted(model, images, targets, layer, lambda _, gradient: gradient.mean((2, 3), keepdim=True))


def grad_cam_plus_plus(
    model: Classifier, images: Tensor, targets: Tensor | None = None, /, *, layer: str | None = None
) -> Attribution:
    """Compute Grad-CAM++: as Grad-CAM, with w_k = Σ_ij α^k_ij ReLU(∂Y/∂A^k_ij), for Y = exp(y), y the logit of the
    class.

    Chattopadhay et al. 2018, equations 12 and 19: α = g² / (2g² + Σ_ab A_ab g³) with g = ∂y/∂A, where the second
    derivatives of y vanish. For g > 0, where the ReLU is not 0, α is 1 / (2 + g Σ_ab A_ab). ∂Y/∂A is exp(y) g; the
    factor exp(y), which would overflow, is common to the map of an image and left out. For maps that are not rectified,
    Σ_ab A_ab takes their positive part, so that no denominator can vanish.

    Arguments, results and errors are those of `grad_cam`.
    """

    def weigh(maps: Tensor, gradient: Tensor) -> Tensor:
        rising = F.relu(gradient)
        share = 1 / (2 + rising * F.relu(maps).sum((2, 3), keepdim=True))
        return (share * rising).sum((2, 3), keepdim=True)

    return _weighted(model, images, targets, layer, weigh)


def _weighted(
    model: Classifier, images: Tensor, targets: Tensor | None, layer: str | None, weigh: Weigh
) -> Attribution:
    images = checked(images)
    height, width = images.shape[-2:]
    chosen = target_layer(model.spec, height, width, layer)
    with evaluating(model):
        parts = model.parts()
        with torch.no_grad():
            x = model.lay_out(images)
            for _, part in parts[: chosen.index + 1]:
                x = part(x)
        maps = x.detach().requires_grad_()
        # The next part may work in place, which autograd forbids for a tensor whose gradient is needed.
        x = maps.clone()
        for _, part in parts[chosen.index + 1 :]:
            x = part(x)
        logits = model.forward_head(x)
        targets = settled(targets, logits)
        (gradient,) = torch.autograd.grad(scores(logits, targets).sum(), maps)
    maps = maps.detach()
    values = (weigh(maps, gradient) * maps).sum(1, keepdim=True)
    enlarged = F.interpolate(F.relu(values), (height, width), mode="bilinear", align_corners=False)
    return Attribution(enlarged[:, 0], values, targets, logits.detach(), chosen.name)
