"""One pass of a network over shapes: every operation, what it costs, and what a training step keeps of it.

No value is computed and no memory is taken. The shapes of the usual operations come from the formulas of
`residua.anatomy.rules.table`; whatever else a network calls runs on torch's meta device.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.overrides import TorchFunctionMode

from residua.anatomy.receptive_field import WHOLE, Field

FLOAT_BYTES = 4  # of float32, in which the books are kept


@dataclass(slots=True, eq=False)
class Storage:
    """A piece of memory. `preexisting`: whether it is there before the step, as the image and the weights are."""

    bytes: int
    preexisting: bool = False


@dataclass(slots=True, eq=False)
class Value:
    """A tensor of the pass: its shape, its memory, what it sees of the image, whether a gradient flows back to it."""

    shape: tuple[int, ...]
    storage: Storage
    receptive_field: Field
    needs_grad: bool

    @property
    def numel(self) -> int:
        return math.prod(self.shape)


@dataclass(slots=True, eq=False)
class Operation:
    """A call that made a tensor.

    Attributes:
        kind: the operation's name, such as "conv2d".
        module: the innermost module that made the call, by its name in the network.
        call: the number of that module's call, unique in the pass.
        inputs, outputs: what it read and made; an in-place operation's output has its input's storage.
        weights: the parameters that it read, by name.
        macs: multiply-accumulates of convolutions and matrix products.
        flops: all other arithmetic, as `residua.anatomy.rules.table` counts it.
        kept: what autograd keeps for the backward pass, weights and image left out.
        shares_grad: the inputs' gradients are the output's gradient, or views of it.
        window: kernel, stride and padding, (height, width) each, of a sliding window.
        groups: of a convolution.
        view: the output is the input's memory under another shape.
        part: the end point that it leads to.
        again: what autograd keeps only from the moment on when a checkpointed region is computed once more.
        region: the number of that region; 0 outside of any.
    """

    kind: str
    module: str
    call: int
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    weights: tuple[str, ...] = ()
    macs: int = 0
    flops: int = 0
    kept: tuple[Storage, ...] = ()
    shares_grad: bool = False
    window: tuple[tuple[int, int], ...] = ()
    groups: int = 1
    view: bool = False
    part: str = ""
    again: tuple[Storage, ...] = ()
    region: int = 0

    @property
    def allocated(self) -> int:
        """Bytes of the outputs that are memory of their own."""
        olds = [value.storage for value in self.inputs]
        return sum(value.storage.bytes for value in self.outputs if value.storage not in olds)


Rule = Callable[..., Any]


class Trace(TorchFunctionMode):
    """Records the operations of the calls inside it.

    Attributes:
        channels_last: the layout of the activations.
        operations: in the order of the calls.
        modules: id -> (name, module).
        image: what the network reads.
        logits: what it returned, one value a head.
        part: the end point that operations lead to from now on; set by whoever runs the network.
    """

    def __init__(
        self, network: nn.Module, weights: dict[int, str], rules: dict[Any, Rule], channels_last: bool
    ) -> None:
        super().__init__()
        self.channels_last = channels_last
        self.operations: list[Operation] = []
        self.image = Value((), Storage(0, preexisting=True), Field(), needs_grad=False)
        self.logits: tuple[Value, ...] = ()
        self.part = ""
        self.modules = {id(module): (path, module) for path, module in network.named_modules()}
        self._weights, self._rules = weights, rules
        self._known: dict[int, Value] = {}
        # Ids are compared, so nothing may be freed meanwhile.
        self._held: list[Tensor] = []
        self._regions: dict[int, tuple[int, Any, set[Storage]]] = {}
        self._stack: list[tuple[str, int]] = [("", 0)]
        self._calls = 0
        self._thread = threading.get_ident()
        self._handles: list[Any] = []

    def __enter__(self) -> Trace:
        self._handles = [
            hooks.register_module_forward_pre_hook(self._enter_module),
            hooks.register_module_forward_hook(self._leave_module),
        ]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for handle in self._handles:
            handle.remove()

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        rule = self._rules.get(function)
        if rule is not None:
            return rule(self, *args, **(kwargs or {}))
        return self._rules[None](self, function, args, kwargs or {})

    def known(self, tensor: Any) -> Value | None:
        """Return the value of a tensor of the pass, None for weights, buffers and numbers."""
        return self._known.get(id(tensor))

    def weight(self, tensor: Any) -> str | None:
        """Return the name of a parameter, None for anything else."""
        return self._weights.get(id(tensor))

    def give_weight(self, view: Tensor, weight: Tensor) -> Tensor:
        """Record that a tensor is a parameter under another shape."""
        self._weights[id(view)] = self._weights[id(weight)]
        self._held.append(view)
        return view

    def needs_grad(self, tensor: Any) -> bool:
        """Return whether a gradient flows to a tensor of the pass, or to a weight."""
        value = self.known(tensor)
        return value.needs_grad if value else self.weight(tensor) is not None and tensor.requires_grad

    def give(self, tensor: Tensor, value: Value) -> Tensor:
        """Record which value a tensor stands for."""
        self._known[id(tensor)] = value
        self._held.append(tensor)
        return tensor

    def give_image(self, image: Tensor) -> Tensor:
        """Mark a tensor as the image."""
        storage = Storage(image.numel() * image.element_size(), preexisting=True)
        self.image = Value(tuple(image.shape), storage, Field(), needs_grad=False)
        return self.give(image, self.image)

    def record(
        self,
        kind: str,
        inputs: Sequence[Any],
        shape: Sequence[int],
        *,
        receptive_field: Field | None = None,
        weights: Iterable[Any] = (),
        in_place: bool = False,
        view: bool = False,
        keeps: Callable[[tuple[Value, ...], Value], Iterable[Storage]] | None = None,
        **facts: Any,
    ) -> Tensor:
        """Record an operation with one output; return a tensor of shapes that stands for it.

        Args:
            kind: its name.
            inputs: tensors of the pass that it reads; others are left out.
            shape: of the output.
            receptive_field: what the output sees; None: what the inputs see.
            weights: tensors that may be parameters.
            in_place: the output is the first input.
            view: the output has the first input's memory.
            keeps: (inputs, output) -> what autograd keeps where a gradient flows.
            facts: `macs`, `flops`, `shares_grad`, `window`, `groups` of the operation.
        """
        values = tuple(value for value in map(self.known, inputs) if value is not None)
        named = [weight for weight in weights if id(weight) in self._weights]
        names = tuple(self._weights[id(weight)] for weight in named)
        needs = any(value.needs_grad for value in values) or any(weight.requires_grad for weight in named)
        shape = tuple(shape)
        storage = values[0].storage if in_place or view else Storage(math.prod(shape) * FLOAT_BYTES)
        if receptive_field is None:
            receptive_field = values[0].receptive_field if values else WHOLE
            for value in values[1:]:
                receptive_field = receptive_field.join(value.receptive_field)
        output = Value(shape, storage, receptive_field, needs)
        kept = tuple(keeps(values, output)) if keeps and needs else ()
        self.add(Operation(kind, *self._stack[-1], values, (output,), names, kept=kept, view=view, **facts))
        tensor = inputs[0] if in_place else torch.empty(shape, device="meta")
        return self.give(tensor, output)

    def add(self, operation: Operation) -> None:
        """Record an operation."""
        operation.part = self.part
        operation.kept = tuple(dict.fromkeys(storage for storage in operation.kept if not storage.preexisting))
        hooks = torch._C._autograd._top_saved_tensors_default_hooks(True)
        if hooks:
            self._checkpoint(operation, hooks)
        self.operations.append(operation)

    def _checkpoint(self, operation: Operation, hooks: Any) -> None:
        """Account for a checkpointed region, known by its hooks: it holds what it reads, and keeps what its backward
        needs later."""
        made = self._regions.setdefault(id(hooks[0]), (len(self._regions) + 1, hooks, set()))
        operation.region, operation.again = made[0], operation.kept
        read = [value.storage for value in operation.inputs]
        operation.kept = tuple(dict.fromkeys(s for s in read if not s.preexisting and s not in made[2]))
        made[2].update(value.storage for value in operation.outputs)

    @property
    def here(self) -> tuple[str, int]:
        """The module whose forward runs, and the number of its call."""
        return self._stack[-1]

    def _enter_module(self, module: nn.Module, args: Any) -> None:
        called = self.modules.get(id(module))
        if called is not None and threading.get_ident() == self._thread:
            self._calls += 1
            self._stack.append((called[0], self._calls))

    def _leave_module(self, module: nn.Module, args: Any, output: Any) -> None:
        if id(module) in self.modules and threading.get_ident() == self._thread:
            self._stack.pop()


def inputs_alone(values: tuple[Value, ...], output: Value) -> Iterable[Storage]:
    """State for `keeps` that the backward formula reads what the operation read."""
    return (value.storage for value in values)


def output_alone(values: tuple[Value, ...], output: Value) -> Iterable[Storage]:
    """State for `keeps` that the backward formula reads what the operation made."""
    return (output.storage,)
