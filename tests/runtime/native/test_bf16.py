"""The bf16 products of the fused kernels against Winograd's formula in double precision, rounded where they round."""

from __future__ import annotations

import copy
import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from residua.families.build import build, spec_of
from residua.runtime import native
from residua.runtime.native import library
from residua.runtime.native.chain import IDENTITY, Shortcut, fused_chain

needs_kernels = pytest.mark.skipif(bool(native.reason()), reason=native.reason() or "kernels are there")
needs_bf16 = pytest.mark.skipif(not native.multiplies_bf16(), reason="this processor does not multiply in bf16")

# Lavin & Gray 2015, section 4.3: F(4x4, 3x3).
B = torch.tensor(
    [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0],
     [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]], dtype=torch.float64
)  # fmt: skip
G = torch.tensor(
    [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]], dtype=torch.float64
) / 24  # fmt: skip
A = torch.tensor(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], dtype=torch.float64
)

# Images, size, channels, and how far gradients may lie apart. A value on the border of two bf16 numbers may round the
# other way; the second of two layers makes more of that. What bf16 itself costs here is 0.06 to 0.2.
CASES: dict[str, tuple[int, tuple[int, int], list[int], float]] = {
    "16 channels": (3, (32, 32), [16, 16], 5e-3),
    "64 channels, a group cut short": (5, (8, 8), [64, 64], 5e-3),
    "an odd number of tiles": (3, (7, 9), [48, 48], 5e-3),
    "two layers": (3, (16, 16), [32, 16, 32], 5e-2),
}


def _rounded(x: Tensor) -> Tensor:
    return x.float().bfloat16().double()


def _tiles(x: Tensor, size: int) -> Tensor:
    """Return (N, C, down, across, size, size): tiles at distances of 4."""
    return x.unfold(2, size, 4).unfold(3, size, 4)


