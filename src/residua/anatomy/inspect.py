"""`inspect`: run a network over shapes, and make its anatomy of what it called."""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from residua._base.errors import InputError
from residua._base.words import counted
from residua.anatomy.anatomy import Anatomy, Layer
from residua.anatomy.memory import Kernels, OptimizerName, inference_peak, training_memory
from residua.anatomy.rules.table import RULES
from residua.anatomy.trace import Operation, Storage, Trace, Value
from residua.families.build import outline, spec_of
from residua.families.network import Classifier
from residua.specs.fields import Span, checked
from residua.specs.schema import Spec

_LARGEST_SIDE = 65_535  # the largest that JPEG can hold
_LARGEST_BATCH = 1_000_000  # more than any memory holds
_LARGEST_SEARCHED = 1024  # a network that takes no image of this side takes none


def inspect(
    model: str | Spec | nn.Module,
    input_shape: Sequence[int] | None = None,
    *,
    batch: int = 1,
    training: bool = False,
    optimizer: OptimizerName = "sgd",
) -> Anatomy:
    """Lay a network open: layers, costs, memory, receptive fields. Nothing is computed, and no memory taken.

    Args:
        model: a name (`residua models` lists them), a spec, or a module that takes images.
        input_shape: (C, H, W); None: what the network was published for.
        batch: images, for everything in bytes.
        training: with the auxiliary heads that run in training only. Memory for training counts them always.
        optimizer: "sgd" with momentum, or "adam"; for the memory of a training step.

    Raises:
        InputError: an unknown name, a shape that is none, or a size of which the network leaves nothing: the smallest
            that it takes is named.
    """
    if optimizer not in ("sgd", "adam"):
        raise InputError(f"optimizer={optimizer!r}", "'sgd' or 'adam'", "Adam keeps two values a weight, SGD one")
    checked("batch", batch, Annotated[int, Span(1, _LARGEST_BATCH)], "Use 1 for one image")
    network = model if isinstance(model, nn.Module) else outline(spec_of(model))
    spec: Spec | None = getattr(network, "spec", None)
    shape = _shape(input_shape, spec)
    if isinstance(model, nn.Module):
        network = _shapes_of(model)
    # In training mode always: dropout and batch statistics are part of what a training step keeps.
    network.train()
    trace = _traced(network, shape, batch, training)
    steps = trace if training or not _has_aux(network) else _traced(network, shape, batch, True)
    weights = dict(network.named_parameters())
    sizes = {name: weight.numel() for name, weight in weights.items()}
    trained = {name: sizes[name] for name, weight in weights.items() if weight.requires_grad}
    leaves = {name: type(module).__name__ for name, module in trace.modules.values() if name and not module._modules}
    buffers = sum(buffer.numel() * buffer.element_size() for buffer in network.buffers())
    return Anatomy(
        name=spec.name if spec else type(network).__name__,
        paper=spec.paper if spec else "",
        input_shape=shape,
        batch=batch,
        layers=tuple(_layers(trace, sizes, batch, leaves)),
        buffer_bytes=buffers,
        inference_peak_bytes=inference_peak(trace.operations, trace.image.storage),
        training=training_memory(
            steps.operations,
            steps.logits,
            trained,
            sum(sizes.values()) - sum(trained.values()),
            buffers,
            steps.image.storage,
            batch,
            optimizer,
            Kernels(_is_channels_last(network), torch.get_num_threads()),
        ),
    )


def _traced(network: nn.Module, shape: tuple[int, int, int], batch: int, aux: bool) -> Trace:
    try:
        return _pass(network, shape, batch, aux)
    except (RuntimeError, ValueError, IndexError) as error:
        smallest = _smallest(network, shape, aux)
        refused = f"images of {_text(shape)} for {_name(network)}: {str(error).splitlines()[0]}"
        if smallest is None:
            raise InputError(
                refused, "an input that the network takes", "Leave input_shape=… out for its own"
            ) from error
        wanted = f"images of {smallest} pixels a side or more"
        raise InputError(refused, wanted, f"Use input_shape={_text((shape[0], smallest, smallest))}") from error


