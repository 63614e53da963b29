"""Graphs for other runtimes: one conversion each, the same logits at every batch."""

from __future__ import annotations

import sys

import pytest
import torch

from residua._base.errors import InputError
from residua._base.packages import package
from residua.families.build import build
from residua.runtime.graphs import onnx as onnx_graph
from residua.runtime.graphs.fold import fold_batch_norm
from residua.runtime.graphs.onnx import IR_VERSION, OPSET, to_onnx
from residua.runtime.graphs.openvino import to_openvino
from residua.runtime.graphs.program import example_images, export_program
from residua.specs.catalog import get_spec


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return fold_batch_norm(build(get_spec("cifar_resnet8")).eval(), (2, 3, 32, 32)).network


@pytest.fixture(scope="module")
def program(network: torch.nn.Module) -> torch.export.ExportedProgram:
    return export_program(network, example_images((3, 32, 32)))


def test_a_program_takes_batches_of_any_size(network: torch.nn.Module, program: torch.export.ExportedProgram) -> None:
    for count in (1, 2, 7, 32):
        images = torch.randn(count, 3, 32, 32)
        with torch.no_grad():
            torch.testing.assert_close(program.module()(images), network(images), rtol=1e-5, atol=1e-6)


def test_onnx_is_one_file_with_names_and_a_free_batch(program: torch.export.ExportedProgram) -> None:
    onnx = pytest.importorskip("onnx")
    model = to_onnx(program)
    assert (model.ir_version, [each.version for each in model.opset_import if each.domain == ""]) == (
        IR_VERSION,
        [OPSET],
    )
    assert [sizes(value) for value in model.graph.input] == [("images", "batch", 3, 32, 32)]
    assert [sizes(value) for value in model.graph.output] == [("logits", "batch", 10)]
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    assert onnx.load_from_string(model.SerializeToString()) == model


def test_openvino_has_names_and_a_free_batch_and_reports_to_nobody(
    program: torch.export.ExportedProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Other packages, such as NNCF, may have loaded it before.
    monkeypatch.delitem(sys.modules, "openvino_telemetry", raising=False)
    package("openvino", "openvino")
    model = to_openvino(program, outputs=("scores",))
    assert model.input(0).get_any_name() == "images"
    assert model.output(0).get_any_name() == "scores"
    assert str(model.input(0).partial_shape) == "[?,3,32,32]"
    assert "openvino_telemetry" not in sys.modules


def test_a_single_example_is_refused(network: torch.nn.Module) -> None:
    with pytest.raises(InputError, match=r"example batch of 1.*at least 2"):
        export_program(network, torch.zeros(1, 3, 32, 32))


@pytest.mark.parametrize(("extra", "convert"), [("onnx", to_onnx), ("openvino", to_openvino)])
def test_a_missing_extra_names_its_command(
    extra: str, convert: object, program: torch.export.ExportedProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, extra, None)
    with pytest.raises(InputError, match=rf"pip install 'residua\[{extra}\]'"):
        convert(program)  # type: ignore[operator]


def test_weights_beyond_one_file_are_refused(
    program: torch.export.ExportedProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_graph, "LARGEST_BYTES", 100_000)
    with pytest.raises(InputError, match=r"weights take 0.00.* GB.*OpenVINO"):
        to_onnx(program)


def sizes(value: object) -> tuple[object, ...]:
    shape = value.type.tensor_type.shape.dim  # type: ignore[attr-defined]
    return value.name, *(axis.dim_param or axis.dim_value for axis in shape)  # type: ignore[attr-defined]
