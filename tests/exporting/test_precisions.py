"""bf16 and int8: what they promise, and the three answers of the gate."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import residua
from exporting.runs import digits_run
from residua._base.errors import InputError
from residua.evaluation.measures.drop import accuracy_drop
from residua.exporting import trial
from residua.exporting.export import GateFailed, export
from residua.exporting.formats import open_graph
from residua.exporting.gate import Verdict, judge
from residua.exporting.graph_input import GraphForm
from residua.exporting.ladders.calibration import Calibration
from residua.exporting.names import CERTIFICATE
from residua.exporting.part import open_part
from residua.exporting.proof import Proof, ProofRow
from residua.exporting.recheck import check_export
from residua.runtime.graphs import openvino_core


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> residua.Run:
    return residua.load(digits_run(tmp_path_factory.mktemp("precisions") / "run"))


@pytest.mark.parametrize(("format_", "least"), [("openvino", 1e-4), ("onnx", 1e-3)])
def test_int8_takes_the_first_step_that_passes_and_states_it(
    format_: str, least: float, run: residua.Run, tmp_path: Path
) -> None:
    tried: list[str] = []
    written = export(
        run,
        format=format_,
        precision="int8",
        out=tmp_path / "out",
        max_drop=0.2,
        on_step=lambda step: tried.append(step.verdict.answer),
    )
    certificate = written.certificate
    assert certificate.verdict.answer == "passes"
    assert [step.verdict.answer for step in certificate.steps] == ["passes"]
    assert tried == ["passes"]
    assert "calibrated on 300 training images; recipe taken: plain" in certificate.conversion[-1]
    drop = certificate.verdict.drop
    assert drop is not None
    assert (drop.count, drop.limit) == (143, 0.2)
    assert drop.drop <= drop.upper <= 0.2
    row = certificate.rows[-1]
    assert row.error is not None
    assert least < row.error < 0.5
    if format_ == "openvino":
        xml = (tmp_path / "out" / "model.xml").read_text()
        assert 'type="FakeQuantize"' in xml
        assert 'element_type="i8"' in xml
    stored = json.loads((tmp_path / "out" / CERTIFICATE).read_text())
    assert stored["steps"][0]["recipe"].startswith("plain")
    assert "The ladder of recipes" in (tmp_path / "out" / "certificate.html").read_text()
    again = check_export(tmp_path / "out", run)
    assert (again.verdict.answer, again.rows[-1]) == ("passes", row)
    assert check_export(tmp_path / "out").verdict.answer == "undecided"
    # What the gate let through is there for the engines.
    engine = {"openvino": "openvino", "onnx": "onnxruntime"}[format_]
    report = residua.evaluate(run, engine=engine, precision="int8", device="cpu")
    assert report.top1 == pytest.approx(residua.evaluate(run, device="cpu").top1, abs=0.05)


def test_few_images_cannot_decide_and_the_certificate_states_how_many_would(
    run: residua.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "quantised", lambda name, model, *others: iter([("none", model), ("never tried", None)]))
    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match="of which this machine has no form"):
        residua.evaluate(run, engine="openvino", precision="int8", device="cpu")
    verdict = export(run, format="openvino", precision="int8", out=tmp_path / "out").certificate.verdict
    assert verdict.answer == "undecided"
    assert "at these rates about 900 images would show that it passes" in verdict.sentence
    assert (tmp_path / "out" / "model.xml").is_file()
    with pytest.warns(UserWarning, match="has not passed its gate"):
        residua.evaluate(run, engine="openvino", precision="int8", device="cpu")


def test_the_ladder_goes_on_after_a_step_that_loses_more_than_allowed(
    run: residua.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No step can pass with so few images; one that loses much on them is not kept for that."""
    right = np.ones((3, 143), bool)
    right[1, :6], right[0, 6:8] = False, False
    losses = [accuracy_drop(right[0], right[after], 0.003) for after in (1, 0)]
    assert [(loss.answer, loss.drop > 0.003) for loss in losses] == [("undecided", True), ("undecided", False)]
    verdicts = (Verdict(loss.answer, "by hand", loss) for loss in losses)
    monkeypatch.setattr(trial, "judge", lambda *_, **__: next(verdicts))
    monkeypatch.setattr(
        trial, "quantised", lambda name, model, *_: iter([("loses", model), ("holds", model), ("never tried", None)])
    )
    certificate = export(run, format="openvino", precision="int8", out=tmp_path / "out").certificate
    assert [step.recipe for step in certificate.steps] == ["loses", "holds"]
    assert "recipe taken: holds" in " ".join(certificate.conversion)


