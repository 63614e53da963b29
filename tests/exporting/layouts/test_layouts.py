"""Folders for model servers: parsed with the servers' own schemas, and proven again where they lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import residua
from exporting.runs import digits_run
from residua._base.errors import Damaged, InputError
from residua.exporting.export import export
from residua.exporting.layouts.layout import LABELS
from residua.exporting.names import model_name
from residua.exporting.reading.stored import read_certificate
from residua.exporting.recheck import check_export

# OpenVINO Model Server's schema of an entry of model_config_list (model_server, src/schema.cpp); no other key is taken.
OVMS_ENTRY = {
    "name": str,
    "base_path": str,
    "batch_size": (int, str),
    "model_version_policy": dict,
    "shape": (dict, str),
    "nireq": int,
    "target_device": str,
    "plugin_config": dict,
}
OVMS_REQUIRED = {"name", "base_path"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> residua.Run:
    return residua.load(digits_run(tmp_path_factory.mktemp("layouts") / "run"))


@pytest.mark.parametrize(("format_", "with_preprocessing"), [("onnx", False), ("openvino", True)])
def test_triton_finds_a_model_repository(
    format_: str, with_preprocessing: bool, run: residua.Run, tmp_path: Path
) -> None:
    schema = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    text_format = pytest.importorskip("google.protobuf.text_format")
    out = tmp_path / "repository"
    export(run, format=format_, layout="triton", out=out, with_preprocessing=with_preprocessing, golden_only=True)
    folders = [path for path in out.iterdir() if path.is_dir()]
    assert [path.name for path in folders] == ["cifar_resnet8"], "each folder of a repository is a model"
    model = folders[0]
    config = text_format.Parse((model / "config.pbtxt").read_text(), schema.ModelConfig())
    assert config.name == model.name
    assert config.backend == {"onnx": "onnxruntime", "openvino": "openvino"}[format_]
    assert (model / "1" / config.default_model_filename).is_file()
    assert [path.name for path in model.iterdir() if path.is_dir()] == ["1"]
    (entry,), (output,) = config.input, config.output
    assert (model / output.label_filename).read_text().splitlines() == list(run.classes)
    assert list(output.dims) == [10]
    assert output.data_type == schema.TYPE_FP32
    names, shape, kind = _opened(model / "1" / config.default_model_filename)
    assert names == (entry.name, output.name)
    assert list(entry.dims) == shape
    assert entry.data_type == {"u8": schema.TYPE_UINT8, "f32": schema.TYPE_FP32}[kind]
    assert config.max_batch_size == 32
    assert config.HasField("dynamic_batching")
    assert check_export(out).verdict.answer == "passes"


def _opened(path: Path) -> tuple[tuple[str, str], list[int], str]:
    """Return (input, output), the shape of an image and the type of the input, as OpenVINO reads either format."""
    model = pytest.importorskip("openvino").Core().read_model(path)
    port = model.input(0)
    sizes = [axis.get_length() for axis in list(port.get_partial_shape())[1:]]
    return (port.get_any_name(), model.output(0).get_any_name()), sizes, port.get_element_type().get_type_name()


def test_ovms_finds_its_configuration(run: residua.Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(run, format="openvino", layout="ovms", out=out, golden_only=True)
    document: dict[str, Any] = json.loads((out / "config.json").read_text())
    assert set(document) == {"model_config_list"}
    (entry,) = document["model_config_list"]
    assert set(entry) == {"config"}
    config = entry["config"]
    assert set(config) >= OVMS_REQUIRED
    assert all(isinstance(value, OVMS_ENTRY[key]) for key, value in config.items())
    assert config["plugin_config"] == {"INFERENCE_PRECISION_HINT": "f32"}
    # A relative path starts at config.json; versions are folders with numbers.
    versions = [path.name for path in (out / config["base_path"]).iterdir() if path.is_dir()]
    assert versions == ["1"]
    names, _, _ = _opened(next((out / config["base_path"] / "1").glob("model.[xo]*")))
    assert names == ("images", "logits")
    assert (out / config["base_path"] / LABELS).read_text().splitlines() == list(run.classes)
    stored = read_certificate(out)
    assert set(stored["files"]) >= {"config.json", f"cifar_resnet8/{LABELS}"}
    label_file = out / "cifar_resnet8" / LABELS
    label_file.write_text(label_file.read_text().replace("3", "8"))
    with pytest.raises(Damaged, match=r"labels\.txt.*altered"):
        check_export(out)


def test_a_certificate_without_a_layout_is_plain(run: residua.Run, tmp_path: Path) -> None:
    out = export(run, format="torch", out=tmp_path / "out", golden_only=True).folder
    assert read_certificate(out).get("layout") == "plain"
    assert check_export(out).verdict.answer == "passes"


def test_names_are_those_of_addresses() -> None:
    assert model_name("resnet50_v1") == "resnet50_v1"
    assert model_name("../a b/ü") == "_a_b__"
    assert model_name("..") == model_name("") == "model"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"format": "torch", "layout": "triton"}, "layout='triton' with format='torch'"),
        ({"format": "onnx", "layout": "tritn"}, "layout='tritn'.*triton"),
        ({"format": "openvino", "layout": "triton", "precision": "bf16"}, "Use layout='ovms'"),
    ],
)
def test_a_server_that_does_not_run_it_is_refused(
    arguments: dict[str, str], words: str, run: residua.Run, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=words):
        export(run, out=tmp_path / "out", golden_only=True, **arguments)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
