"""Weights of another form of the network that was named: by name it takes their form, and what was asked for stands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from residua._base.errors import InputError
from residua.families.build import build, outline
from residua.specs.catalog import get_spec, list_models
from residua.training.loop import train
from residua.weights.create import create_model
from residua.weights.identity import Target
from residua.weights.named.resolve import resolve
from residua.weights.named.transfer import load_weights
from residua.weights.open import load
from weights.bundles import save_tiny, tiny_model, tiny_spec

NAME = "cifar_resnet8"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file as pytorch_resnet_cifar10 writes it: its shortcuts add zeros on both sides of the channels."""
    torch.manual_seed(2)
    state = build(get_spec(NAME, shortcut="pad_both")).state_dict()
    torch.save({name.replace("fc.", "linear."): tensor for name, tensor in state.items()}, tmp_path / "w.th")
    return tmp_path / "w.th"


@torch.no_grad()
def test_a_network_by_name_takes_the_form_of_its_weights(file: Path) -> None:
    network = create_model(NAME, weights=file)
    assert network.spec == get_spec(NAME, shortcut="pad_both")
    assert network.provenance is not None
    assert network.provenance.form == (("shortcut", "pad_both"),)
    assert "which decide what the network's name leaves open: shortcut='pad_both'" in str(network.provenance)
    torch.manual_seed(2)
    wanted, image = build(network.spec).eval(), torch.randn(1, 3, 32, 32)
    assert torch.equal(network.eval()(image), wanted(image))


def test_what_was_asked_for_otherwise_is_refused(file: Path) -> None:
    words = r"differs: shortcut 'pad_both' there, 'pad' here.*Build cifar_resnet8 with shortcut='pad_both'"
    with pytest.raises(InputError, match=words):
        create_model(NAME, weights=file, shortcut="pad")
    with pytest.raises(InputError, match=words):
        create_model(get_spec(NAME), weights=file)
    with pytest.raises(InputError, match=words):
        load_weights(build(get_spec(NAME)), resolve(file, Target.of(NAME)))
    assert create_model(NAME, weights=file, shortcut="pad_both").provenance.form == ()  # type: ignore[union-attr]


def test_a_strangers_checkpoint(reference_file: Callable[[str], Path]) -> None:
    path = reference_file("data/pytorch_resnet_cifar10-resnet20.th")
    assert create_model("cifar_resnet20", weights=path).spec.shortcut == "pad_both"  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="shortcut"):
        create_model(get_spec("cifar_resnet20"), weights=path)


