"""The steps of both ladders: each quantises what it states, and none outlasts its time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import residua
from exporting.runs import digits_run
from residua.exporting.conversion import trace
from residua.exporting.export import export
from residua.exporting.formats import converted
from residua.exporting.graph_input import GraphForm
from residua.exporting.ladders import nncf as openvino_ladder
from residua.exporting.ladders import onnxruntime as onnx_ladder
from residua.exporting.ladders.calibration import Calibration
from residua.exporting.ladders.nncf import quantised_openvino
from residua.exporting.ladders.onnxruntime import quantised_onnx
from residua.exporting.part import open_part


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> residua.Run:
    return residua.load(digits_run(tmp_path_factory.mktemp("ladders") / "run"))


@pytest.fixture(scope="module")
def images(run: residua.Run) -> Calibration:
    part = open_part(run, None, data_dir=None, on_bad=None, progress=None)
    whole = Calibration.of(part, GraphForm.of(run, with_preprocessing=False), 600)
    return Calibration(whole.images[:20], whole.control[:20], whole.until)


def _model(run: residua.Run, format_: Any) -> Any:
    form = GraphForm.of(run, with_preprocessing=False)
    return converted(format_, trace(run, form)[0], form.outputs)


def test_onnx_runtime_gets_pairs_around_every_layer(run: residua.Run, images: Calibration) -> None:
    onnx = pytest.importorskip("onnx")
    steps = dict(quantised_onnx(_model(run, "onnx"), images))
    assert len(steps) == 5
    for recipe, model in steps.items():
        onnx.checker.check_model(model)
        assert [entry.domain for entry in model.opset_import] == [""]
        made_by = {output: node.op_type for node in model.graph.node for output in node.output}
        layers = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
        whole = [{made_by.get(name) for name in node.input[:2]} == {"DequantizeLinear"} for node in layers]
        ends = "stem and head" in recipe or "residual units" in recipe
        assert (whole[0], whole[-1]) == (not ends, not ends), recipe
        # A unit's second convolution ends in its sum.
        assert whole[1:-1] == [True, "residual units" not in recipe] * 3, recipe
        sums = [node for node in model.graph.node if node.op_type == "Add"]
        summands = {made_by.get(name) for node in sums for name in node.input}
        assert ("Conv" in summands) == ("residual units" in recipe)
        # All of it int8, and the weights' scales one per channel or one per layer.
        zeros = {node.input[2] for node in model.graph.node if node.op_type == "QuantizeLinear"}
        stored = {each.name: each for each in model.graph.initializer}
        assert {stored[name].data_type for name in zeros} == {onnx.TensorProto.INT8}
        scales = [stored[name] for name in stored if name.startswith("layer1.0.conv1.weight_scale")]
        assert [list(scale.dims) for scale in scales] == [[] if "one scale" in recipe else [16]]


def test_weights_keep_seven_bits_where_sums_are_narrow(
    run: residua.Run, images: Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx = pytest.importorskip("onnx")
    model = _model(run, "onnx")
    largest = []
    for wide in (True, False):
        monkeypatch.setattr(onnx_ladder, "sums_are_wide", lambda wide=wide: wide)
        _, quantised = next(quantised_onnx(model, images))
        weights = [
            onnx.numpy_helper.to_array(each)
            for each in quantised.graph.initializer
            if each.name.endswith("conv1.weight_quantized")
        ]
        largest.append(max(abs(each.astype(int)).max() for each in weights))
    assert largest == [127, 64]


def test_the_last_step_of_nncf_restores_layers_until_answers_agree(run: residua.Run, images: Calibration) -> None:
    model = _model(run, "openvino")
    steps = dict(quantised_openvino(model, images, 0.4))
    assert 5 <= len(steps) <= 6
    *others, last = steps
    assert last.startswith("accuracy-controlled: layers restored to float32 until at most 40.00% of the answers")
    assert last.endswith("14 of 14 ranges are left")
    stem = next(node for node in steps[others[-1]].get_ordered_ops() if node.get_type_name() == "Convolution")
    assert stem.input_value(0).get_node().get_type_name() == "Parameter"


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """A clock that stands beyond every ladder's time once a step was made; the parameter is another name for each."""
    now, name = time.monotonic, getattr(request, "param", "")

    def later(*arguments: Any) -> Iterator[tuple[str, Any]]:
        for recipe, model in quantised_openvino(*arguments):
            monkeypatch.setattr(time, "monotonic", lambda: now() + 1e6)
            yield name or recipe, model

    monkeypatch.setattr(openvino_ladder, "quantised_openvino", later)
    yield
    monkeypatch.setattr(time, "monotonic", now)


@pytest.mark.usefixtures("late")
def test_no_step_is_begun_after_the_time(run: residua.Run, tmp_path: Path) -> None:
    # So narrow a limit that a loss is found at once, and one of two answers stays possible.
    outcome = export(run, format="openvino", precision="int8", out=tmp_path / "out", max_drop=0.02)
    assert len(outcome.certificate.steps) == 1
    assert outcome.certificate.verdict.answer == "undecided"
    assert outcome.certificate.conversion[-1] == "the ladder ended after 1800 seconds; further steps were not tried"


@pytest.mark.parametrize("late", ["accuracy-controlled: as if it were the last"], indirect=True)
@pytest.mark.usefixtures("late")
def test_time_is_not_blamed_where_every_step_was_tried(run: residua.Run, tmp_path: Path) -> None:
    outcome = export(run, format="openvino", precision="int8", out=tmp_path / "out", max_drop=0.02)
    assert outcome.certificate.verdict.answer == "undecided"
    assert not any("the ladder ended" in sentence for sentence in outcome.certificate.conversion)


def test_a_control_that_runs_out_of_time_is_left_out(
    run: residua.Run, images: Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = Calibration(images.images[:2], images.control, time.monotonic() - 1)
    monkeypatch.setattr(openvino_ladder, "sums_are_wide", lambda: False)
    recipes = [recipe for recipe, _ in quantised_openvino(_model(run, "openvino"), over, 0.003)]
    assert recipes[-1] == "the same, stem and head in float32"
    assert "8 bits in the first layer too" not in recipes
