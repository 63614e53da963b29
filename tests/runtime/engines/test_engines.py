"""Engines: one protocol, the same logits."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from residua._base.errors import InputError
from residua.families.build import build
from residua.runtime.compiling import compiled
from residua.runtime.engines.engine import open_engine
from residua.runtime.engines.names import ENGINES
from residua.specs.catalog import get_spec
from residua.training.step.kernels import compiled_steps


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return build(get_spec("cifar_resnet8"))


@pytest.mark.parametrize("name", ENGINES)
def test_engines_agree_with_the_network(name: str, network: torch.nn.Module) -> None:
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        want = network.eval()(images)
    network.train()
    engine = open_engine(network, name, device="cpu", shape=(4, 3, 32, 32))
    assert (engine.name, engine.precision, engine.device) == (name, "fp32", torch.device("cpu"))
    assert 0 < engine.opening_seconds < 300
    found = engine(images)
    assert found.dtype == torch.float32
    assert not found.requires_grad
    torch.testing.assert_close(found, want, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(engine(images[:3]), want[:3], rtol=1e-4, atol=1e-5)
    assert network.training, "the network was opened as a copy"


def test_without_a_compiler_the_compiled_engine_is_refused(
    network: torch.nn.Module, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from torch._inductor import config

    monkeypatch.setenv("CXX", str(tmp_path / "no-compiler"))
    torch.compiler.reset()
    with (
        config.patch({"cpp.cxx": config.cpp.cxx}),
        pytest.raises(InputError, match=r"engine='compiled'.*C\+\+ compiler.*engine='eager'"),
    ):
        open_engine(network, "compiled", device="cpu")(torch.zeros(5, 3, 32, 32))
    with (
        config.patch({"cpp.cxx": config.cpp.cxx}),
        pytest.raises(InputError, match=r"a run whose network is compiled.*C\+\+ compiler.*compile=False"),
    ):
        compiled_steps(torch.nn.Softplus())(torch.zeros(5, 2))


def test_bf16_gives_float32_logits(network: torch.nn.Module) -> None:
    images = torch.randn(4, 3, 32, 32)
    engine = open_engine(network, precision="bf16", device="cpu")
    want, found = open_engine(network, device="cpu")(images), engine(images)
    assert engine.precision == "bf16"
    assert found.dtype == torch.float32
    assert 0 < (found - want).abs().max() < 0.1 * want.abs().max()


def test_what_is_no_engine_is_refused(network: torch.nn.Module) -> None:
    with pytest.raises(InputError, match=r"engine='compild'.*'eager', 'compiled'.*compiled"):
        open_engine(network, "compild")
    with pytest.raises(InputError, match=r"precision='fp16'.*'fp32', 'bf16'"):
        open_engine(network, precision="fp16")


def test_a_compiled_network_runs_no_code_that_others_could_have_put_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._inductor import config

    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.delenv("CXX", raising=False)
    (tmp_path / "g++").write_text("#!/bin/sh\ntouch ran\n")
    (tmp_path / "g++").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f".:{os.environ['PATH']}")
    with config.patch({"cpp.cxx": config.cpp.cxx}):
        compiled(torch.nn.Linear(1, 1))
        assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "cache/compiled")
        assert (tmp_path / "cache/compiled").stat().st_mode & 0o077 == 0
        assert Path(config.cpp.cxx[1]).is_absolute()
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "own"))
        monkeypatch.setenv("PATH", ".")
        compiled(torch.nn.Linear(1, 1))
        assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "own")
        assert Path(config.cpp.cxx[1]).is_absolute()
        assert not (tmp_path / "ran").exists()
