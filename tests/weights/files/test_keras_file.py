"""Keras's files, made here by h5py: every form, what is left out, and files that are damaged or mean harm."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from residua._base.errors import InputError
from residua.weights.files import keras_file
from residua.weights.files.keras_file import read_layers

h5py = pytest.importorskip("h5py", reason="h5py is not installed: pip install 'residua[keras]'")

KERNEL = np.arange(36, dtype=np.float32).reshape(3, 3, 2, 2)
NORM = [np.full(2, value, np.float32) for value in (1, 2, 3, 4)]
VARIABLES = ("gamma", "beta", "moving_mean", "moving_variance")
WANTED = {"first/kernel": KERNEL, "first/bias": NORM[0]}
WANTED |= {f"second/{name}": value for name, value in zip(VARIABLES, NORM, strict=True)}
WANTED |= {f"third/{name}": value for name, value in zip(VARIABLES[1:], NORM[1:], strict=True)}
LAYERS: dict[str, list[np.ndarray]] = {"first": [KERNEL, NORM[0]], "second": NORM, "third": NORM[1:]}
GROUPS = {"first": "conv2d", "second": "batch_normalization", "third": "batch_normalization_1"}
CLASSES = (("InputLayer", "image"), ("Conv2D", "first"), ("BatchNormalization", "second"))
CLASSES += (("BatchNormalization", "third"),)
CONFIG = {
    "class_name": "Functional",
    "config": {"layers": [{"class_name": kind, "config": {"name": name}} for kind, name in CLASSES]},
}


def _numbered(layer: str, place: int) -> str:
    return f"{layer}/w_{place}:0"


def _legacy(path: Path, root: str = "/", names: Callable[[str, int], str] = _numbered) -> None:
    with h5py.File(path, "w") as file:
        group = file.require_group(root)
        group.attrs["layer_names"] = [b"image", *(name.encode() for name in LAYERS)]
        group.create_group("image").attrs["weight_names"] = []
        for layer, values in LAYERS.items():
            paths = [names(layer, place) for place in range(len(values))]
            group.create_group(layer).attrs["weight_names"] = [path.encode() for path in paths]
            for path, value in zip(paths, values, strict=True):
                group[layer][path] = value


def _keras3(file: Any, names: bool, root: str = "layers") -> None:
    for layer, values in LAYERS.items():
        group = file.create_group(f"{root}/{GROUPS[layer]}/vars")
        for place, value in enumerate(values):
            group[str(place)] = value
        if names:
            group.attrs["name"] = layer
    file["optimizer/vars/0"] = np.int64(7)
    file["layers/dropout/seed_generator/vars/0"] = np.arange(2, dtype=np.uint32)


def _archive(path: Path, names: bool = False, config: Any = CONFIG) -> None:
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        _keras3(file, names)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", content.getvalue())


def _equal(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> bool:
    return found.keys() == wanted.keys() and all(np.array_equal(found[key], wanted[key]) for key in wanted)


@pytest.mark.parametrize("root", ["/", "model_weights"])
def test_legacy(root: str, tmp_path: Path) -> None:
    _legacy(tmp_path / "it.h5", root)
    assert _equal(read_layers(tmp_path / "it.h5"), WANTED)
    known = {2: ("kernel", "bias"), 4: VARIABLES, 3: VARIABLES[1:]}
    _legacy(tmp_path / "it.h5", root, lambda layer, i: f"{layer}_1/{known[len(LAYERS[layer])][i]}:0")
    assert _equal(read_layers(tmp_path / "it.h5"), WANTED)


def test_nothing_is_imported_from_the_folder_one_stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _legacy(tmp_path / "it.h5")
    for name in ("zipfile", "json", "h5py", "residua"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    assert _equal(read_layers("it.h5"), WANTED)
    assert not (tmp_path / "executed").exists()


def test_lists_of_names_that_keras_splits(tmp_path: Path) -> None:
    _legacy(tmp_path / "it.h5")
    with h5py.File(tmp_path / "it.h5", "a") as file:
        names = list(file.attrs["layer_names"])
        del file.attrs["layer_names"]
        file.attrs["layer_names0"], file.attrs["layer_names1"] = names[:2], names[2:]
    assert _equal(read_layers(tmp_path / "it.h5"), WANTED)


def test_a_model_within_a_model(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "it.h5", "w") as file:
        file.attrs["layer_names"] = [b"backbone"]
        paths = [f"{key}:0" for key in WANTED]
        file.create_group("backbone").attrs["weight_names"] = [path.encode() for path in paths]
        for path, value in zip(paths, WANTED.values(), strict=True):
            file["backbone"][path] = value
    assert _equal(read_layers(tmp_path / "it.h5"), WANTED)


@pytest.mark.parametrize("root", ["layers", "_layer_checkpoint_dependencies"])
def test_keras3(root: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "it.weights.h5", "w") as file:
        _keras3(file, True, root)
    assert _equal(read_layers(tmp_path / "it.weights.h5"), WANTED)
    with h5py.File(tmp_path / "it.weights.h5", "w") as file:
        _keras3(file, False, root)
    unnamed = {f"layers/{GROUPS[key.split('/')[0]]}/{key.split('/')[1]}": value for key, value in WANTED.items()}
    assert _equal(read_layers(tmp_path / "it.weights.h5"), unnamed)


@pytest.mark.parametrize("names", [False, True])
def test_archive(names: bool, tmp_path: Path) -> None:
    """Without names in the weights, those of the configuration serve."""
    _archive(tmp_path / "it.keras", names)
    assert _equal(read_layers(tmp_path / "it.keras"), WANTED)


def test_bfloat16_and_half(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "it.weights.h5", "w") as file:
        group = file.create_group("layers/dense/vars")
        group["0"] = np.array([[1.5, -2.25]], np.float16)
        group.create_dataset("1", data=np.array([0x3FC0, 0xC010], "<u2").view("V2")).attrs["dtype"] = "bfloat16"
        group.attrs["name"] = "last"
    found = read_layers(tmp_path / "it.weights.h5")
    assert found["last/bias"].tolist() == [1.5, -2.25] == found["last/kernel"][0].tolist()
    assert {value.dtype for value in found.values()} == {np.dtype(np.float32)}


def test_h5py_is_named_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _legacy(tmp_path / "it.h5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InputError, match=r"pip install 'residua\[keras\]'"):
        read_layers(tmp_path / "it.h5")


def _refused(path: Path, match: str) -> None:
    with pytest.raises(InputError, match=match):
        read_layers(path)


def _link_outside(file: Any) -> None:
    _keras3(file, True)
    file["layers/conv2d_1"] = h5py.ExternalLink("/etc/hostname", "/")


def _soft_link(file: Any) -> None:
    _keras3(file, True)
    file["layers/conv2d_1"] = h5py.SoftLink("/layers/conv2d")


def _outside(file: Any) -> None:
    file.create_dataset("layers/conv2d/vars/0", (4,), "f4", external=[("/etc/passwd", 0, 16)])


def _virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/elsewhere.h5", "x", (4,))
    file.create_virtual_dataset("layers/conv2d/vars/0", layout)


def _ring(file: Any) -> None:
    _keras3(file, True)
    file["layers/conv2d/again"] = file["layers"]


def _bomb(file: Any) -> None:
    file.create_dataset("layers/conv2d/vars/0", (1 << 20, 1 << 20), "f4", chunks=(1024, 1024), compression="gzip")


def _letters(file: Any) -> None:
    file["layers/conv2d/vars/0"] = "no numbers"


def _twins(file: Any) -> None:
    _keras3(file, True)
    file["layers/batch_normalization_1/vars"].attrs["name"] = "second"


def _bare(file: Any) -> None:
    file["something"] = np.zeros(3)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (_link_outside, "a link to another place"),
        (_soft_link, "a link to another place"),
        (_outside, "lives in other files"),
        (_virtual, "lives in other files"),
        (_ring, "hold each other"),
        (_bomb, "claim 4398046511104 bytes"),
        (_letters, "no numbers"),
        (_twins, "two layers are named second"),
        (_bare, "holds no weights of layers"),
    ],
)
def test_harm(make: Callable[[Any], None], match: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "it.weights.h5", "w") as file:
        make(file)
    _refused(tmp_path / "it.weights.h5", match)


def test_archives_that_mean_harm(tmp_path: Path) -> None:
    path = tmp_path / "it.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", json.dumps(CONFIG))
        archive.writestr("model.weights.h5", bytes(30_000_000))
    _refused(path, "claims 30000000 bytes in an archive of")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../model.weights.h5", b"x")
        archive.writestr("config.json", b"{}")
    _refused(path, r"and no model\.weights\.h5")
    assert [entry.name for entry in tmp_path.iterdir()] == ["it.keras"]
    for config in ({"config": {"layers": 7}}, []):
        _archive(path, config=config)
        _refused(path, "is damaged, or no file of Keras's")


def _made(name: str, path: Path) -> bytes:
    if name == "legacy.h5":
        _legacy(path)
    elif name == "it.keras":
        _archive(path)
    else:
        with h5py.File(path, "w") as file:
            _keras3(file, True)
    return path.read_bytes()


@pytest.mark.parametrize("name", ["legacy.h5", "it.weights.h5", "it.keras"])
def test_damage(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A truncation is refused; a flipped byte is refused or changes values at most: such files have no checksums."""
    monkeypatch.setattr(keras_file, "_PATIENCE_S", 20.0)
    path = tmp_path / name
    whole = _made(name, path)
    for size in range(0, len(whole), len(whole) // 8 + 1):
        path.write_bytes(whole[:size])
        _refused(path, "is damaged, or no file of Keras's")
    generator = np.random.default_rng(0)
    for _ in range(12):
        place = int(generator.integers(len(whole)))
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << int(generator.integers(8))]) + whole[place + 1 :])
        try:
            found = read_layers(path)
        except InputError:
            continue
        assert sum(value.nbytes for value in found.values()) < 8 * len(whole)


