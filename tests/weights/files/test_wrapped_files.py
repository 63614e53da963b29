"""Files as training scripts write them: nests, prefixes, averages, whatever the container and its ending."""

from __future__ import annotations

import argparse
import pathlib
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from residua._base.errors import InputError
from residua.weights.convert import convert
from residua.weights.create import create_model
from residua.weights.files.state_file import container_of, read_state
from weights.bundles import tiny_model, tiny_spec

State = dict[str, torch.Tensor]


@pytest.fixture
def state() -> State:
    return dict(tiny_model().state_dict())


def same(found: State, state: State) -> bool:
    return found.keys() == state.keys() and all(torch.equal(found[name], tensor) for name, tensor in state.items())


def prefixed(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "module._orig_mod.", "model.backbone.", "module.encoder_q.")


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors", "w.bin", "w.ckpt", "w"])
@pytest.mark.parametrize("container", ["torch", "legacy", "safetensors"])
def test_prefixes_come_off_in_every_container(
    tmp_path: Path, state: State, prefix: str, name: str, container: str
) -> None:
    path, held = tmp_path / name, prefixed(prefix, state)
    if container == "safetensors":
        safetensors.torch.save_file(held, path)
    else:
        torch.save(held, path, _use_new_zipfile_serialization=container == "torch")
    assert container_of(path) == ("safetensors" if container == "safetensors" else "torch")
    assert same(read_state(path), state)


NESTS: dict[str, Callable[[State], Any]] = {
    "state_dict": lambda s: {"state_dict": s, "epoch": 3},
    "model": lambda s: {"model": s, "args": argparse.Namespace(lr=0.1, out=pathlib.PurePosixPath("a")), "epoch": 3},
    "model_state_dict": lambda s: {"model_state_dict": s, "loss": np.float64(0.5), "best": np.float32(1)},
    "net": lambda s: {"net": s, "acc": 91.0, "history": np.arange(4.0)},
    "nested": lambda s: {"model": {"state_dict": s}, "optimizer": {"state": {}}},
    "lightning": lambda s: {
        "pytorch-lightning_version": "2.1",
        "state_dict": {**prefixed("model.", s), "criterion.weight": torch.ones(3), "val_acc.correct": torch.ones(1)},
        "hyper_parameters": {"lr": 0.1},
    },
    "averaged": lambda s: {"model_ema": {"n_averaged": torch.tensor(3), **prefixed("module.", s)}},
    "moco": lambda s: {"state_dict": {**prefixed("module.encoder_q.", s), **prefixed("module.encoder_k.", s)}},
    "checkpoint": lambda s: {"checkpoint": {"model": {"state_dict": prefixed("module.", s)}}},
    "own name": lambda s: {"resnet": s, "optimizer": {"state": {0: {"exp_avg": torch.ones(1)}}}},
    "flat average": lambda s: {**s, **{f"ema_{name.replace('.', '_')}": t + 1 for name, t in s.items()}},
    "partial average": lambda s: {"model": s, "ema": {"shadow": {"conv1.weight": s["conv1.weight"] + 1}, "decay": 0.9}},
    "unnamed average": lambda s: {"model": s, "ema": {"shadow_params": [torch.ones(1)]}},
    "mmengine": lambda s: {
        "meta": {"mmengine_version": "0.10"},
        "state_dict": s,
        "ema_state_dict": {"steps": torch.tensor(1), **prefixed("module.", {k: t + 1 for k, t in s.items()})},
    },
    "student": lambda s: {"student": prefixed("module.backbone.", s), "teacher": prefixed("backbone.", s)},
    "beside": lambda s: {**s, "epoch": 3, "arch": "resnet"},
}


@pytest.mark.parametrize("nest", NESTS)
def test_nests_are_opened(tmp_path: Path, state: State, nest: str) -> None:
    torch.save(NESTS[nest](state), tmp_path / "w.pth.tar")
    found = read_state(tmp_path / "w.pth.tar")
    assert same(found, state)
    if nest in ("lightning", "averaged", "moco", "beside", "flat average"):
        assert any("left out" in line.lower() for line in found.notes)
    if nest in NAMED:
        assert NAMED[nest] in found.notes


NAMED = {
    "averaged": "Weights taken from 'model_ema': the moving average.",
    "own name": "Weights taken from 'resnet'.",
    "unnamed average": "Weights taken from 'model': not those in 'ema'.",
    "mmengine": "Weights taken from 'state_dict': the moving average, as mmengine saves it, "
    "not those in 'ema_state_dict'.",
    "student": "Weights taken from 'student': not those in 'teacher'.",
}


