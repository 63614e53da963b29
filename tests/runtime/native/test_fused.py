"""The fused kernels against eager PyTorch in double precision, and the ways around them."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from residua.families.build import build, spec_of
from residua.runtime import native
from residua.runtime.native import library
from residua.runtime.native.chain import GIVEN, IDENTITY, NO_SHORTCUT, PADDED, Shortcut, fused_chain

needs_kernels = pytest.mark.skipif(bool(native.reason()), reason=native.reason() or "kernels are there")

Layers = list[tuple[nn.Conv2d, nn.BatchNorm2d]]

CASES = {
    "stage 1": (5, (32, 32), [16, 16, 16], [3, 3], [1, 1], Shortcut(IDENTITY)),
    "stage 2": (5, (16, 16), [32, 32, 32], [3, 3], [1, 1], Shortcut(IDENTITY)),
    "stage 3, a group cut short": (13, (8, 8), [64, 64, 64], [3, 3], [1, 1], Shortcut(IDENTITY)),
    "zeros on both sides": (5, (32, 32), [16, 32, 32], [3, 3], [2, 1], Shortcut(PADDED, 2, 8)),
    "zeros after, odd size": (5, (15, 13), [32, 64, 64], [3, 3], [2, 1], Shortcut(PADDED, 2, 0)),
    "no multiple of the tile": (3, (7, 9), [16, 48, 16], [3, 3], [1, 1], Shortcut(IDENTITY)),
    "plain": (1, (8, 8), [64, 64, 64], [3, 3], [1, 1], Shortcut(NO_SHORTCUT)),
    "bottleneck": (3, (14, 14), [64, 32, 32, 128], [1, 3, 1], [1, 1, 1], Shortcut(GIVEN)),
    "bottleneck, stride in the 3x3": (3, (15, 13), [64, 48, 48, 128], [1, 3, 1], [1, 2, 1], Shortcut(GIVEN)),
    "stem 3x3": (5, (32, 32), [3, 16], [3], [1], Shortcut(NO_SHORTCUT)),
    "stem 7x7": (2, (57, 56), [3, 64], [7], [2], Shortcut(NO_SHORTCUT)),
}


def _layers(channels: list[int], kernels: list[int], strides: list[int]) -> nn.ModuleList:
    rows = []
    for inputs, outputs, kernel, stride in zip(channels, channels[1:], kernels, strides, strict=False):
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        norm = nn.BatchNorm2d(outputs)
        nn.init.normal_(norm.weight, 1, 0.3)
        nn.init.normal_(norm.bias, 0, 0.3)
        rows.append(nn.ModuleList([conv, norm]))
    return nn.ModuleList(rows)


def _eager(layers: Layers, x: Tensor, shortcut: Shortcut, given: Tensor | None) -> Tensor:
    h = x
    for index, (conv, norm) in enumerate(layers):
        h = norm(conv(F.relu(h) if index else h))
    if shortcut.kind == IDENTITY:
        h = h + x
    elif shortcut.kind == PADDED:
        around = x[:, :, :: shortcut.stride, :: shortcut.stride]
        h = h + F.pad(around, (0, 0, 0, 0, shortcut.before, h.shape[1] - around.shape[1] - shortcut.before))
    elif given is not None:
        h = h + given
    return F.relu(h)


@needs_kernels
@pytest.mark.parametrize(
    ("case", "offset"), [(case, 0.0) for case in CASES] + [("stage 1", 20.0), ("bottleneck", 20.0)]
)
def test_values_gradients_and_running_statistics(case: str, offset: float) -> None:
    images, size, channels, kernels, strides, shortcut = CASES[case]
    torch.manual_seed(0)
    single = _layers(channels, kernels, strides)
    double = copy.deepcopy(single).double()
    x = (torch.randn(images, channels[0], *size) + offset).to(memory_format=torch.channels_last)
    with torch.no_grad():
        pattern = torch.randn_like(_eager([(c, n) for c, n in copy.deepcopy(single)], x, Shortcut(), None))
    found = {}
    for net, dtype in ((single, torch.float32), (double, torch.float64)):
        inputs = x.to(dtype).clone().requires_grad_(channels[0] % 16 == 0)
        given = pattern.flip(0).to(dtype).clone().requires_grad_() if shortcut.kind == GIVEN else None
        layers = [(conv, norm) for conv, norm in net]
        if dtype == torch.float32:
            loaded = library.load()
            assert not isinstance(loaded, library.Unavailable)
            out = fused_chain(loaded, layers, inputs, shortcut, given)
            assert out.is_contiguous(memory_format=torch.channels_last)
        else:
            out = _eager(layers, inputs, shortcut, given)
        out.backward(pattern.to(dtype))
        found[dtype] = {"out": out.detach(), **dict(net.named_buffers())}
        found[dtype] |= {name: p.grad for name, p in net.named_parameters()}
        if inputs.requires_grad:
            found[dtype]["input"] = inputs.grad
        if given is not None:
            found[dtype]["given"] = given.grad
    for name, wanted in found[torch.float64].items():
        error = (found[torch.float32][name].double() - wanted).norm() / wanted.double().norm()
        assert error < (1e-4 if offset else 1e-5), f"{name}: relative error {error:.1e}"


def _network(name: str = "cifar_resnet8", **edits: object) -> nn.Module:
    torch.manual_seed(0)
    return build(spec_of(name, num_classes=5, **edits)).to(memory_format=torch.channels_last).train()


def _gradients(model: nn.Module, x: Tensor) -> list[Tensor]:
    model.zero_grad()
    model(x).logsumexp(1).sum().backward()
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


@needs_kernels
@pytest.mark.parametrize(
    ("name", "edits", "count"),
    [
        ("cifar_resnet8", {}, 4),
        ("cifar_plain8", {}, 4),
        ("resnet18", {}, 3),
        ("resnet50", {}, 3),
        ("resnet50", {"end_points": "slim"}, 3),
        # Dilation, SAME padding, biases, other orders, gates and deep stems are left to torch.
        ("cifar_resnet8", {"output_stride": 2}, 3),
        ("cifar_resnet8", {"padding": "same"}, 2),
        ("cifar_resnet8_keras", {}, 0),
        ("resnet50_keras", {}, 0),
        ("resnet50_v2_slim", {"output_stride": 8}, 0),
        ("senet154", {"head_dropout": 0.0}, 0),
    ],
)
def test_a_network_trains_as_it_did(name: str, edits: dict[str, object], count: int) -> None:
    # Depth makes single-precision gradients chaotic, so one unit a stage for the wide ones.
    plain = _network(name, **edits) if name.startswith("cifar") else _network(name, depths=(1, 1, 1, 1), **edits)
    fast = copy.deepcopy(plain)
    assert native.accelerate(fast) == count
    assert native.accelerate(fast) == count, "twice is once"
    torch.manual_seed(1)
    x = torch.randn(4, 3, 32, 32).to(memory_format=torch.channels_last)
    for one, two in zip(_gradients(plain, x), _gradients(fast, x), strict=True):
        assert (one - two).norm() <= 1e-3 * one.norm() + 1e-6
    for (key, one), two in zip(plain.state_dict().items(), fast.state_dict().values(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5, msg=key)


@needs_kernels
def test_same_threads_same_bits() -> None:
    x = torch.randn(9, 3, 32, 32).to(memory_format=torch.channels_last)
    runs = []
    for _ in range(2):
        model = _network()
        native.accelerate(model)
        runs.append([*_gradients(model, x), *_gradients(model, x), *model.state_dict().values()])
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


@needs_kernels
def test_copies_pickles_and_release_leave_the_model_intact() -> None:
    model = _network()
    keys, text = list(model.state_dict()), repr(model)
    native.accelerate(model)
    assert list(model.state_dict()) == keys
    assert repr(model) == text
    x = torch.randn(3, 3, 32, 32).to(memory_format=torch.channels_last)
    clone, thawed = copy.deepcopy(model), pickle.loads(pickle.dumps(model))
    wanted = _gradients(model, x)
    for other in (clone, thawed):
        assert all(torch.equal(a, b) for a, b in zip(wanted, _gradients(other, x), strict=True))
    assert next(clone.parameters()) is not next(model.parameters())
    assert native.release(model) == 4
    assert not any(type(m).__name__.startswith("Native") for m in model.modules())


@needs_kernels
def test_other_calls_take_the_ordinary_way(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _network()
    plain = copy.deepcopy(model)
    native.accelerate(model)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the kernels were called")

    monkeypatch.setattr("residua.runtime.native.swap.fused_chain", refuse)
    x = torch.randn(2, 3, 32, 32)
    with pytest.raises(AssertionError, match="called"):
        model(x)
    assert torch.equal(model.eval()(x), plain.eval()(x))
    model.train(), plain.train()
    with torch.no_grad():
        assert torch.equal(model(x), plain(x))
    monkeypatch.setattr("residua.runtime.native.swap._autocast_is_ours", lambda: False)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(model(x), plain(x))
    assert torch.equal(copy.deepcopy(model).double()(x.double()), copy.deepcopy(plain).double()(x.double()))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    model(x)
    model.train()
    seen: list[int] = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda *_: seen.append(1))
    model(x)
    assert len(seen) == sum(isinstance(m, nn.Conv2d) for m in model.modules())


@needs_kernels
def test_what_is_not_a_number_shows() -> None:
    model = _network()
    native.accelerate(model)
    x = torch.randn(4, 3, 32, 32)
    x[1, 0, 5, 5] = torch.inf
    assert model(x).isnan().any()
    deep = _network("resnet18", depths=(1, 1, 1, 1))
    native.accelerate(deep)
    with pytest.raises(ValueError, match="more than 1 value"):
        deep(torch.randn(1, 3, 32, 32))


@needs_kernels
def test_cumulative_and_absent_running_statistics() -> None:
    loaded = library.load()
    assert not isinstance(loaded, library.Unavailable)
    for options in ({"momentum": None}, {"track_running_stats": False}, {"momentum": 0.3}):
        torch.manual_seed(0)
        conv, norm = nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16, **options)  # type: ignore[arg-type]
        twin = copy.deepcopy(norm)
        for _ in range(3):
            x = torch.randn(4, 16, 8, 8)
            fused_chain(loaded, [(conv, norm)], x, Shortcut())
            twin(conv(x))
        for name, buffer in norm.named_buffers():
            torch.testing.assert_close(buffer, twin.get_buffer(name), rtol=1e-5, atol=1e-6)


@needs_kernels
def test_without_a_compiler_nothing_changes_and_the_reason_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "from residua.families.build import build, spec_of\n"
        "from residua.runtime import native\n"
        "model = build(spec_of('cifar_resnet8'))\n"
        "print(native.accelerate(model), type(model).__name__, native.reason())\n"
    )
    for change, words in (
        ({"PATH": str(tmp_path)}, "no C++ compiler"),
        ({"CXX": "false"}, "false failed"),
    ):
        environment = {**os.environ, "RESIDUA_CACHE": str(tmp_path), **change}
        environment.pop("CXX", None) if "CXX" not in change else None
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.startswith("0 Network ")
        assert words in done.stdout


@needs_kernels
def test_two_processes_build_at_once(tmp_path: Path) -> None:
    code = "from residua.runtime.native import reason\nprint(repr(reason()))"
    environment = {**os.environ, "RESIDUA_CACHE": str(tmp_path)}
    processes = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [p.communicate(timeout=120)[0].strip() for p in processes] == ["''", "''"]
    assert [p.suffix for p in (tmp_path / "native").iterdir()] == [".so"]
