"""Dividing a training's state between its processes: parameters, optimizer state, averages, the best weights."""

from __future__ import annotations

from dataclasses import asdict

from torch import Tensor

from residua.runtime.distributed.shards import Shards
from residua.training.state import State
from residua.training.step.optim import Average, build_optimizer, optimizer_tensors
from residua.training.trainer import Trainer


def divide_state(trainer: Trainer) -> Shards:
    """Give each process its share of the state of the first; return the shards, which the trainer has too.

    Before that, every process has a whole network, and the first one all of the state. It is the moment before there
    are gradients and activations.
    """
    group, recipe, model = trainer.group, trainer.plan.recipe, trainer.model
    trainer.state = State.from_dict(group.shared(lambda: asdict(trainer.state)))
    saved: dict[str, dict[str, Tensor]] = {}
    if group.main:
        averages = trainer.average.tensors if trainer.average else {}
        saved = {"optimizer": optimizer_tensors(trainer.optimizer), "average": averages, "best": trainer.best}
    shapes = group.shared(lambda: {kind: {n: v.shape for n, v in tensors.items()} for kind, tensors in saved.items()})
    shards = Shards(model)
    live = {name: value.detach() for name, value in model.state_dict().items()}

    def share(kind: str, name: str, like: Tensor) -> Tensor:
        if shapes[kind][name] != like.shape:
            # A counter, which optimizers keep on the CPU.
            return group.shared(lambda: saved[kind][name].cpu())
        return shards.divided(saved[kind].pop(name) if group.main else None, like)

    trainer.optimizer = build_optimizer(model, recipe, sharded=True)
    parameters = [each for entry in trainer.optimizer.param_groups for each in entry["params"]]
    for name in shapes["optimizer"]:
        index, key = name.split(".", 1)
        parameter = parameters[int(index)]
        trainer.optimizer.state[parameter][key] = share("optimizer", name, parameter.detach())
    if trainer.average:
        trainer.average = Average(model, recipe.ema_decay)
        trainer.average.restore({name: share("average", name, live[name]) for name in shapes["average"]})
    trainer.best = {name: share("best", name, live[name]) for name in shapes["best"]}
    trainer.shards = shards
    return shards
