"""What a training step needs of memory: the allocations of forward, backward and optimizer, replayed in their order.

For fp32 with torch's own (eager) kernels on a CPU; see docs/decisions/0091. The replay does what autograd does. It
keeps what the backward formulas read, and frees it when the last reader is done. Each gradient gets new memory unless
it is its output's; a second gradient is added into the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from residua.anatomy.trace import FLOAT_BYTES, Operation, Storage, Value

OptimizerName = Literal["sgd", "adam"]

# Moments that the optimizer keeps for each weight: SGD its momentum, Adam two.
_MOMENTS: dict[OptimizerName, int] = {"sgd": 1, "adam": 2}


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes of a training step, at the moment when it needs most.

    Attributes:
        batch: images.
        optimizer: "sgd" (with momentum) or "adam".
        parameters, buffers, optimizer_state: there all the time.
        images: the batch itself.
        gradients: of the weights, all of them, as they stand at the end of the backward pass.
        kept: what autograd keeps of the activations for the backward pass, all of it.
        workspace: the largest scratch memory of a single operation.
        peak: the most that is taken at one time. Less than the sum of the above: gradients come while activations go.
        peak_at: the operation at which that is.
    """

    batch: int
    optimizer: OptimizerName
    parameters: int
    buffers: int
    optimizer_state: int
    images: int
    gradients: int
    kept: int
    workspace: int
    peak: int
    peak_at: str


class _Meter:
    """Counts bytes up and down, and remembers the most."""

    def __init__(self, taken: int) -> None:
        self.taken, self.most, self.where = taken, taken, ""

    def take(self, size: int, where: str, scratch: int = 0) -> None:
        self.taken += size
        if self.taken + scratch > self.most:
            self.most, self.where = self.taken + scratch, where


def training_memory(
    operations: Sequence[Operation],
    logits: Sequence[Value],
    weights: Mapping[str, int],
    frozen: int,
    buffers: int,
    images: Storage,
    batch: int,
    optimizer: OptimizerName,
    kernels: Kernels,
) -> TrainingMemory:
    """Predict the memory of one training step after the first, its gradients freed before the forward pass.

    Args:
        operations: of the forward pass in training.
        logits: what the network returned; cross-entropy is taken of each.
        weights: name -> number of values, trainable ones.
        frozen: number of the values that are not trained.
        buffers: bytes of statistics and counters.
        images: the batch.
        batch: its images.
        optimizer: which moments are kept.
        kernels: what convolutions need besides.
    """
    total = sum(weights.values()) * FLOAT_BYTES
    state = total * _MOMENTS[optimizer]
    parameters = total + frozen * FLOAT_BYTES
    meter = _Meter(parameters + state + buffers + images.bytes)
    backward = _Backward(meter, weights, kernels)
    _forward(operations, meter, backward, kernels)
    kept = sum(storage.bytes for storage in {s for op in operations for s in op.kept})
    for value in logits:
        # Cross-entropy keeps the logarithms of the probabilities, and their gradient comes first.
        meter.take(2 * value.storage.bytes, "loss")
        backward.seed(value)
    regions: dict[int, list[Operation]] = {}
    for operation in operations:
        if operation.region:
            regions.setdefault(operation.region, []).append(operation)
    for operation in reversed(operations):
        backward.compute_again(regions.pop(operation.region, ()))
        backward.undo(operation)
    return TrainingMemory(
        batch,
        optimizer,
        parameters=parameters,
        buffers=buffers,
        optimizer_state=state,
        images=images.bytes,
        gradients=total,
        kept=kept,
        workspace=max((kernels.backward(op, backward.bytes_of(op)) for op in operations), default=0),
        peak=meter.most,
        peak_at=meter.where,
    )


def inference_peak(operations: Sequence[Operation], images: Storage) -> int:
    """Return the most bytes that the image and the activations take at one time where nothing is kept."""
    meter = _Meter(images.bytes)
    last = _last_reads(operations)
    for index, operation in enumerate(operations):
        if operation.kind == "dropout":
            continue
        meter.take(operation.allocated, operation.module)
        for storage in _storages(operation):
            if last[storage] == index and not storage.preexisting:
                meter.taken -= storage.bytes
    return meter.most


def _forward(operations: Sequence[Operation], meter: _Meter, backward: _Backward, kernels: Kernels) -> None:
    last = _last_reads(operations)
    alive = backward.alive
    for index, operation in enumerate(operations):
        touched = dict.fromkeys([*_storages(operation), *operation.kept])
        new = [storage for storage in touched if storage not in alive and not storage.preexisting]
        alive.update(new)
        size = sum(storage.bytes for storage in new)
        meter.take(size, operation.module, kernels.forward(operation, backward.bytes_of(operation)))
        backward.keep(operation.kept)
        for storage in touched:
            if last.get(storage, index) <= index and storage in alive and not backward.holds(storage):
                alive.discard(storage)
                meter.taken -= storage.bytes


def _storages(operation: Operation) -> list[Storage]:
    return [value.storage for value in (*operation.inputs, *operation.outputs)]


def _last_reads(operations: Sequence[Operation]) -> dict[Storage, int]:
    return {storage: index for index, operation in enumerate(operations) for storage in _storages(operation)}


