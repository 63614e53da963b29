"""A bundle gives back what was put in, and nothing else is believed."""

from __future__ import annotations

import errno
import json
import os
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from residua._base.errors import InputError
from residua._base.run_files import CONFIG_FILE, MODEL_FILE
from residua.specs.schema import Spec
from residua.weights.bundle import write as module
from residua.weights.bundle.read import load_bundle, read_bundle
from residua.weights.bundle.value import hash_tensors
from residua.weights.open import load
from weights.bundles import CLASSES, DATA, PREPROCESS, save_tiny, tiny_model, tiny_spec


def refused(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_bundle(folder)
    return str(caught.value)


def test_round_trip(tmp_path: Path) -> None:
    model = tiny_model()
    path = save_tiny(tmp_path / "run", model)
    found, tensors = read_bundle(tmp_path / "run")
    assert path == tmp_path / "run" / MODEL_FILE
    assert (found.spec, found.classes, found.preprocess) == (model.spec, CLASSES, PREPROCESS)
    assert (found.metrics, found.data) == ({"top1": 0.5, "top1_interval": [0.4, 0.6]}, DATA)
    assert found.recipe == {"name": "fast", "epochs": 3, "augment": {"flip": True, "scale": [0.25, 1.0]}}
    assert set(found.versions) == {"residua", "torch", "python"}
    assert found.weights_sha256 == hash_tensors(model.state_dict())
    assert tensors.keys() == model.state_dict().keys()
    assert all(torch.equal(tensors[name], tensor) for name, tensor in model.state_dict().items())
    assert sorted(item.name for item in (tmp_path / "run").iterdir()) == [CONFIG_FILE, MODEL_FILE]
    assert load_bundle(path).classes == CLASSES, "the file itself may be named too"


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (save_tiny(tmp_path / name).read_bytes() for name in "ab")
    assert first == second


def test_headers_of_every_length(tmp_path: Path) -> None:
    model = tiny_model()
    for length in range(0, 264, 8):  # the first byte of the file takes every value that it can take
        save_tiny(tmp_path, model, metrics={"note": "x" * length})
        assert load_bundle(tmp_path).metrics == {"note": "x" * length}


def test_channels_last_and_shared_memory_are_saved(tmp_path: Path) -> None:
    model = tiny_model().to(memory_format=torch.channels_last)
    save_tiny(tmp_path / "a", model)
    assert load_bundle(tmp_path / "a").weights_sha256 == hash_tensors(model.state_dict())


def test_numbers_that_json_lacks(tmp_path: Path) -> None:
    metrics = {"loss": float("nan"), "best": float("inf"), "n": np.int64(3), "rates": np.array([0.5, 1.0])}
    save_tiny(tmp_path, metrics=metrics)
    assert load_bundle(tmp_path).metrics == {"loss": None, "best": None, "n": 3, "rates": [0.5, 1.0]}


def test_a_flipped_bit_in_any_byte_is_refused(tmp_path: Path) -> None:
    path = save_tiny(tmp_path)
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    draw = random.Random(0)
    # Every byte of the start, every fifth of the header, every 23rd of the tensors, and the last.
    for place in [*range(64), *range(64, header, 5), *range(header, len(whole), 23), len(whole) - 1]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(InputError):
            load_bundle(tmp_path)
    path.write_bytes(whole)
    load_bundle(tmp_path)


def test_a_flipped_byte_is_called_damage(tmp_path: Path) -> None:
    path = save_tiny(tmp_path)
    damaged = bytearray(path.read_bytes())
    damaged[-5] ^= 1
    path.write_bytes(damaged)
    message = refused(tmp_path)
    assert "damaged" in message
    assert "SHA-256" in message
    assert str(path) in message


def test_truncated_and_extended_files_are_refused(tmp_path: Path) -> None:
    path = save_tiny(tmp_path)
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    for length in (0, 1, 7, 8, 9, header // 2, header - 1, header, header + 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        refused(tmp_path)
    path.write_bytes(whole + b"\0")
    refused(tmp_path)


@pytest.mark.parametrize("header", [b"[" * 200_000, b'{"__metadata__": 1}', b"{}", b"\xff\xfe", b"9" * 9000, b"null"])
def test_headers_that_are_none(tmp_path: Path, header: bytes) -> None:
    (tmp_path / MODEL_FILE).write_bytes(len(header).to_bytes(8, "little") + header)
    refused(tmp_path)


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("writer", ["torch", "torch_legacy", "pickle", "pickle_0"])
def test_a_renamed_pickle_is_refused_and_not_executed(tmp_path: Path, writer: str) -> None:
    trap, path = tmp_path / "executed", tmp_path / MODEL_FILE
    if writer.startswith("torch"):
        torch.save({"a": Payload(trap)}, path, _use_new_zipfile_serialization=writer == "torch")
    else:
        path.write_bytes(pickle.dumps(Payload(trap), protocol=0 if writer == "pickle_0" else 4))
    message = refused(tmp_path)
    assert not trap.exists()
    if writer != "pickle_0":  # which is text, and told apart only by not being safetensors
        assert "pickle" in message


def test_another_networks_weights_are_refused_when_saving(tmp_path: Path) -> None:
    deeper = tiny_model(depths=(2, 1, 1))
    with pytest.raises(InputError) as caught:
        save_tiny(tmp_path, deeper, spec=tiny_spec())
    assert "unexpected: layer1.1.{conv1,conv2}.weight, layer1.1.{bn1,bn2}.{weight,bias" in str(caught.value)
    assert not list(tmp_path.iterdir())


def save_unchecked(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Save a bundle that is whole, its hash right, and wrong in itself."""
    with monkeypatch.context() as patch:
        patch.setattr(module, "refuse_mismatches", lambda *_: None)
        save_tiny(folder, **changes)


def test_every_mismatch_is_listed_when_loading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tiny_model(widths=(4, 4, 16))
    state = other.state_dict()
    del state["bn1.bias"]
    state["extra"] = torch.zeros(1)
    save_unchecked(tmp_path, monkeypatch, tensors=state, classes=("a", "b"))
    message = refused(tmp_path)
    for part in ("2 class names for the 3 outputs", "1 missing: bn1.bias", "1 unexpected: extra", "misshapen"):
        assert part in message
    assert "fc.weight 3×16 instead of 3×8" in message or "and " in message


@pytest.mark.parametrize("classes", [("a", "b"), ("a", "b", "c", "d"), ("a", "b", "a"), ()])
def test_class_names_that_do_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, classes: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="class names"):
        save_tiny(tmp_path, classes=classes)
    save_unchecked(tmp_path, monkeypatch, classes=classes)
    assert "class names" in refused(tmp_path)


def test_a_spec_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Spec, "to_json", lambda _: {"family": "resnet", "wings": 2})
        save_tiny(tmp_path)
    message = refused(tmp_path)
    assert "wings" in message
    assert "install that version" in message


def test_weights_of_another_run_beside_this_config(tmp_path: Path) -> None:
    save_tiny(tmp_path / "a")
    save_tiny(tmp_path / "b", tiny_model(num_classes=2), classes=("x", "y"))
    (tmp_path / "b" / MODEL_FILE).replace(tmp_path / "a" / MODEL_FILE)
    message = refused(tmp_path / "a")
    assert "num_classes is 3 here and 2 in model.safetensors" in message
    assert "label_names" in message


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("architecture",), "resnet18"),
        (("num_classes",), 4),
        (("label_names",), ["dog", "cat", "a bird"]),
        (("pretrained_cfg", "mean"), [0.0, 0.0, 0.0]),
        (("pretrained_cfg", "input_size"), [3, 32, 32]),
    ],
)
def test_a_config_that_disagrees_is_refused(tmp_path: Path, keys: tuple[str, ...], value: Any) -> None:
    save_tiny(tmp_path)
    path = tmp_path / CONFIG_FILE
    document = json.loads(path.read_text())
    place = document
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    path.write_text(json.dumps(document))
    message = refused(tmp_path)
    assert f"{'.'.join(keys)} is" in message
    assert "disagrees" in message


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\xff"])
def test_a_config_that_is_none(tmp_path: Path, text: str) -> None:
    save_tiny(tmp_path)
    (tmp_path / CONFIG_FILE).write_bytes(text.encode("latin-1"))
    refused(tmp_path)


def test_a_config_may_be_absent_or_state_more(tmp_path: Path) -> None:
    save_tiny(tmp_path)
    whole = load_bundle(tmp_path)
    path = tmp_path / CONFIG_FILE
    stated = json.loads(path.read_text())
    changes = (lambda: path.write_text(json.dumps(stated | {"license": "mit"})), path.unlink)
    for change in changes:
        change()
        assert vars(load_bundle(tmp_path)) == vars(whole)
    path.write_text(json.dumps(stated | {"num_classes": stated["num_classes"] + 1}))
    assert "num_classes" in refused(tmp_path)


def test_bare_weights_are_no_bundle(tmp_path: Path) -> None:
    safetensors.torch.save_file(tiny_model().state_dict(), tmp_path / MODEL_FILE)
    message = refused(tmp_path)
    assert "no Residua bundle" in message
    assert "create_model" in message


def test_no_bundle_there(tmp_path: Path) -> None:
    assert "no model.safetensors" in refused(tmp_path)
    assert "no model.safetensors" in refused(tmp_path / "absent")


def test_a_full_disk_leaves_the_old_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = save_tiny(tmp_path).read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(OSError, match="No space"):
        save_tiny(tmp_path, metrics={"top1": 0.9})
    assert (tmp_path / MODEL_FILE).read_bytes() == before
    assert sorted(item.name for item in tmp_path.iterdir()) == [CONFIG_FILE, MODEL_FILE]
    load_bundle(tmp_path)


def test_a_run_computes_what_was_saved(tmp_path: Path) -> None:
    model = tiny_model()
    save_tiny(tmp_path, model)
    run = load(tmp_path)
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(run.model(images), model(images))
    assert not run.model.training
    assert all(parameter.requires_grad for parameter in run.model.parameters())
    assert not any(tensor.is_meta for tensor in [*run.model.parameters(), *run.model.buffers()])


def test_reduced_precision_weights_load_as_the_network_has_them(tmp_path: Path) -> None:
    model = tiny_model()
    save_tiny(tmp_path, model, tensors=model.bfloat16().state_dict())
    assert read_bundle(tmp_path)[1]["fc.weight"].dtype == torch.bfloat16
    assert load(tmp_path).model.fc.weight.dtype == torch.float32


def test_classes_named_after_folders_that_are_no_utf8(tmp_path: Path) -> None:
    classes = (os.fsdecode(b"\xff"), "Zürich", "b")
    save_tiny(tmp_path, classes=classes)
    assert load_bundle(tmp_path).classes == classes


def test_a_bundle_from_before_a_field_came_loads_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    late = ("output_stride", "end_points", "head_dropout")

    whole = Spec.to_json

    def earlier(spec: Any) -> dict[str, Any]:
        return {key: value for key, value in whole(spec).items() if key not in late}

    monkeypatch.setattr(Spec, "to_json", earlier)
    path = save_tiny(tmp_path, model)
    monkeypatch.undo()
    assert b"output_stride" not in path.read_bytes()
    assert load_bundle(tmp_path).spec == model.spec
    for broken in ({"depths": None}, {"future": 1}):
        document = {**model.spec.to_json(), **broken}
        document = {key: value for key, value in document.items() if value is not None or key not in broken}
        with pytest.raises(InputError, match=r"depths|future"):
            Spec.from_json(document)
