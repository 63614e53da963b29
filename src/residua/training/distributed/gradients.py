"""Adding gradients over the processes of a run, while the backward pass still computes the next ones."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from residua.runtime.distributed.group import Group

_BUCKET_BYTES = 16e6  # large enough for the speed of the network, small enough to begin early


class Gradients:
    """Adds loss, gradients and running statistics over the processes of a group.

    Each process weighs its loss by its share of the batch's images, so that sums are those of one process. Gradients
    travel in buckets that never change, in one order. torch's DistributedDataParallel forms its buckets again after
    the first step, so that a resumed run would add in another order. The running statistics of batch normalisation are
    averaged by the same shares; so every process has the state that a checkpoint holds.

    Args:
        model: in training mode, with what stands still already taken out.
        group: with one process, nothing is added.
        average_statistics: False where all processes compute the same ones.
        sharded: whether each process will hold a part of the parameters. Then the backward pass adds their gradients
            itself, and here loss and statistics alone are added.
    """

    def __init__(
        self, model: nn.Module, group: Group, *, average_statistics: bool = True, sharded: bool = False
    ) -> None:
        self._group, self._sharded = group, sharded
        self._buckets: list[_Bucket] = []
        self._statistics: list[Tensor] = []
        self._armed, self._sent, self._head = False, 0, torch.zeros(0)
        self._works: list[dist.Work | None] = []
        self._share = 1.0
        if group.count == 1:
            return
        parameters = [each for each in reversed(list(model.parameters())) if each.requires_grad and not sharded]
        for part in _parts(parameters):
            bucket = _Bucket(part)
            self._buckets.append(bucket)
            for index, parameter in enumerate(part):
                arrived = functools.partial(self._arrived, bucket, index)
                parameter.register_post_accumulate_grad_hook(arrived)  # type: ignore[no-untyped-call]
        if average_statistics:
            moving = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training]
            self._statistics = [s for m in moving for s in (m.running_mean, m.running_var) if s is not None]

    def expect(self, loss: Tensor, share: float) -> None:
        """Begin the last backward pass of a step.

        Args:
            loss: scalar, this process's part of the step's loss.
            share: of the step's images that this process has, a fraction of 1.
        """
        if self._group.count == 1:
            return
        self._armed, self._sent = True, 0
        self._head = torch.cat([loss.reshape(1), *(each.flatten() * share for each in self._statistics)])
        self._works = [self._group.added(self._head)]

    def finish(self, loss: Tensor) -> Tensor:
        """Wait for all sums; return the loss of the step, a scalar, the same in every process."""
        if self._group.count == 1:
            return loss
        self._armed = False
        self._send(every=True)
        for work in self._works:
            if work is not None:
                work.wait()
        for bucket in self._buckets:
            bucket.install()
        start = 1
        for each in self._statistics:
            each.copy_(self._head[start : start + each.numel()].view_as(each))
            start += each.numel()
        return self._head[0].clone()

    def clip(self, parameters: Iterable[Tensor], limit: float) -> None:
        """Scale the gradients so that the norm of all together is at most `limit`."""
        parameters = list(parameters)
        if not self._sharded:
            nn.utils.clip_grad_norm_(parameters, limit)
            return
        parts = [each.grad.to_local() for each in parameters if each.grad is not None]  # type: ignore[attr-defined]
        square = torch.stack(torch._foreach_norm(parts, dtype=torch.float64)).square().sum()
        dist.all_reduce(square)
        # As torch does: the small number keeps a gradient of 0 from dividing by it.
        torch._foreach_mul_(parts, (limit / (square.sqrt() + 1e-6)).clamp(max=1.0))

    def _arrived(self, bucket: _Bucket, index: int, parameter: Tensor) -> None:
        if self._armed:
            bucket.take(index, parameter)
            self._send(every=False)

    def _send(self, *, every: bool) -> None:
        """Send the next buckets that are full, in the same order in every process."""
        while self._sent < len(self._buckets) and (every or not self._buckets[self._sent].missing):
            bucket = self._buckets[self._sent]
            bucket.fill()
            self._works.append(self._group.added(bucket.flat))
            self._sent += 1


class _Bucket:
    """Gradients of some parameters, side by side in one tensor."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = parameters
        size, first = sum(p.numel() for p in parameters), parameters[0]
        self.flat = torch.zeros(size, dtype=first.dtype, device=first.device)
        starts, start = [], 0
        for parameter in parameters:
            starts.append(start)
            start += parameter.numel()
        # The parameter's own strides: a fused optimizer wants gradients that lie as the parameters do.
        self.views = [
            self.flat[at : at + p.numel()].as_strided(p.size(), p.stride(), at)
            for at, p in zip(starts, parameters, strict=True)
        ]
        self.missing = set(range(len(parameters)))

    def take(self, index: int, parameter: Tensor) -> None:
        """Copy the gradient of the parameter at an index."""
        if parameter.grad is not None:
            self.views[index].copy_(parameter.grad)
            self.missing.discard(index)

    def fill(self) -> None:
        """Put zeros where this process has no gradient, and expect all again."""
        for index in self.missing:
            self.views[index].zero_()
        self.missing = set(range(len(self.parameters)))

    def install(self) -> None:
        """Make the sums the parameters' gradients."""
        for parameter, view in zip(self.parameters, self.views, strict=True):
            parameter.grad = view


def _parts(parameters: Sequence[Tensor]) -> list[list[Tensor]]:
    parts: list[list[Tensor]] = []
    size = 0
    for parameter in parameters:
        if not parts or size + parameter.nbytes > _BUCKET_BYTES or parameter.dtype != parts[-1][0].dtype:
            parts.append([])
            size = 0
        parts[-1].append(parameter)
        size += parameter.nbytes
    return parts