def _smallest(network: nn.Module, shape: tuple[int, int, int], aux: bool) -> int | None:
    """Return the smallest square that passes, by bisection: a network that takes a size takes every larger one."""

    def takes(side: int) -> bool:
        try:
            _pass(network, (shape[0], side, side), 2, aux)
        except (RuntimeError, ValueError, IndexError):
            return False
        return True

    if not takes(_LARGEST_SEARCHED):
        return None
    low, high = 0, _LARGEST_SEARCHED
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if takes(middle) else (middle, high)
    return high


def _pass(network: nn.Module, shape: tuple[int, int, int], batch: int, aux: bool) -> Trace:
    """Run the network over shapes, end point by end point where it has some."""
    names = {id(weight): name for name, weight in network.named_parameters()}
    image = torch.empty((batch, *shape), device="meta")
    trace = Trace(network, names, RULES, _is_channels_last(network))
    with trace:
        trace.give_image(image)
        outputs = list(_run(network, image, aux, trace))
    trace.logits = tuple(value for value in map(trace.known, outputs) if value is not None)
    return trace


def _shapes_of(network: nn.Module) -> nn.Module:
    """Copy a module onto the meta device, with shapes and no values; shared parameters stay shared."""
    memo: dict[int, Any] = {}
    for weight in network.parameters():
        memo[id(weight)] = nn.Parameter(torch.empty_like(weight, device="meta"), weight.requires_grad)
    for buffer in network.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    return copy.deepcopy(network, memo)


def _run(network: nn.Module, image: Tensor, aux: bool, trace: Trace) -> Iterator[Tensor]:
    if not isinstance(network, Classifier) or type(network).forward is not Classifier.forward:
        answer = network(image)
        yield from _tensors(answer)
        return
    heads = network.aux_heads() if aux else {}
    x = image
    for name, part in network.parts():
        trace.part = name
        x = part(x)
        if name in heads:
            trace.part = trace.modules[id(heads[name])][0]
            yield heads[name](x)
    for name, part in network.head_parts():
        trace.part = name
        x = part(x)
    yield x


def _tensors(answer: Any) -> list[Tensor]:
    if isinstance(answer, Tensor):
        return [answer]
    parts = answer.values() if isinstance(answer, Mapping) else answer if isinstance(answer, list | tuple) else ()
    return [tensor for part in parts for tensor in _tensors(part)]


def _layers(trace: Trace, sizes: Mapping[str, int], batch: int, leaves: Mapping[str, str]) -> Iterator[Layer]:
    """Group the operations of one call of a leaf into a layer; every other operation is one of its own, views left
    out."""
    counted: set[str] = set()
    kept: set[Storage] = set()
    names: Counter[str] = Counter()
    makers: dict[Storage, tuple[str, ...]] = {trace.image.storage: ("image",)}
    for operations in _calls(trace.operations, leaves):
        main = last = operations[-1]
        read = list(last.inputs)
        if len(operations) > 1:
            main = max(reversed(operations), key=lambda op: (op.macs > 0, bool(op.window), op.flops))
            inside = {id(value) for op in operations for value in op.outputs}
            read = [value for op in operations for value in op.inputs if id(value) not in inside]
        inputs = tuple(dict.fromkeys(name for value in read for name in makers.get(value.storage, ())))
        leaf = last.module in leaves
        if not leaf and last.view:
            continue
        name = last.module if leaf else f"{last.module}.{last.kind}()".lstrip(".")
        names[name] += 1
        if names[name] > 1:
            name = f"{name} ({names[name]})"
        for op in operations:
            for value in op.outputs:
                makers[value.storage] = (name,)
        weights = [w for op in operations for w in op.weights if w not in counted]
        counted.update(weights)
        keeps = {storage for op in operations for storage in op.kept} - kept
        kept |= keeps
        value = last.outputs[0]
        yield Layer(
            name,
            kind=_kind(main, leaves.get(last.module, "") if len(operations) > 2 else ""),
            operation=main.kind,
            part=last.part or re.sub(r"\.\d+$", "", last.module),
            inputs=inputs,
            output=value.shape[1:],
            window=main.window,
            groups=main.groups,
            params=sum(sizes[weight] for weight in dict.fromkeys(weights)),
            macs=sum(op.macs for op in operations) // batch,
            elementwise_flops=sum(op.flops for op in operations) // batch,
            activation_bytes=_new_bytes(operations),
            kept_bytes=sum(storage.bytes for storage in keeps),
            receptive_field=None if value.receptive_field.whole else value.receptive_field.size,
            stride=value.receptive_field.jump if len(value.shape) == 4 and not _is_point(value) else None,
        )
    unused: dict[str, int] = {}
    for name, size in sizes.items():
        if name not in counted:
            module = name.rpartition(".")[0]
            unused[module] = unused.get(module, 0) + size
    for module, size in unused.items():
        yield Layer(module, "not run", "unused", "not run", params=size, runs=False)


