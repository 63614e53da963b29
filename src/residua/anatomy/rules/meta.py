"""Operations without a rule: run on torch's meta device, under autograd's hooks and torch's own counter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from residua.anatomy.receptive_field import WHOLE, Field
from residua.anatomy.trace import Operation, Storage, Trace, Value


def run_on_meta(trace: Trace, function: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Run an operation without a rule on the meta device, and record what it made."""
    read = [item for item in _flat((args, kwargs)) if isinstance(item, Tensor)]
    values = [value for value in map(trace.known, read) if value is not None]
    if not values:
        result = function(*args, **kwargs)
        for tensor in _flat(result):
            # A constant made inside the network; weights and their views are none.
            if isinstance(tensor, Tensor) and tensor.device.type == "meta" and not read:
                storage = Storage(tensor.numel() * tensor.element_size())
                trace.give(tensor, Value(tuple(tensor.shape), storage, Field(), needs_grad=False))
        return result
    storages = {t.untyped_storage()._cdata: v.storage for t, v in ((t, trace.known(t)) for t in read) if v}
    weights = {t.untyped_storage()._cdata for t in read if trace.known(t) is None}
    kept: list[Storage] = []

    def pack(tensor: Tensor) -> Tensor:
        key = tensor.untyped_storage()._cdata
        if key not in weights:
            kept.append(storages.setdefault(key, Storage(tensor.untyped_storage().nbytes())))
            held.append(tensor)
        return tensor

    held: list[Tensor] = []
    name = getattr(function, "__name__", "call")
    in_place = name.endswith("_") and not name.endswith("__")
    if in_place:
        with torch.no_grad():
            result = function(*args, **kwargs)
    else:
        # Imported here: it takes as long as a whole pass, and few networks come this way.
        from torch.utils.flop_counter import FlopCounterMode

        twins = {id(t): t.detach().requires_grad_(v.needs_grad) for t in read if (v := trace.known(t))}
        held += twins.values()
        args, kwargs = _swapped(args, twins), _swapped(kwargs, twins)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t), FlopCounterMode(display=False) as counter:
            result = function(*args, **kwargs)
    outputs = [item for item in _flat(result) if isinstance(item, Tensor)]
    if not outputs:
        return result
    receptive_field = values[0].receptive_field
    for value in values[1:]:
        receptive_field = receptive_field.join(value.receptive_field)
    made = []
    for tensor in outputs:
        seen = receptive_field if tensor.dim() == 4 and tensor.shape[2:] == values[0].shape[2:] else WHOLE
        storage = storages.setdefault(tensor.untyped_storage()._cdata, Storage(tensor.untyped_storage().nbytes()))
        needs = any(value.needs_grad for value in values) or tensor.requires_grad
        value = Value(tuple(tensor.shape), storage, seen, needs and tensor.is_floating_point())
        made.append(value)
        trace.give(tensor, value)
    names = tuple(name for name in map(trace.weight, read) if name is not None)
    new = sum(value.numel for value in made if all(value.storage is not old.storage for old in values))
    trace.add(
        Operation(
            name.strip("_"),
            *trace.here,
            tuple(values),
            tuple(made),
            names,
            macs=0 if in_place else counter.get_total_flops() // 2,
            flops=new,
            kept=tuple(dict.fromkeys([made[0].storage] if in_place else kept)),
            view=not in_place and new == 0,
        )
    )
    trace._held += held
    return result


def _flat(item: Any) -> list[Any]:
    if isinstance(item, dict):
        item = list(item.values())
    return [leaf for part in item for leaf in _flat(part)] if isinstance(item, list | tuple) else [item]


def _swapped(item: Any, twins: dict[int, Tensor]) -> Any:
    if isinstance(item, dict):
        return {key: _swapped(part, twins) for key, part in item.items()}
    if isinstance(item, list | tuple) and type(item) in (list, tuple):
        return type(item)(_swapped(part, twins) for part in item)
    return twins.get(id(item), item)
