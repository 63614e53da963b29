"""The PyTorch article's ResNets, read independently: tensors under its positional names, and what they compute."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]

# Units per stage as the article's loop makes them: one more than asked for in the first.
UNITS = {18: (3, 2, 2, 2), 34: (4, 4, 6, 3)}
CHANNELS = (64, 64, 128, 256, 512)


def shapes(depth: int, classes: int = 10) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the tensors in the order of a state dict: the children of one Sequential, numbered."""
    yield from (("0.0.weight", (64, 3, 7, 7)), ("0.0.bias", (64,)))
    for stage, units in enumerate(UNITS[depth], 1):
        for unit in range(units):
            before = CHANNELS[stage - 1] if unit == 0 else CHANNELS[stage]
            width, at = CHANNELS[stage], f"{stage}.{unit}"
            layers = [("conv1", (width, before, 3, 3))]
            if stage > 1 and unit == 0:
                layers.append(("conv3", (width, before, 1, 1)))
            layers += [("bn1", (width,)), ("conv2", (width, width, 3, 3)), ("bn2", (width,))]
            for name, shape in layers:
                yield from ((f"{at}.{name}.weight", shape), (f"{at}.{name}.bias", (width,)))
                if name.startswith("bn"):
                    yield from ((f"{at}.{name}.running_mean", (width,)), (f"{at}.{name}.running_var", (width,)))
                    yield f"{at}.{name}.num_batches_tracked", ()
    yield from (("7.weight", (classes, 512)), ("7.bias", (classes,)))


def drawn(depth: int, classes: int = 10, seed: int = 0) -> State:
    """Return random tensors, none at a default that could hide a difference, in float64."""
    generator = torch.Generator().manual_seed(seed)
    state: State = {}
    for name, shape in shapes(depth, classes):
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(5)
        elif len(shape) > 1:
            fan_in = torch.Size(shape[1:]).numel()
            state[name] = torch.randn(shape, generator=generator, dtype=torch.float64) * (2 / fan_in) ** 0.5
        elif name.endswith((".weight", "running_var")):
            state[name] = torch.rand(shape, generator=generator, dtype=torch.float64) * 0.8 + 0.6
        else:
            state[name] = torch.randn(shape, generator=generator, dtype=torch.float64) * 0.2
    return state


def forward(state: State, images: Tensor, training: bool) -> Tensor:
    """Return the logits; in training the batch is normalised by itself, and running statistics move in place."""

    def conv(x: Tensor, name: str, stride: int = 1, padding: int = 1) -> Tensor:
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], stride, padding)

    def norm(x: Tensor, name: str) -> Tensor:
        mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return F.batch_norm(x, mean, variance, state[f"{name}.weight"], state[f"{name}.bias"], training, 0.1, 1e-5)

    x = F.max_pool2d(F.relu(conv(images, "0.0", 2, 3)), 3, 2, 1)
    for stage in range(1, 5):
        unit = 0
        while f"{stage}.{unit}.conv1.weight" in state:
            at = f"{stage}.{unit}"
            projects = f"{at}.conv3.weight" in state
            y = F.relu(norm(conv(x, f"{at}.conv1", 2 if projects else 1), f"{at}.bn1"))
            y = norm(conv(y, f"{at}.conv2"), f"{at}.bn2")
            x = F.relu((conv(x, f"{at}.conv3", 2, 0) if projects else x) + y)
            unit += 1
    return F.linear(x.mean((2, 3)), state["7.weight"], state["7.bias"])


def under_our_names(state: State) -> State:
    """Return the tensors under the names of `residua.families.resnet`."""
    layers = {"conv3": "downsample.0"}
    renamed = {}
    for name, tensor in state.items():
        first, *rest = name.split(".")
        if first == "0":
            renamed[f"conv1.{rest[-1]}"] = tensor
        elif first == "7":
            renamed[f"fc.{rest[-1]}"] = tensor
        else:
            unit, layer, leaf = rest
            renamed[f"layer{first}.{unit}.{layers.get(layer, layer)}.{leaf}"] = tensor
    return renamed