def _calls(operations: Sequence[Operation], leaves: Mapping[str, str]) -> Iterator[list[Operation]]:
    group: list[Operation] = []
    for operation in operations:
        if group and (operation.module not in leaves or operation.call != group[0].call):
            yield group
            group = []
        group.append(operation)
    if group:
        yield group


def _new_bytes(operations: Sequence[Operation]) -> int:
    """Return the bytes of a layer's output, where it is memory of its own and not that of its input."""
    output = operations[-1].outputs[0].storage
    return sum(op.allocated for op in operations if op.outputs[0].storage is output)


def _is_point(value: Value) -> bool:
    return value.receptive_field.whole and value.shape[2:] == (1, 1)


_WORDS = {
    "conv2d": "conv",
    "batch_norm": "batch norm",
    "max_pool2d": "max pool",
    "avg_pool2d": "average pool",
    "adaptive_avg_pool2d": "average pool",
    "cat": "concatenate",
    "mul": "multiply",
    "sub": "subtract",
}


def _kind(main: Operation, compound: str) -> str:
    """Describe a layer; a module that is more than a padded window goes by the name of its class."""
    if compound and not main.window:
        return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", compound).lower()
    words = _WORDS.get(main.kind, main.kind.replace("_", " "))
    if main.kind == "adaptive_avg_pool2d":
        words = "global average pool" if main.outputs[0].shape[2:] == (1, 1) else "adaptive average pool"
    if main.kind == "mean" and main.outputs[0].receptive_field.whole:
        words = "global average pool"
    if main.window:
        kernel, stride = main.window[:2]
        words += f" {kernel[0]}×{kernel[1]}"
        if stride != (1, 1):
            words += f" /{stride[0]}" if stride[0] == stride[1] else f" /{stride[0]}×{stride[1]}"
    return f"{words}, {main.groups} groups" if main.groups > 1 else words


def _shape(asked: Sequence[int] | None, spec: Spec | None) -> tuple[int, int, int]:
    if asked is None:
        if spec is None:
            raise InputError("a module without a spec, and no input_shape", "the shape of its images", "Say (3, H, W)")
        return spec.in_channels, spec.input_size, spec.input_size
    own = f"{_text((spec.in_channels, spec.input_size, spec.input_size))}" if spec else "3x224x224"
    if len(asked) != 3 or not all(_is_count(side, _LARGEST_SIDE) for side in asked):
        raise InputError(
            f"an input of {_text(asked)}",
            f"channels, height and width, each from 1 to {_LARGEST_SIDE:,}, such as {own}",
            "Leave it out for the network's own",
        )
    channels, height, width = (int(side) for side in asked)
    if spec and channels != spec.in_channels:
        raise InputError(
            f"an input of {_text(asked)} for {spec.name}, which reads {counted(spec.in_channels, 'channel')}",
            f"images of {counted(spec.in_channels, 'channel')}",
            f"Use input_shape={_text((spec.in_channels, height, width))}, or edit the spec's in_channels",
        )
    return channels, height, width


def _is_count(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def _text(shape: Sequence[int]) -> str:
    return "x".join(str(side) for side in shape)


def _name(network: nn.Module) -> str:
    spec: Spec | None = getattr(network, "spec", None)
    return spec.name if spec else type(network).__name__


def _has_aux(network: nn.Module) -> bool:
    return isinstance(network, Classifier) and bool(network.aux_heads())


def _is_channels_last(network: nn.Module) -> bool:
    """Return whether activations are channels-last, as our own networks lay them out on a CPU; others are taken to keep
    torch's default."""
    return isinstance(network, Classifier) and network.trains_channels_last
