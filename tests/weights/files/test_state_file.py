"""Weights from files: all of them or a complete list of what does not fit; pictures by every road the same."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from residua._base.errors import InputError
from residua.weights.files.state_file import read_state
from residua.weights.identity import Target
from residua.weights.named.resolve import resolve
from residua.weights.named.transfer import load_weights
from residua.weights.open import load
from weights.bundles import PREPROCESS, save_tiny, tiny_model


def load_state(model: Any, path: Path) -> None:
    load_weights(model, resolve(path, Target(model.spec)))


def same(left: torch.nn.Module, right: torch.nn.Module) -> bool:
    other = right.state_dict()
    return all(torch.equal(tensor, other[name]) for name, tensor in left.state_dict().items())


def fresh() -> torch.nn.Module:
    model = tiny_model()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    return model


@pytest.mark.parametrize("form", ["bundle", "safetensors", "plain.pth", "state_dict.pt", "model.ckpt", "module.th"])
def test_every_form_loads(tmp_path: Path, form: str) -> None:
    model, path = tiny_model(), tmp_path / form
    state: Any = model.state_dict()
    if form == "bundle":
        save_tiny(path, model)
    elif form == "safetensors":
        path = tmp_path / "bare.safetensors"
        safetensors.torch.save_file(state, path)
    else:
        if form == "module.th":
            state = {"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}, "epoch": 3}
        elif form != "plain.pth":
            state = {form.split(".")[0]: state, "epoch": 3}
        torch.save(state, path)
    found = fresh()
    load_state(found, path)
    assert same(found, model)


def test_all_mismatches_are_named_and_nothing_changes(tmp_path: Path) -> None:
    state = tiny_model(widths=(4, 4, 16)).state_dict()
    del state["conv1.weight"]
    state["head.bias"] = torch.zeros(3)
    torch.save(state, tmp_path / "w.pth")
    model = tiny_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(InputError) as caught:
        load_state(model, tmp_path / "w.pth")
    message = str(caught.value)
    for part in ("1 missing: conv1.weight", "1 unexpected: head.bias", "misshapen", "instead of"):
        assert part in message
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_damaged_bundle_is_not_loaded_as_bare_weights(tmp_path: Path) -> None:
    path = save_tiny(tmp_path)
    load_state(fresh(), path)
    damaged = bytearray(path.read_bytes())
    damaged[-5] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(InputError, match="damaged"):
        load_state(fresh(), path)


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("new", [True, False])
def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path, new: bool) -> None:
    torch.save(Trap(tmp_path / "executed"), tmp_path / "w.pth", _use_new_zipfile_serialization=new)
    with pytest.raises(InputError, match="nothing was executed") as caught:
        load_state(tiny_model(), tmp_path / "w.pth")
    assert "weights_only" not in str(caught.value), "no advice to load it all the same"
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [("w.pth", b""), ("w.pth", b"not weights"), ("w.safetensors", b""), ("w.safetensors", b"\x09" * 40)],
)
def test_garbage_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError):
        load_state(tiny_model(), tmp_path / name)


@pytest.mark.parametrize("new", [True, False])
def test_damaged_files_are_refused_or_read_and_nothing_else(tmp_path: Path, new: bool) -> None:
    path = tmp_path / "w.pth"
    torch.save(tiny_model().state_dict(), path, _use_new_zipfile_serialization=new)
    whole, chance, refused = path.read_bytes(), random.Random(0), 0
    for _ in range(120):
        damaged = bytearray(whole[: chance.choice((len(whole), chance.randrange(len(whole))))])
        for _ in range(3):
            damaged[chance.randrange(min(len(damaged), 4000))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            read_state(path)
        except InputError:
            refused += 1
    assert refused > 30


@pytest.mark.filterwarnings("ignore:Validating sparse tensor")
def test_tensors_without_plain_numbers_are_refused(tmp_path: Path) -> None:
    for odd in (torch.eye(2).to_sparse(), torch.empty(2, device="meta")):
        torch.save({"fc.weight": odd}, tmp_path / "w.pth")
        with pytest.raises(InputError, match=r"sparse, quantized or without values: fc\.weight"):
            read_state(tmp_path / "w.pth")


def test_absent_files_and_other_objects(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_state(tiny_model(), tmp_path / "none.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(InputError, match="list"):
        load_state(tiny_model(), tmp_path / "list.pth")


def test_a_picture_is_the_same_by_every_road(tmp_path: Path) -> None:
    save_tiny(tmp_path)
    run = load(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(stream.getvalue())
    tensors = [run.preprocess(each) for each in (pixels, path, str(path), stream.getvalue(), Image.open(path))]
    assert tensors[0].shape == (3, 16, 16)
    assert tensors[0].dtype == torch.float32
    assert all(torch.equal(tensors[0], other) for other in tensors[1:])


def test_the_tensor_is_normalised_as_in_the_bundle(tmp_path: Path) -> None:
    save_tiny(tmp_path)
    pixels = np.full((16, 16, 3), (255, 0, 51), np.uint8)
    found = load(tmp_path).preprocess(pixels)[:, 3, 5]
    wanted = (torch.tensor([1.0, 0.0, 0.2]) - torch.tensor(PREPROCESS.mean)) / torch.tensor(PREPROCESS.std)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("mode", ["L", "LA", "1", "P", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_pillow_images_of_every_mode(tmp_path: Path, mode: str) -> None:
    save_tiny(tmp_path)
    run = load(tmp_path)
    image = Image.new("I;16", (16, 16), 40_000) if mode == "I;16" else Image.new("RGB", (16, 16), "red").convert(mode)
    found = run.preprocess(image)
    assert found.shape == (3, 16, 16)
    if mode in ("RGBA", "P", "CMYK"):
        torch.testing.assert_close(found, run.preprocess(Image.new("RGB", (16, 16), "red")), atol=0.02, rtol=0)


def test_exif_rotation_is_applied_to_pillow_images_too(tmp_path: Path) -> None:
    save_tiny(tmp_path)
    run = load(tmp_path)
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    opened = run.preprocess(Image.open(tmp_path / "turned.png"))
    assert torch.equal(opened, run.preprocess(tmp_path / "turned.png"))
    assert torch.equal(opened, run.preprocess(np.ascontiguousarray(np.rot90(pixels, -1))))


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8), 7, b"", b"text"]
)
def test_what_is_no_picture_is_refused(tmp_path: Path, image: Any) -> None:
    save_tiny(tmp_path)
    with pytest.raises(InputError):
        load(tmp_path).preprocess(image)