class _Rounding(torch.autograd.Function):
    """A 3x3 convolution in double precision, whose operands of the Winograd domain are rounded to bf16."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        height, width = x.shape[2:]
        down, across = -height % 4, -width % 4
        v = _rounded(B @ _tiles(F.pad(x, (1, 1 + across, 1, 1 + down)), 6) @ B.T)
        u = _rounded(G @ weight @ G.T)
        y = A @ torch.einsum("nctsij,ocij->notsij", v, u) @ A.T
        ctx.save_for_backward(v, u)
        return y.permute(0, 1, 2, 4, 3, 5).flatten(4, 5).flatten(2, 3)[:, :, :height, :width]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        v, u = ctx.saved_tensors
        height, width = gradient.shape[2:]
        d = _rounded(A.T @ _tiles(F.pad(gradient, (0, -width % 4, 0, -height % 4)), 4) @ A)
        of_weight = G.T @ torch.einsum("nctsij,notsij->ocij", v, d) @ G
        of_tiles = B.T @ torch.einsum("notsij,ocij->nctsij", d, u) @ B
        n, c, down, across = of_tiles.shape[:4]
        columns = of_tiles.permute(0, 1, 4, 5, 2, 3).reshape(n, c * 36, down * across)
        of_input = F.fold(columns, (4 * down + 2, 4 * across + 2), 6, stride=4)
        return of_input[:, :, 1 : height + 1, 1 : width + 1], of_weight


def _layers(channels: list[int]) -> nn.ModuleList:
    rows = []
    for inputs, outputs in itertools.pairwise(channels):
        norm = nn.BatchNorm2d(outputs)
        nn.init.normal_(norm.weight, 1, 0.3)
        rows.append(nn.ModuleList([nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False), norm]))
    return nn.ModuleList(rows)


def _reference(layers: nn.ModuleList, x: Tensor) -> Tensor:
    h = x
    for index, (conv, norm) in enumerate(layers):  # type: ignore[misc]
        h = norm(_Rounding.apply(F.relu(h) if index else h, conv.weight))
    return F.relu(h + x)


def _distance(ours: Tensor, theirs: Tensor) -> float:
    return ((ours.detach().double() - theirs.detach()).norm() / theirs.detach().norm()).item()


@needs_kernels
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients(case: str) -> None:
    images, size, channels, most = CASES[case]
    torch.manual_seed(0)
    layers = _layers(channels)
    double = copy.deepcopy(layers).double()
    x = torch.randn(images, channels[0], *size).to(memory_format=torch.channels_last)
    pattern = torch.randn(images, channels[-1], *size)
    ours, theirs = x.clone().requires_grad_(), x.double().requires_grad_()
    loaded = library.load()
    assert not isinstance(loaded, library.Unavailable)
    result = fused_chain(loaded, [(c, n) for c, n in layers], ours, Shortcut(IDENTITY), bf16=True)  # type: ignore[misc]
    expected = _reference(double, theirs)
    (result * pattern).sum().backward()
    (expected * pattern).sum().backward()
    assert _distance(result, expected) < most / 10
    assert ours.grad is not None
    assert theirs.grad is not None
    assert _distance(ours.grad, theirs.grad) < most
    for own, other in zip(layers.parameters(), double.parameters(), strict=True):
        assert own.grad is not None
        assert other.grad is not None
        assert _distance(own.grad, other.grad) < most


@needs_bf16
def test_autocast_to_bf16_takes_them_and_a_shortcut_of_its_own_dtype() -> None:
    torch.manual_seed(0)
    for edits in ({}, {"shortcut": "projection"}):
        model = build(spec_of("cifar_resnet8").edit(**edits)).to(memory_format=torch.channels_last).train()
        exact = copy.deepcopy(model).double()
        assert native.accelerate(model) == 4
        x = torch.randn(4, 3, 32, 32).to(memory_format=torch.channels_last)
        with torch.no_grad():
            wanted = exact(x.double())
        full = copy.deepcopy(model)(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(x)
        assert _distance(full.detach(), wanted) < 1e-5
        assert 1e-3 < _distance(logits.detach(), wanted) < 5e-2
        logits.float().logsumexp(1).sum().backward()
        assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())


@needs_bf16
def test_same_threads_same_bits() -> None:
    torch.manual_seed(0)
    layers = _layers([16, 16, 16])
    x = torch.randn(9, 16, 32, 32).to(memory_format=torch.channels_last)
    loaded = library.load()
    assert not isinstance(loaded, library.Unavailable)
    seen = []
    for _ in range(2):
        twin = copy.deepcopy(layers)
        fused_chain(loaded, [(c, n) for c, n in twin], x, Shortcut(IDENTITY), bf16=True).square().sum().backward()  # type: ignore[misc]
        seen.append([p.grad for p in twin.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*seen, strict=True) if a is not None and b is not None)


@needs_bf16
def test_the_form_without_the_instruction_gives_the_same(tmp_path: Path) -> None:
    """The portable form is what other processors compile; nothing calls it there, and it must not be wrong."""
    code = (
        "import sys, torch\n"
        "from residua.runtime import native\n"
        "from residua.runtime.native import library\n"
        "from residua.runtime.native.chain import IDENTITY, Shortcut, fused_chain\n"
        "torch.manual_seed(0)\n"
        "layers = [(torch.nn.Conv2d(16, 16, 3, 1, 1, bias=False), torch.nn.BatchNorm2d(16))]\n"
        "x = torch.randn(3, 16, 12, 12).to(memory_format=torch.channels_last)\n"
        "y = fused_chain(library.load(), layers, x, Shortcut(IDENTITY), bf16=True)\n"
        "y.square().sum().backward()\n"
        "torch.save([native.multiplies_bf16(), y.detach(), layers[0][0].weight.grad], sys.argv[1])\n"
    )
    outcomes = []
    for flags, name in (("", "with.pt"), (" -mno-avx512bf16", "without.pt")):
        compiler = os.environ.get("CXX", "c++") + flags
        environment = {**os.environ, "CXX": compiler, "RESIDUA_CACHE": str(tmp_path / "cache")} if flags else None
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path / name)], env=environment, check=False)
        assert done.returncode == 0
        outcomes.append(torch.load(tmp_path / name, weights_only=True))
    (fast, *ours), (slow, *theirs) = outcomes
    assert (fast, slow) == (True, False)
    for own, other in zip(ours, theirs, strict=True):
        assert _distance(own, other.double()) < 5e-3