def test_a_flip_that_hdf5_never_returns_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of a name in the heap of HDF5 2.0 and before: the library runs in circles; others may see the error."""
    monkeypatch.setattr(keras_file, "_PATIENCE_S", 10.0)
    whole = bytearray(_made("legacy.h5", tmp_path / "it.h5"))
    place = whole.index(b"third/w_1:0", whole.index(b"GCOL")) + 24
    assert whole[place] == len("third/w_2:0"), "the heap's layout is another"
    whole[place] ^= 128
    (tmp_path / "it.h5").write_bytes(whole)
    _refused(tmp_path / "it.h5", "is damaged, or no file of Keras's")


@pytest.mark.parametrize(
    ("code", "match"),
    [
        ("import time; time.sleep(60)", "HDF5 has not read it in 1 seconds"),
        ("import os; os.abort()", r"HDF5 crashed on it \(signal 6\)"),
        ("import nothing_of_this_name", "cannot be read: ModuleNotFoundError.*nothing_of_this_name"),
    ],
)
def test_a_reader_that_fails(code: str, match: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _legacy(tmp_path / "it.h5")
    monkeypatch.setattr(keras_file, "python_module", lambda name: ([sys.executable, "-c", code], {}))
    monkeypatch.setattr(keras_file, "_PATIENCE_S", 1.0 if "sleep" in code else 60.0)
    _refused(tmp_path / "it.h5", match)


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", b"weights"])
def test_other_files(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "it.h5").write_bytes(content)
    _refused(tmp_path / "it.h5", "is damaged, or no file of Keras's")
    _refused(tmp_path / "none.h5", "does not exist")
