"""Stochastic depth (Huang 2016, arXiv 1603.09382): draws, survival, the network in evaluation, exact resumption."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.ops import stochastic_depth

from peers.randomised import randomised
from residua._base.errors import InputError
from residua.anatomy import inspect
from residua.families.build import build
from residua.layers.stochastic_depth import StochasticDepth
from residua.runtime.native import accelerate, reason
from residua.specs.catalog import get_spec
from residua.training.loop import train


@pytest.mark.parametrize("mode", ["batch", "row"])
def test_it_is_torchvisions(mode: Any) -> None:
    x = torch.randn(64, 3, 4, 4)
    layer = StochasticDepth(0.3, mode)
    for seed in range(8):
        torch.manual_seed(seed)
        want = stochastic_depth(x, 0.3, mode, training=True)
        torch.manual_seed(seed)
        assert torch.equal(layer(x), want)
    assert layer.eval()(x) is x


def test_the_mean_of_many_draws_is_the_branch() -> None:
    torch.manual_seed(0)
    out = StochasticDepth(0.25, "row")(torch.ones(20_000, 1, 1, 1))
    assert out.mean().item() == pytest.approx(1, abs=0.02)
    assert sorted(out.unique().tolist()) == pytest.approx([0, 4 / 3])


def test_survival_falls_in_a_line_to_the_last_unit() -> None:
    """Unit l of L is dropped with l/L · (1 − p_L) (equation 4)."""
    network = build(get_spec("cifar_resnet20", stochastic_depth=0.5))
    drops = [unit.stochastic_depth.probability for unit in network.units()]
    assert drops == pytest.approx([0.5 * number / 9 for number in range(1, 10)])
    assert all(unit.stochastic_depth.mode == "batch" for unit in network.units())
    assert not [key for key in network.state_dict() if "stochastic" in key]


@torch.no_grad()
def test_evaluation_is_the_plain_network() -> None:
    torch.manual_seed(0)
    plain = randomised(build(get_spec("cifar_resnet8")))
    dropped = build(get_spec("cifar_resnet8", stochastic_depth=0.5)).double().eval()
    dropped.load_state_dict(plain.state_dict(), strict=True)
    image = torch.rand(2, 3, 16, 16, dtype=torch.float64)
    assert torch.equal(dropped(image), plain(image))


@torch.no_grad()
def test_a_dropped_unit_is_its_shortcut() -> None:
    torch.manual_seed(0)
    network = build(get_spec("cifar_resnet8_v2", stochastic_depth=0.9))
    unit = network.layer1[0].train()
    unit.stochastic_depth.probability = 1 - 1e-7
    x = torch.rand(4, 16, 8, 8)
    assert torch.equal(unit(x.clone()), x)


def test_networks_without_shortcuts_refuse_it() -> None:
    with pytest.raises(InputError, match=r"stochastic_depth=0\.5 with shortcut='none'"):
        get_spec("cifar_plain20", stochastic_depth=0.5)
    with pytest.raises(InputError, match=r"stochastic_depth=.*0 to below 1"):
        get_spec("cifar_resnet20", stochastic_depth=1.0)


def test_counts_stay() -> None:
    plain, dropped = inspect(get_spec("resnet50")), inspect(get_spec("resnet50", stochastic_depth=0.5))
    assert (dropped.params, dropped.macs) == (plain.params, plain.macs)
    assert dropped.layers[-1].receptive_field == plain.layers[-1].receptive_field


@pytest.mark.skipif(bool(reason()), reason=reason() or "kernels are there")
def test_the_fused_kernels_leave_such_units_to_torch() -> None:
    plain, dropped = (build(get_spec("cifar_resnet8", stochastic_depth=drop)) for drop in (0.0, 0.5))
    assert accelerate(plain) == 4, "the stem and three units"
    assert accelerate(dropped) == 1, "the stem alone"


def _weights(folder: Path) -> bytes:
    from residua.weights.open import load

    return b"".join(t.numpy().tobytes() for t in load(folder).model.state_dict().values())


@pytest.mark.parametrize("mode", ["batch", "row"])
def test_a_stopped_run_goes_on_bit_for_bit(mode: str, tmp_path: Path) -> None:
    """The draws are a function of the seed and the step: nothing of them is in the checkpoint."""
    from residua.training import loop
    from residua.training.trainer import Trainer

    fields: dict[str, Any] = {
        "model_edits": {"stochastic_depth": 0.5, "stochastic_depth_mode": mode, "gate": "independent"},
        "epochs": 1,
        "train_images": 320,
        "batch_size": 32,
        "image_size": 16,
        "checkpoint_every_steps": 3,
        "device": "cpu",
        "progress": False,
    }
    train("digits", "cifar_resnet8", out=tmp_path / "whole", **fields)

    class Stop(Exception):
        pass

    def stopped(self: Trainer, group: list[Any]) -> None:
        if self.global_step == 5:
            raise Stop
        step(self, group)

    step = Trainer.step
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(loop.Trainer, "step", stopped)
        with pytest.raises(Stop):
            train("digits", "cifar_resnet8", out=tmp_path / "cut", **fields)
    torch.manual_seed(123)
    train("digits", out=tmp_path / "cut", resume=True, progress=False)
    assert _weights(tmp_path / "cut") == _weights(tmp_path / "whole")


def test_it_compiles_in_one_graph_and_exports() -> None:
    torch.compiler.reset()
    torch.manual_seed(0)
    network = build(get_spec("cifar_resnet8", stochastic_depth=0.5, stochastic_depth_mode="row"))
    image = torch.rand(4, 3, 16, 16)
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    compiled.train()(image).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    exported = torch.export.export(network.eval(), (image,)).module()
    with torch.no_grad():
        assert torch.allclose(exported(image), network(image), rtol=1e-5)


def test_the_spec_goes_through_json() -> None:
    from residua.specs.schema import Spec

    spec = get_spec("cifar_resnet8", stochastic_depth=0.5)
    document = spec.to_json()
    assert Spec.from_json(document) == spec
    # Written before there was the field.
    assert Spec.from_json({key: value for key, value in document.items() if "stochastic" not in key}) == (
        dataclasses.replace(spec, stochastic_depth=0.0)
    )
