"""The sanity check of a method of explanation: its maps must change when the network forgets what it learnt."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from residua.explanation.attribution import Attribution, Method, checked, evaluating, logits_of, settled
from residua.explanation.methods import METHODS, check_method
from residua.families.build import build
from residua.families.members import Member, members
from residua.families.network import Classifier

LIMIT = 0.5
"""A method fails from this rank correlation with the trained network's maps on. Our convention: the paper compares
them by eye."""

_WINDOW, _APART = 7, 0x5A17_0000


@dataclass(frozen=True)
class RandomisedLayer:
    """The similarity of the maps when the layers from the classifier down to this one have random weights.

    Attributes:
        layer: the last end point with random weights.
        rank_correlation: Spearman's over pixels, averaged over the images whose map is not constant; 0 where all are.
        similarity: SSIM, averaged over the images.
        constant: images whose map is now constant, and so has no ranks.
    """

    layer: str
    rank_correlation: float
    similarity: float
    constant: int


@dataclass(frozen=True)
class Sanity:
    """The result of a sanity check.

    Attributes:
        method: the name of the method.
        steps: one per layer made random, from the classifier to the stem.
        passed: whether the trained network's maps are not constant, and their rank correlation with those of the fully
            random network is, in absolute value, below `limit`.
        limit: the limit.
        reason: the reason for a failure, a sentence; "" where it passed.
    """

    method: str
    steps: tuple[RandomisedLayer, ...]
    passed: bool
    limit: float
    reason: str


def sanity(
    model: Classifier,
    images: Tensor,
    method: str | Method = "gradcam",
    targets: Tensor | None = None,
    *,
    seed: int = 0,
    limit: float = LIMIT,
) -> Sanity:
    """Randomise a network's layers from the classifier down, and compare the maps with those of the trained network.

    Adebayo et al. 2018, section 3.1 (cascading randomisation). A method whose maps stay like those of the trained
    network shows the image, as an edge detector does. It does not show what the network makes of it. The network given
    is left as it is: a copy forgets. Parameters and running statistics are drawn as the family starts them.

    Args:
        model: a trained network.
        images: (B, C, H, W), as the network sees them; ten or more give a steady mean.
        method: a name in `METHODS`, or a function like them.
        targets: (B,) int64 classes; by default those that the trained network predicts. They are the same in all steps.
        seed: seed of the random weights.
        limit: see `Sanity.passed`.

    Raises:
        InputError: an unknown method; errors of the method.
    """
    if isinstance(method, str):
        check_method(method)
    name = method if isinstance(method, str) else getattr(method, "__name__", type(method).__name__)
    explain = METHODS[method] if isinstance(method, str) else method
    images = checked(images)
    with evaluating(model):
        targets = settled(targets, logits_of(model, images))
    learnt = _maps(explain(model, images, targets))
    forgetting, fresh = copy.deepcopy(model), _fresh(model, seed)
    steps = []
    for member in reversed(members(model.spec)):
        tensors = _tensors(member, forgetting)
        if not tensors:
            continue
        values = fresh.state_dict()
        with torch.no_grad():
            for key, tensor in tensors.items():
                tensor.copy_(values[key])
        now = _maps(explain(forgetting, images, targets))
        pairs = list(zip(learnt, now, strict=True))
        varied = [rank_correlation(a, b) for a, b in pairs if np.ptp(b)]
        correlation = float(np.mean(varied)) if varied else 0.0
        alike = float(np.mean([structural_similarity(_scaled(a), _scaled(b)) for a, b in pairs]))
        steps.append(RandomisedLayer(member.name, correlation, alike, len(pairs) - len(varied)))
    reason = _objection(learnt, steps[-1].rank_correlation, limit)
    return Sanity(name, tuple(steps), not reason, limit, reason)


def rank_correlation(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """Return Spearman's correlation of two arrays of one shape, ties at their mean rank; 0 where one is constant."""
    x, y = (_ranks(array.ravel()) for array in (a, b))
    x, y = x - x.mean(), y - y.mean()
    norm = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / norm if norm else 0.0


def structural_similarity(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """Return the mean SSIM of two maps (H, W) whose values lie in 0..1.

    Wang et al. 2004, equation 13, with K1 = 0.01, K2 = 0.03, uniform windows of 7 × 7 (or the shorter side of smaller
    maps) inside the map, and sample variances.
    """
    side = min(_WINDOW, *a.shape)
    x, y = (torch.from_numpy(np.ascontiguousarray(array))[None, None] for array in (a, b))

    def mean(values: Tensor) -> Tensor:
        return F.avg_pool2d(values, side, stride=1)

    c1, c2 = 0.01**2, 0.03**2
    sample = side**2 / max(side**2 - 1, 1)
    mx, my = mean(x), mean(y)
    vx, vy, vxy = (sample * (mean(p * q) - mean(p) * mean(q)) for p, q in ((x, x), (y, y), (x, y)))
    ssim = (2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return float(ssim.mean())


def _objection(learnt: list[npt.NDArray[np.float64]], correlation: float, limit: float) -> str:
    if constant := sum(not np.ptp(values) for values in learnt):
        return f"{constant} of {len(learnt)} maps of the trained network are constant: they show nothing"
    if abs(correlation) >= limit:
        return f"maps of a fully random network still correlate with those of the trained one: {correlation:+z.2f}"
    return ""


def _fresh(model: Classifier, seed: int) -> Classifier:
    parameter = next(model.parameters())
    with torch.random.fork_rng(devices=[]):
        # Not the seed itself: the training may have begun from the draws of the same small seed.
        torch.manual_seed(_APART + seed)
        return build(model.spec).to(parameter.device, parameter.dtype)


def _tensors(member: Member, network: Classifier) -> dict[str, Tensor]:
    """Return the learnt tensors of a member: its parameters, and the statistics of their modules."""
    own = {name.rpartition(".")[0] for name in member.parameters}
    return {key: tensor for key, tensor in network.state_dict(keep_vars=True).items() if key.rpartition(".")[0] in own}


def _maps(attribution: Attribution) -> list[npt.NDArray[np.float64]]:
    return list(attribution.maps.detach().cpu().double().numpy())


def _scaled(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    top = values.max()
    return values / top if top > 0 else values


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    _, distinct, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: npt.NDArray[np.float64] = (last - (counts - 1) / 2)[distinct]
    return ranks
