"""External data of ONNX files: crafted names and ranges are refused before a runtime sees the file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from residua._base.errors import InputError
from residua.runtime.graphs.external_data import check_external_data

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper  # noqa: E402 - it may be absent

WEIGHTS = np.arange(12, dtype=np.float32)


def _external(name: str = "weights", dims: tuple[int, ...] = (12,), **fields: Any) -> TensorProto:
    """Return a float32 tensor whose data lies elsewhere."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=dims, data_location=TensorProto.EXTERNAL)
    for key, value in fields.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def _model(tensor: TensorProto, where: str = "initializer") -> Any:
    """Return a model y = x + weights whose tensor stands in one of the parts of a file that can hold one."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [12]) for name in "xy")
    add = helper.make_node("Add", ["x", "weights"], ["y"])
    constant = helper.make_node("Constant", [], ["weights"], value=tensor)
    graph = helper.make_graph([add], "g", [x], [y], [tensor] if where == "initializer" else [])
    functions = []
    if where == "constant":
        graph = helper.make_graph([constant, add], "g", [x], [y])
    elif where == "branch":
        inner = helper.make_graph([constant, add], "inner", [], [y])
        graph.node.append(helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=inner))
    elif where == "function":
        imports = [helper.make_opsetid("", 18)]
        functions = [helper.make_function("own", "F", ["x"], ["y"], [constant, add], imports)]
    elif where == "sparse":
        sparse = onnx.SparseTensorProto(values=tensor, dims=[12])
        graph.sparse_initializer.append(sparse)
    model = helper.make_model(graph, functions=functions, opset_imports=[helper.make_opsetid("", 18)])
    if where == "training":
        model.training_info.add().algorithm.initializer.append(tensor)
    return model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with weights inside it, and others outside and below."""
    inside = tmp_path / "stranger"
    (inside / "below").mkdir(parents=True)
    for path in (inside / "weights.bin", inside / "below" / "weights.bin", tmp_path / "secret.bin"):
        path.write_bytes(WEIGHTS.tobytes())
    (inside / "link.bin").symlink_to(tmp_path / "secret.bin")
    (inside / "linked").symlink_to(tmp_path, target_is_directory=True)
    os.link(tmp_path / "secret.bin", inside / "hard.bin")
    os.mkfifo(inside / "pipe")
    return inside


def _written(folder: Path, model: Any) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_weights_in_the_folder_are_read(folder: Path) -> None:
    for fields in (
        {"location": "weights.bin"},
        {"location": "below/weights.bin", "offset": 0, "length": 48, "checksum": "0"},
    ):
        path = _written(folder, _model(_external(**fields)))
        assert check_external_data(path) == (fields["location"],)
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(None, {"x": WEIGHTS})[0], 2 * WEIGHTS)
    inside = helper.make_tensor("weights", TensorProto.FLOAT, [12], WEIGHTS)
    assert check_external_data(_written(folder, _model(inside))) == ()


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("../secret.bin", r"weights in '\.\./secret.bin'.*a file in the folder"),
        ("below/../../secret.bin", "a file in the folder"),
        ("/etc/hostname", "weights in '/etc/hostname'"),
        ("//host/share/x", "a file in the folder"),
        (r"..\secret.bin", "a file in the folder"),
        (r"below\weights.bin", "'/' alone"),
        (r"C:\secret.bin", "a file in the folder"),
        ("C:secret.bin", "a file in the folder"),
        ("weights.bin:stream", "a file in the folder"),
        ("", "weights in ''"),
        (".", r"weights in '\.'"),
        ("weights.bin\0.txt", "a file in the folder"),
        ("link.bin", "behind the link"),
        ("linked/secret.bin", "behind the link"),
        ("hard.bin", "of one name"),
        ("pipe", "regular file"),
        ("below", "regular file"),
        ("nowhere.bin", "cannot be read"),
        ("weights.bin/x", "cannot be read"),
        ("x" * 5000, "cannot be read"),
    ],
)
def test_a_location_outside_the_folder_is_refused(location: str, words: str, folder: Path) -> None:
    with pytest.raises(InputError, match=words):
        check_external_data(_written(folder, _model(_external(location=location))))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"offset": 4}, "bytes 4 to 52 of 'weights.bin', which has 48"),
        ({"offset": 48, "length": 48}, "bytes 48 to 96"),
        ({"length": 44}, "the 48 bytes of the tensor"),
        ({"length": 49}, "bytes 0 to 49"),
        ({"offset": -4}, "offset '-4'"),
        ({"offset": "4e0"}, "offset '4e0'"),
        ({"offset": "٤"}, "offset"),
        ({"offset": 1 << 63}, "offset '9223372036854775808'"),
        ({"length": ""}, "length ''"),
        ({"basepath": "/etc"}, "the field 'basepath'"),
        ({"__class__": "x"}, "the field '__class__'"),
        ({"dims": (1 << 40, 1 << 40)}, "which has 48"),
    ],
)
def test_a_range_beyond_the_file_is_refused(fields: dict[str, Any], words: str, folder: Path) -> None:
    with pytest.raises(InputError, match=words):
        check_external_data(_written(folder, _model(_external(location="weights.bin", **fields))))


def test_a_field_twice_is_refused(folder: Path) -> None:
    tensor = _external(location="weights.bin")
    tensor.external_data.add(key="location", value="../secret.bin")
    with pytest.raises(InputError, match="each known field once"):
        check_external_data(_written(folder, _model(tensor)))


@pytest.mark.parametrize("where", ["initializer", "constant", "branch", "function", "sparse", "training"])
def test_no_part_of_a_file_hides_a_tensor(where: str, folder: Path) -> None:
    with pytest.raises(InputError, match="secret"):
        check_external_data(_written(folder, _model(_external(location="../secret.bin"), where)))


def test_what_is_no_onnx_file_is_refused(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"\xff" * 64)
    with pytest.raises(InputError, match="no ONNX file"):
        check_external_data(folder / "model.onnx")