def test_a_run_records_the_form_and_resumes_by_name(file: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {
        "epochs": 1,
        "max_steps": 2,
        "min_steps": 1,
        "kernels": "eager",
        "progress": False,
        "weights": file,
    }
    run = train("digits", NAME, out=tmp_path / "run", **asked)
    assert run.spec.shortcut == "pad_both"  # type: ignore[attr-defined]
    again = train("digits", NAME, out=tmp_path / "run", resume=True, **asked)
    assert again.weights_sha256 == run.weights_sha256
    with pytest.raises(InputError, match="shortcut"):
        train("digits", NAME, out=tmp_path / "other", model_edits={"shortcut": "pad"}, **asked)
    assert not (tmp_path / "other").exists()


def test_runs_settle_the_form_too_and_other_networks_are_refused(tmp_path: Path) -> None:
    save_tiny(tmp_path / "run", tiny_model(shortcut="pad_both"))
    network = create_model("cifar_resnet8", weights=tmp_path / "run", num_classes=5)
    assert network.spec == tiny_spec(shortcut="pad_both", num_classes=5)
    with pytest.raises(InputError, match="holds a cifar_resnet8 for a cifar_resnet14"):
        create_model("cifar_resnet14", weights=tmp_path / "run")
    assert load(tmp_path / "run", NAME).spec == tiny_spec(shortcut="pad_both")


def test_edits_that_leave_the_weights_their_meaning_load(tmp_path: Path) -> None:
    save_tiny(tmp_path / "run")
    edits = {
        "output_stride": 2,
        "global_pool": False,
        "init": "he_truncated",
        "end_points": "keras",
        "head_dropout": 0.5,
    }
    for name in (tiny_spec(), NAME):
        network = create_model(name, weights=tmp_path / "run", num_classes=3, **edits)  # type: ignore[arg-type]
        assert {key: getattr(network.spec, key) for key in edits} == edits
    dense = tiny_spec(output_stride=2, global_pool=False)
    assert load(tmp_path / "run", dense).spec == dense
    # By name a run's own stride is kept; a spec asks for its own.
    save_tiny(tmp_path / "dense", tiny_model(output_stride=2))
    network = create_model(NAME, num_classes=3, weights=tmp_path / "dense")
    assert network.spec == tiny_spec(output_stride=2)
    assert create_model(tiny_spec(), weights=tmp_path / "dense").spec.output_stride == 0  # type: ignore[attr-defined]


# Another value of every field that is said to change nothing that is computed from given weights.
OTHERS: dict[str, Any] = {
    "end_points": {"cifar_resnet8": "keras", "googlenet_bn": "caffe"},
    "init": "glorot_uniform",
    "initial": {"googlenet_bn": "xavier", "inception_v3": "normal"},
    "init_std": 0.5,
    "init_small_std": 0.5,
    "init_small": (1,),
    "init_bias": 0.5,
    "init_bias_layers": (1, 2),
    "zero_init_last_bn": True,
    "gate_bias": -1.0,
    "carry_bias": -1.0,
    "transform_bias": -1.0,
    "dropout": 0.125,
    "dropouts": (0.1, 0.1, 0.1, 0.1),
    "dropout_pools": (1,),
    "dropout_site": {"alexnet": "after"},
    "head_dropout": 0.125,
    "shortcut_dropout": 0.25,
    "stochastic_depth": 0.5,
    "stochastic_depth_mode": "row",
    "bn_momentum": 0.25,
    "recompute": True,
    "aux_pool": {"googlenet_bn": "window"},
    "aux_weight": 0.125,
    "aux_dropout": 0.125,
}
TINY = {
    "cifar_resnet8": {"widths": (4, 4, 8), "stem_width": 4, "gate": "dropout"},
    "cifar_densenet40_12": {"depths": (2, 2, 2)},
    "cifar_highway19": {},
    "highway_mlp10": {},
    "cifar_nin": {},
    "alexnet": {"widths": (4,) * 5, "hidden": 8, "init_std": 0.01},
    "vgg11_bn": {"widths": (4,) * 5, "hidden": 8},
    "googlenet_bn": {},
    "inception_v3": {},
}


@pytest.mark.parametrize("name", TINY)
@torch.no_grad()
def test_such_fields_change_no_logit(name: str) -> None:
    """From the same weights, in evaluation: every field of the roles "names", "start" and "training"."""
    spec = get_spec(name, num_classes=3, **TINY[name])
    torch.manual_seed(0)
    network = build(spec).eval()
    size = 80 if spec.input_size > 32 else spec.input_size
    image = torch.randn(1, spec.in_channels, size, size)
    wanted = network(image)
    tried = 0
    for field in spec.to_json():
        value = OTHERS.get(field)
        value = value.get(name) if isinstance(value, dict) else value
        if value is None:
            continue
        other = outline(spec.edit(**{field: value})).eval()
        assert other.spec != spec
        other.load_state_dict(network.state_dict(), strict=True, assign=True)
        assert torch.equal(other(image), wanted), field
        tried += 1
    assert tried


def test_every_role_is_of_a_field_and_tried() -> None:
    roles = {pair for name in list_models() for pair in get_spec(name).roles().items()}
    assert len(roles) == len(dict(roles)), "a field of two families has two roles"
    free = {field for field, role in roles if role in ("names", "start", "training")}
    assert free - {"name", "paper", "aux_heads"} == set(OTHERS)
