"""The optimizer, its parameter groups, and the learning rate as a pure function of the step."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Collection, Iterator, Mapping

import torch
from torch import Tensor, nn

from residua.families.members import classifier_tensors
from residua.training.recipe import Recipe
from residua.training.step.freeze import layer_scales
from residua.training.step.muon import Groups, Muon


def parameter_groups(model: nn.Module, recipe: Recipe) -> Groups:
    """Return the groups that decay and do not, by layer where the recipe has a `layer_decay`.

    Together they hold each trainable parameter exactly once. A group's `scale` multiplies its learning rate.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    scales: dict[str, float] = {}
    if recipe.layer_decay != 1:
        scales = layer_scales(model.spec, recipe.layer_decay)  # type: ignore[arg-type]
    head: Collection[str] = () if recipe.decay_head else classifier_tensors(model.spec)
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for spared in (False, True):
        for name, p in named:
            if (name in head or (p.ndim <= 1 and not recipe.decay_norm_and_bias)) == spared:
                decay = 0.0 if spared else recipe.weight_decay
                groups.setdefault((scales.get(name, 1.0), decay), []).append(p)
    held = [id(p) for group in groups.values() for p in group]
    if sorted(held) != sorted(id(p) for _, p in named):
        raise AssertionError("the parameter groups do not sum to the network")
    return [{"params": group, "weight_decay": decay, "scale": scale} for (scale, decay), group in groups.items()]


def build_optimizer(model: nn.Module, recipe: Recipe, *, sharded: bool = False) -> torch.optim.Optimizer:
    """Return the recipe's optimizer over the model's trainable parameters; `sharded`: each process has part of them."""
    groups = parameter_groups(model, recipe)
    # One kernel for all parameters; a loop over them costs as much as a small network's forward pass. torch has no
    # fused SGD of divided tensors.
    fused = not sharded and all(p.device.type in ("cpu", "cuda") for p in model.parameters())
    form = {"foreach": True} if sharded else {"fused": fused}

    def plain(kind: str, groups: Groups) -> torch.optim.Optimizer:
        if kind == "sgd":
            return torch.optim.SGD(
                groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=recipe.nesterov, **form
            )
        adam = torch.optim.AdamW if kind == "adamw" else torch.optim.Adam
        return adam(groups, lr=recipe.learning_rate, betas=(recipe.momentum, 0.999), eps=recipe.epsilon, **form)

    if recipe.optimizer != "muon":
        return plain(recipe.optimizer, groups)
    matrices, rest = _by_shape(model, recipe, groups)
    if not matrices:
        return plain(recipe.rest_optimizer, rest)
    return Muon(
        matrices,
        rest,
        lambda others: plain(recipe.rest_optimizer, others),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
    )


def _by_shape(model: nn.Module, recipe: Recipe, groups: Groups) -> tuple[Groups, Groups]:
    """Return the groups as weights of convolutions and inner layers, for Muon, and all else, the classifier among it.

    Muon's author leaves the classifier to another optimizer (Jordan 2024).
    """
    head = set(classifier_tensors(model.spec)) if hasattr(model, "spec") else set()
    classifier = {id(parameter) for name, parameter in model.named_parameters() if name in head}
    matrices: Groups = []
    rest: Groups = []
    for group in groups:
        inner = [p for p in group["params"] if p.ndim in (2, 4) and id(p) not in classifier]
        chosen = {id(p) for p in inner}
        others = [p for p in group["params"] if id(p) not in chosen]
        if inner:
            matrices.append({**group, "params": inner})
        if others:
            rest.append({**group, "params": others, "scale": group["scale"] * recipe.rest_rate})
    return matrices, rest


def learning_rate(recipe: Recipe, step: int, *, total_steps: int, steps_per_epoch: int) -> float:
    """Return the learning rate of optimizer step `step`, counted from 0. No state: resuming needs none.

    Goyal 2017 (section 2.2) for the linear warm-up, Loshchilov 2016 for the cosine, Smith 2018 for one cycle.
    """
    peak, last = recipe.learning_rate, recipe.final_learning_rate
    warmup = min(round(recipe.warmup_epochs * steps_per_epoch), total_steps)
    if step < warmup:
        done = (step + 1) / warmup
        return peak * (1 / 25 + (1 - 1 / 25) * done if recipe.schedule == "one_cycle" else done)
    done = (step - warmup) / max(1, total_steps - warmup)
    if recipe.schedule == "one_cycle":
        return peak + (last - peak) * done
    if recipe.schedule == "cosine":
        return last + (peak - last) * (1 + math.cos(math.pi * done)) / 2
    if recipe.schedule == "step":
        drops = recipe.milestone_steps or tuple(epoch * steps_per_epoch for epoch in recipe.milestones)
        passed = sum(step >= drop for drop in drops)
        factors = recipe.gamma * len(drops) if len(recipe.gamma) == 1 else recipe.gamma
        return peak * math.prod(factors[:passed])
    return peak


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Give every group this learning rate, times its own scale."""
    for group in optimizer.param_groups:
        group["lr"] = value * group["scale"]


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimizer's state as named tensors: "3.momentum_buffer" belongs to the fourth parameter."""
    return {
        f"{index}.{key}": value
        for index, parameter in enumerate(_parameters(optimizer))
        for key, value in optimizer.state[parameter].items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` returned."""
    parameters = _parameters(optimizer)
    for name, saved in tensors.items():
        index, key = name.split(".", 1)
        parameter = parameters[int(index)]
        if saved.shape == parameter.shape:
            # The parameter's strides: another memory order takes another code path, with other rounding.
            value = torch.empty_like(parameter, dtype=saved.dtype, requires_grad=False)
            value.copy_(saved)
        else:
            value = saved.to(parameter.device) if parameter.is_cuda else saved.clone()
        optimizer.state[parameter][key] = value


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


class Average:
    """An exponential moving average of a network's state (Polyak 1992), its statistics included.

    The decay grows with the step, (1 + t) / (10 + t) at first, so that the random start is soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        # References to the live tensors: asking the network for its state at every step would cost more.
        self._live = {name: value.detach() for name, value in model.state_dict().items()}
        self.tensors = {name: value.clone() for name, value in self._live.items()}
        self._moving = [name for name, value in self._live.items() if value.is_floating_point()]
        self._counts = [name for name in self._live if name not in self._moving]
        self._averages, self._values = self._parts(self.tensors), self._parts(self._live)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the network's state after optimizer step `step`, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._averages, self._values, 1 - decay)
        for name in self._counts:
            self.tensors[name].copy_(self._live[name])

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Let the network compute with the average inside; afterwards its own state is back, bit for bit."""
        own = {name: value.clone() for name, value in self._live.items()}
        self._load(self.tensors)
        try:
            yield
        finally:
            self._load(own)

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` held."""
        for name, value in tensors.items():
            self.tensors[name].copy_(value)

    def _parts(self, tensors: Mapping[str, Tensor]) -> list[Tensor]:
        """Return what moves of `tensors`; of those that are divided, this process's part."""
        values = [tensors[name] for name in self._moving]
        return [value.to_local() if hasattr(value, "to_local") else value for value in values]

    @torch.no_grad()
    def _load(self, tensors: Mapping[str, Tensor]) -> None:
        for name, value in tensors.items():
            self._live[name].copy_(value)