@dataclass(frozen=True)
class Kernels:
    """The scratch memory of oneDNN's convolutions in fp32, as torch calls them; measured; see docs/decisions.

    Attributes:
        channels_last: the layout of the activations. The other one is brought into the kernels' own and back.
        threads: that compute.
    """

    channels_last: bool
    threads: int

    def forward(self, operation: Operation, weights: int) -> int:
        """Return the bytes besides the output, given the bytes of the weights."""
        if operation.kind != "conv2d" or _is_matrix_product(operation):
            return 0
        if _is_native(operation):
            return _unfolded(operation)
        return weights if self.channels_last else weights + operation.outputs[0].storage.bytes

    def backward(self, operation: Operation, weights: int) -> int:
        """Return the bytes besides the gradients of input and weights."""
        if operation.kind != "conv2d" or _is_matrix_product(operation):
            return 0
        if _is_native(operation):
            return _unfolded(operation)
        values = operation.inputs[0]
        if any(side < reach for side, reach in zip(values.shape[2:], operation.window[0], strict=True)):
            # No window fits into the image. Some processors have matrix products then, whose sums each thread makes for
            # itself, four times the weights; others twice the weights in all. This lies between the two.
            return 3 * self.threads * weights
        if self.channels_last:
            return 2 * weights
        return max(weights, values.storage.bytes + operation.outputs[0].storage.bytes)


def _is_matrix_product(operation: Operation) -> bool:
    kernel, stride, _ = operation.window
    return kernel == stride == (1, 1)


def _is_native(operation: Operation) -> bool:
    """Return whether torch leaves a convolution of one small image to its own kernel (ATen's Convolution.cpp)."""
    values = operation.inputs[0]
    return values.shape[0] == operation.groups == 1 and min(operation.window[0]) <= 3 and values.numel <= 20_480


def _unfolded(operation: Operation) -> int:
    """Return the bytes of the image with every window written out (im2col)."""
    kernel, shape = operation.window[0], operation.outputs[0].shape
    return FLOAT_BYTES * operation.inputs[0].shape[1] * kernel[0] * kernel[1] * shape[2] * shape[3]


class _Backward:
    """The gradients that are alive, and what the operations before still keep."""

    def __init__(self, meter: _Meter, weights: Mapping[str, int], kernels: Kernels) -> None:
        self.meter, self.weights, self.kernels = meter, weights, kernels
        self.alive: set[Storage] = set()
        self._keepers: Counter[Storage] = Counter()
        self._gradients: dict[int, Storage] = {}
        self._shared: Counter[Storage] = Counter()
        self._seen: set[str] = set()

    def bytes_of(self, operation: Operation) -> int:
        """Return the bytes of the operation's trained weights."""
        return FLOAT_BYTES * sum(self.weights.get(name, 0) for name in operation.weights)

    def keep(self, storages: Iterable[Storage]) -> None:
        for storage in storages:
            self._keepers[storage] += 1

    def holds(self, storage: Storage) -> bool:
        return self._keepers[storage] > 0

    def seed(self, value: Value) -> None:
        """Record that the gradient of the loss, counted already, arrives at a value."""
        self._arrive(value, Storage(value.storage.bytes))

    def compute_again(self, region: Sequence[Operation]) -> None:
        """Run a checkpointed region once more, now keeping what its backward formulas read."""
        for operation in region:
            new = [storage for storage in operation.again if storage not in self.alive]
            self.alive.update(new)
            self.keep(operation.again)
            self.meter.take(sum(storage.bytes for storage in new), operation.module)

    def undo(self, operation: Operation) -> None:
        """Run an operation's backward formula: gradients of its inputs and weights, then free what is done with."""
        arrived = [self._gradients.pop(id(value), None) for value in operation.outputs]
        gradients = [gradient for gradient in arrived if gradient is not None]
        if gradients:
            names = [name for name in operation.weights if name not in self._seen and name in self.weights]
            self._seen.update(names)
            scratch = self.kernels.backward(operation, self.bytes_of(operation))
            self.meter.take(FLOAT_BYTES * sum(self.weights[name] for name in names), operation.module, scratch)
            new = []
            for value in operation.inputs:
                if not value.needs_grad:
                    continue
                if operation.shares_grad and value.numel <= operation.outputs[0].numel:
                    new.append((value, gradients[0]))
                else:
                    gradient = Storage(value.numel * FLOAT_BYTES)
                    self.meter.take(gradient.bytes, operation.module, scratch)
                    new.append((value, gradient))
            for value, gradient in new:
                self._arrive(value, gradient)
        for storage in (*operation.kept, *operation.again):
            self._keepers[storage] -= 1
            self._free_kept(storage)
        for gradient in gradients:
            self._leave(gradient)

    def _free_kept(self, storage: Storage) -> None:
        if not self.holds(storage) and storage in self.alive:
            self.alive.discard(storage)
            self.meter.taken -= storage.bytes

    def _arrive(self, value: Value, gradient: Storage) -> None:
        first = self._gradients.get(id(value))
        if first is None:
            self._gradients[id(value)] = gradient
            self._shared[gradient] += 1
        elif self._shared[gradient] == 0:
            # Added into the first, then freed.
            self.meter.taken -= gradient.bytes

    def _leave(self, gradient: Storage) -> None:
        self._shared[gradient] -= 1
        if self._shared[gradient] == 0:
            self.meter.taken -= gradient.bytes