def test_an_average_that_is_not_whole_is_left_out_by_name(tmp_path: Path, state: State) -> None:
    parameters = {name: t + 1 for name, t in state.items() if "running" not in name}
    lacks = sum("running" in name for name in state)
    torch.save({"model": state, "ema": {"module": parameters}}, tmp_path / "w.pth")
    found = read_state(tmp_path / "w.pth")
    assert same(found, state)
    why = f"the moving average lacks {lacks} of its tensors"
    assert found.notes == (f"Weights taken from 'model': {why}, not those in 'ema'.",)
    torch.save({**prefixed("model.", state), **prefixed("ema_model.", parameters)}, tmp_path / "v.pth")
    found = read_state(tmp_path / "v.pth")
    assert same(found, state)
    wanted = (
        f"Moving average left out, which lacks {lacks} of the network's tensors: {len(parameters)} tensors, ema_model."
    )
    assert found.notes[0].startswith(wanted)


@pytest.mark.parametrize("average", ["ema_model.", "model_ema.module.", "ema.", "swa_model.module."])
def test_of_an_average_in_the_same_state_dict_the_average_is_taken(tmp_path: Path, state: State, average: str) -> None:
    plain = prefixed("model.", {name: tensor + 1 for name, tensor in state.items()})
    held = {**plain, **prefixed(average, state), "criterion.weight": torch.ones(3)}
    torch.save({"state_dict": held}, tmp_path / "w.ckpt")
    found = read_state(tmp_path / "w.ckpt")
    assert same(found, state)
    first = average.partition(".")[0]
    assert f"Weights taken from {first!r}: the moving average, not those in 'model'." in found.notes


def test_a_container_without_tensors_is_named_so(tmp_path: Path, state: State) -> None:
    for held, wanted in (
        ({}, r"holds no tensors\. "),
        ({"state_dict": {}, "epoch": 3}, "holds no tensors, only state_dict, epoch"),
        ({"a": state, "b": state}, "holds a, b"),
    ):
        torch.save(held, tmp_path / "w.pth")
        with pytest.raises(InputError, match=wanted):
            read_state(tmp_path / "w.pth")


def test_a_container_within_itself_is_read_in_time(tmp_path: Path) -> None:
    held: dict[str, Any] = {}
    held |= {f"k{number}": held for number in range(2000)}
    torch.save(held, tmp_path / "w.pth")
    with pytest.raises(InputError, match="holds no tensors, only k0"):
        read_state(tmp_path / "w.pth")


@pytest.mark.parametrize(
    "average", ["state_dict_ema", "model_ema", "ema", "params_ema", "ema_state", "modelEMA", "swa_model"]
)
def test_of_a_model_and_its_average_the_average_is_taken_and_reported(
    tmp_path: Path, state: State, average: str
) -> None:
    other = {name: tensor + 1 for name, tensor in state.items()}
    torch.save({"state_dict": other, average: state}, tmp_path / "w.pth")
    assert same(read_state(tmp_path / "w.pth"), state)
    run = convert(tmp_path / "w.pth", model=tiny_spec(), out=tmp_path / "run", image_size=16)
    wanted = f"Weights taken from {average!r}: the moving average, not those in 'state_dict'."
    assert wanted in run.data["converted"]["notes"]