def test_the_ladder_goes_on_after_a_step_that_fails(
    run: residua.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that ruins the network, then one that leaves it alone."""

    def steps(name: str, model: object, *others: object) -> object:
        openvino = pytest.importorskip("openvino")
        copied = model.clone()  # type: ignore[attr-defined]
        (result,) = copied.get_results()
        negative = openvino.opset13.multiply(result.input_value(0), np.float32([-1]))
        ruined = openvino.Model([openvino.opset13.result(negative)], copied.get_parameters(), "ruined")
        yield "ruin", ruined
        yield "leave", model
        yield "never tried", None

    monkeypatch.setattr(trial, "quantised", steps)
    certificate = export(run, format="openvino", precision="int8", out=tmp_path / "out", max_drop=0.05).certificate
    assert [(step.recipe, step.verdict.answer) for step in certificate.steps] == [
        ("ruin", "fails"),
        ("leave", "passes"),
    ]
    assert check_export(tmp_path / "out", run).verdict.answer == "passes"

    monkeypatch.setattr(trial, "quantised", lambda *all: iter([next(steps(*all))]))  # type: ignore[call-overload]
    with pytest.raises(GateFailed, match="top-1 falls by"):
        export(run, format="openvino", precision="int8", out=tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_calibration_sees_training_images_alone(run: residua.Run) -> None:
    part = open_part(run, None, data_dir=None, on_bad=None, progress=None)
    assert part.split.name == "val"
    calibration = Calibration.of(part, GraphForm.of(run, with_preprocessing=True), 60)
    arrays, further = calibration.images, calibration.control
    assert (len(arrays), arrays[0].shape, len(further)) == (300, (1, 16, 16, 3), 995)
    assert not {each.tobytes() for each in arrays} & {each.tobytes() for each in further}
    measured = {pixels.tobytes() for _, batch in part.batches() for pixels in batch}
    train = part.dataset.splits["train"]
    both = measured & {train.images.read(index).tobytes() for index in range(len(train))}
    assert both == set()
    assert not measured & {array[0].tobytes() for array in (*arrays, *further)}


def test_bf16_is_run_as_bf16_or_refused(run: residua.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    able = "BF16" in openvino_core.openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if able:
        written = export(run, format="openvino", precision="bf16", out=tmp_path / "out", golden_only=True)
        error = written.certificate.rows[0].error
        assert error is not None
        assert 1e-4 < error < 0.05, "float32 arithmetic would differ by 1e-6"
        assert "INFERENCE_PRECISION_HINT=bf16" in written.certificate.conversion[-1]
        _, metadata = open_graph("openvino", tmp_path / "out", "bf16")
        assert metadata["precision"] == "bf16"

    class Core:
        def get_property(self, *names: str) -> list[str]:
            return ["FP32"]

        def read_model(self, path: Path) -> None:
            return None

    class Package:
        pass

    Package.Core = Core  # type: ignore[attr-defined]
    monkeypatch.setattr(openvino_core, "package", lambda *names: Package)
    with pytest.raises(InputError, match="no instructions for"):
        open_graph("openvino", tmp_path / "out", "bf16")


def test_bf16_may_change_one_answer_in_two_hundred() -> None:
    right = np.ones(1000, bool)
    golden = ProofRow("golden", (1,), 32, 0.9, 0.01)
    for agreement, answer in ((0.995, "passes"), (0.994, "fails")):
        row = ProofRow("val", (1, 2, 7, 32), 1000, agreement, 0.01, 1.0, 1.0, 0.0, (0.0, 0.0))
        assert judge(Proof((golden, row), (right, right)), "bf16").answer == answer
    assert judge(Proof((golden,), None), "bf16").answer == "fails"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"format": "onnx", "precision": "bf16"}, "precision='bf16' with format='onnx'.*format='openvino'"),
        ({"format": "torch", "precision": "int8"}, "precision='int8' with format='torch'"),
        ({"format": "openvino", "precision": "int8", "golden_only": True}, "int8' without images"),
        ({"format": "openvino", "precision": "int8", "max_drop": 0.0}, "max_drop=0.0"),
        ({"format": "openvino", "precision": "int8", "max_drop": 30}, "max_drop=30"),
        ({"format": "openvino", "precision": "int8", "ladder_seconds": 0.0}, "ladder_seconds=0.0"),
    ],
)
def test_what_does_not_go_together_is_refused(
    arguments: dict[str, object], words: str, run: residua.Run, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=words):
        export(run, out=tmp_path / "out", **arguments)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
