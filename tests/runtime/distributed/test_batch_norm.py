"""Synchronised batch normalisation: two processes with uneven slices compute what torch computes of the whole batch."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from residua.layers.inception import ShiftBatchNorm2d
from residua.runtime.distributed.batch_norm import SyncedBatchNorm2d, synchronise
from training.distributed.processes import PRELOADED

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(PRELOADED)
SLICES = (slice(0, 5), slice(5, 7))


def layers() -> nn.Module:
    torch.manual_seed(1)
    plain = nn.BatchNorm2d(4, momentum=0.3)
    nn.init.normal_(plain.weight)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), plain, nn.BatchNorm2d(4, momentum=None), ShiftBatchNorm2d(4, 1e-3, 0.1)
    ).double()


def pictures() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(7, 3, 6, 6).double() + 3


def computed(model: nn.Module, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Two training steps; the loss is a sum, whose gradients add over the slices."""
    for _ in range(2):
        out = model(images.requires_grad_())
        (out.square() * torch.arange(out.numel() / len(out)).reshape(1, 4, 4, 4)).sum().backward()
    assert images.grad is not None
    gradients = {f"gradient.{name}": p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {"out": out.detach(), "images": images.grad, **gradients, **dict(model.named_buffers())}


def _work(rank: int, folder: str) -> None:
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    model = layers()
    assert synchronise(model) == 3
    assert all(type(each) is SyncedBatchNorm2d for each in model[1:])
    torch.save(computed(model, pictures()[SLICES[rank]].clone()), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("norm")
    processes = [_SERVER.Process(target=_work, args=(rank, str(folder))) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        process.kill()
    assert [process.exitcode for process in processes] == [0, 0]
    return [torch.load(Path(folder) / f"{rank}.pt") for rank in (0, 1)]


def test_outputs_gradients_and_statistics_are_those_of_the_whole_batch(outcomes: list[dict[str, Any]]) -> None:
    expected = computed(layers(), pictures())
    for name, value in expected.items():
        if name in ("out", "images"):
            joined = torch.cat([each[name] for each in outcomes])
        elif name.startswith("gradient."):
            joined = outcomes[0][name] + outcomes[1][name]
        else:
            assert torch.equal(outcomes[0][name], outcomes[1][name]), name
            joined = outcomes[0][name]
        torch.testing.assert_close(joined, value, rtol=1e-9, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}")


def test_evaluation_and_state_are_torchs_own() -> None:
    model, plain = layers().eval(), layers().eval()
    synchronise(model)
    images = pictures()
    assert torch.equal(model(images), plain(images))
    assert model.state_dict().keys() == plain.state_dict().keys()