class Trap:
    """An object that would touch a file when loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("executed"),)


def test_the_true_cause_is_named(tmp_path: Path, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": state, "trap": Trap()}, "w.pth")
    with pytest.raises(InputError, match=r"holds getattr beside.*nothing was executed"):
        read_state(Path("w.pth"))
    torch.save(torch.nn.Linear(2, 2), "module.pth")
    with pytest.raises(InputError, match=r"holds torch\.nn\.modules\.linear\.Linear"):
        read_state(Path("module.pth"))
    assert not Path("executed").exists()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch deprecates what writes such files, not the files
        torch.jit.script(torch.nn.Linear(2, 2)).save("script.pt")  # type: ignore[no-untyped-call]
    with pytest.raises(InputError, match=r"TorchScript program.*torch\.jit\.load"):
        read_state(Path("script.pt"))
    torch.save({"w.a": torch.zeros(1).expand(1 << 40)}, "wide.pth")
    with pytest.raises(InputError, match="larger than their storage"):
        read_state(Path("wide.pth"))
    with zipfile.ZipFile("bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(1 << 25))
    with pytest.raises(InputError, match="grows beyond"):
        read_state(Path("bomb.pth"))
    torch.save({"optimizer": {"lr": 1}}, "none.pth")
    with pytest.raises(InputError, match="holds no tensors, only optimizer"):
        read_state(Path("none.pth"))


def as_huggingface(name: str) -> str:
    parts = name.split(".")
    if parts[0] in ("conv1", "bn1"):
        return f"resnet.embedder.embedder.{'convolution' if parts[0] == 'conv1' else 'normalization'}.{parts[1]}"
    if parts[0] == "fc":
        return f"classifier.1.{parts[1]}"
    stage, unit = int(parts[0].removeprefix("layer")) - 1, parts[1]
    start = f"resnet.encoder.stages.{stage}.layers.{unit}"
    if parts[2] == "downsample":
        return f"{start}.shortcut.{'convolution' if parts[3] == '0' else 'normalization'}.{parts[4]}"
    kind = "convolution" if parts[2].startswith("conv") else "normalization"
    return f"{start}.layer.{int(parts[2][-1]) - 1}.{kind}.{parts[3]}"


def as_mmpretrain(name: str) -> str:
    return f"head.{name}" if name.startswith("fc.") else f"backbone.{name}"


@pytest.mark.parametrize(
    ("source", "rule"), [("huggingface", as_huggingface), ("mmpretrain", as_mmpretrain)], ids=["huggingface", "mm"]
)
def test_names_of_other_libraries(tmp_path: Path, source: str, rule: Callable[[str], str]) -> None:
    torch.manual_seed(0)
    network = create_model("resnet50", num_classes=3, depths=(1, 1, 1, 1))
    torch.save({"state_dict": {rule(name): t for name, t in network.state_dict().items()}}, tmp_path / "w.pth")
    run = convert(tmp_path / "w.pth", model=network.spec, out=tmp_path / "run")
    assert run.data["converted"]["source"] == source
    assert same(dict(run.model.state_dict()), dict(network.state_dict()))


@pytest.mark.parametrize("prefix", ["backbone.", "module.backbone."])
def test_a_head_beside_a_backbone_keeps_its_name(tmp_path: Path, state: State, prefix: str) -> None:
    held = prefixed(prefix, {name: tensor for name, tensor in state.items() if not name.startswith("fc.")})
    head = prefix.removesuffix("backbone.") + "head."
    torch.save(held | {f"{head}weight": torch.zeros(3, 8), f"{head}bias": torch.zeros(3)}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"w\.pth holds a backbone.*2 unexpected: head\.\{weight,bias\}\."):
        convert(tmp_path / "w.pth", model=tiny_spec(), out=tmp_path / "run")
    found = create_model(tiny_spec(), num_classes=7, weights=tmp_path / "w.pth")
    assert found.provenance is not None
    assert found.provenance.fresh == ("fc.weight", "fc.bias")
    assert torch.equal(found.conv1.weight, state["conv1.weight"])  # type: ignore[union-attr]


def test_a_fastai_body_serves_where_the_classifier_is_fresh(tmp_path: Path) -> None:
    network = create_model("resnet18", num_classes=3)
    body = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
    named = ((name.partition("."), tensor) for name, tensor in network.state_dict().items())
    held = {f"0.{body[first]}.{rest}": tensor for (first, _, rest), tensor in named if first in body}
    held |= {"1.4.weight": torch.zeros(512, 1024), "1.8.weight": torch.zeros(3, 512)}
    torch.save({"model": held, "opt": None}, tmp_path / "learn.pth")
    with pytest.raises(InputError, match=r"missing: fc\.{weight,bias}.*unexpected: 1"):
        convert(tmp_path / "learn.pth", model="resnet18", out=tmp_path / "run")
    found = create_model("resnet18", num_classes=7, weights=tmp_path / "learn.pth")
    assert torch.equal(found.layer4[1].conv2.weight, network.layer4[1].conv2.weight)  # type: ignore[index, union-attr]
    assert found.provenance is not None
    assert found.provenance.fresh == ("fc.weight", "fc.bias")


@pytest.mark.parametrize("head", [{}, {"fc.0.weight": 1, "fc.2.weight": 1}, {"projection_head.0.weight": 1}])
def test_a_backbone_serves_where_the_classifier_is_fresh(tmp_path: Path, state: State, head: dict[str, int]) -> None:
    body = {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}
    torch.save(body | {name: torch.zeros(2) for name in head}, tmp_path / "w.pth")
    with pytest.raises(
        InputError, match=r"backbone of cifar_resnet8 without its classifier: .*missing: fc.*num_classes=N"
    ):
        create_model(tiny_spec(), weights=tmp_path / "w.pth")
    found = create_model(tiny_spec(), num_classes=3, weights=tmp_path / "w.pth")
    assert torch.equal(found.conv1.weight, state["conv1.weight"])  # type: ignore[union-attr]
    assert found.provenance is not None
    assert found.provenance.fresh == ("fc.weight", "fc.bias")
    del body["layer1.0.conv1.weight"]
    torch.save(body, tmp_path / "v.pth")
    with pytest.raises(InputError, match=r"missing: layer1\.0\.conv1\.weight"):
        create_model(tiny_spec(), num_classes=3, weights=tmp_path / "v.pth")
