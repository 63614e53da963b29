"""What the run answers "unknown", its page does too; a rejection that the page cannot compute is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import residua
from chromium import chromium, chromium_path
from evaluation.runs import COLOURS, colour_run, noise, paint
from exporting.web.hosting import empty_runtime, hosted, runtime_folder
from residua.cli.app import main
from residua.data.decode import decode
from residua.data.preprocess.resize import read_uint8
from residua.evaluation.rejection.fit import NEIGHBOURS
from residua.evaluation.rejection.rejecter import Rejecter
from residua.evaluation.rejection.scores import fit_arrays, logit_scores, stored
from residua.exporting.export import export
from residua.exporting.recheck import check_export
from residua.specs.rejection import Rejection, ScoreName

SCRIPT = Path(residua.__file__).parent / "exporting" / "web" / "templates" / "device.js"
RUNNER = """
for (const line of require("fs").readFileSync(0, "utf8").trim().split("\\n")) {
  const { about, chances, logits } = JSON.parse(line);
  console.log(isUnknown(about, Float32Array.from(chances), Float32Array.from(logits)));
}
"""


def _rejection(score: ScoreName, threshold: float, temperature: float = 1.0, **arrays: Any) -> dict[str, Any]:
    return Rejection(score, threshold, 0.3, 0.25, 40, temperature=temperature, **arrays).to_json()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    files = [paint(folder / f"{name}.png", value, 20) for name, value in COLOURS.items()]
    for number in range(3):
        files.append(folder / f"noise{number}.png")
        noise(30 + number).save(files[-1])
    return files


@pytest.fixture(scope="module")
def run(pictures: list[Path], tmp_path_factory: pytest.TempPathFactory) -> residua.Run:
    """A run that rejects by energy half of the pictures; its probabilities alone would reject others."""
    folder = tmp_path_factory.mktemp("runs")
    scores = np.sort(logit_scores("energy", _logits(residua.load(colour_run(folder / "plain")), pictures), 1.0))
    threshold = float(scores[2] + scores[3]) / 2
    assert scores[3] - scores[2] > 1e-3
    calibration = {"temperature": 1.0, "thresholds": {"0.95": 0.999}, "rejection": _rejection("energy", threshold)}
    return residua.load(colour_run(folder / "energy", calibration=calibration))


def _logits(run: residua.Run, pictures: list[Path]) -> np.ndarray[Any, Any]:
    with torch.inference_mode():
        return np.asarray(run.model(torch.stack([run.preprocess(path) for path in pictures])))


def _unknown(run: residua.Run, pictures: list[Path]) -> list[bool]:
    rejecter = Rejecter.of(run.rejection)
    assert rejecter is not None
    unknown: list[bool] = rejecter.unknown(_logits(run, pictures)).tolist()
    return unknown


def test_the_page_scores_logits_as_the_run_does(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node, which runs the page's script here")
    generator = np.random.default_rng(0)
    jobs, wanted = [], []
    for number in range(60):
        logits = generator.normal(0, 5, (1, 5)).astype(np.float32)
        powers = np.exp(logits[0].astype(np.float64) - logits.max())
        chances = (powers / powers.sum()).tolist()
        score: ScoreName = "softmax" if number % 2 else "energy"
        temperature = 0.5 + number % 3
        value = float(logit_scores(score, logits, temperature)[0])
        for offset in (-1e-9, 1e-9):
            about = {"threshold": None, "rejection": {"score": score, "threshold": value + offset}}
            about["rejection"]["temperature"] = temperature  # type: ignore[index]
            jobs.append({"about": about, "chances": chances, "logits": logits[0].tolist()})
            wanted.append("true" if offset < 0 else "false")
    for threshold, answer in ((None, "null"), (0.7, "true"), (0.5, "false")):
        jobs.append({"about": {"rejection": None, "threshold": threshold}, "chances": [0.4, 0.6], "logits": []})
        wanted.append(answer)
    program = tmp_path / "run.js"
    program.write_text(SCRIPT.read_text(encoding="utf-8") + RUNNER)
    text = "".join(json.dumps(job) + "\n" for job in jobs)
    done = subprocess.run([node, program], input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == wanted


def test_the_folder_holds_the_rejection_and_its_graph_gives_logits(
    run: residua.Run, pictures: list[Path], tmp_path: Path
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="no ONNX Runtime: pip install 'residua[onnx]'")
    out = tmp_path / "out"
    export(run, format="web", runtime=empty_runtime(tmp_path / "npm"), out=out, golden_only=True)
    about = json.loads((out / "model.json").read_text())
    assert run.rejection is not None
    assert about["rejection"] == run.rejection.to_json(whole=False)
    assert about["threshold"] is None
    assert check_export(out).verdict.answer == "passes"
    session = onnxruntime.InferenceSession(str(out / "model.onnx"))
    pixels = np.stack([read_uint8(lambda path=path: decode(path), run.preprocess_spec) for path in pictures])
    probabilities, logits = session.run(["probabilities", "logits"], {session.get_inputs()[0].name: pixels})
    np.testing.assert_allclose(logits, _logits(run, pictures), atol=1e-4)
    np.testing.assert_allclose(probabilities, torch.from_numpy(logits).softmax(1), atol=1e-6)
    # One output where nothing reads logits.
    plain = residua.load(colour_run(tmp_path / "plain"))
    export(plain, format="web", runtime=tmp_path / "npm", out=tmp_path / "other", golden_only=True)
    session = onnxruntime.InferenceSession(str(tmp_path / "other" / "model.onnx"))
    assert [each.name for each in session.get_outputs()] == ["probabilities"]


@pytest.mark.parametrize("score", ["knn", "mahalanobis"])
def test_a_rejection_by_features_is_refused(
    score: ScoreName, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    features = np.random.default_rng(0).normal(size=(40, 8))
    arrays = stored(fit_arrays(score, features, np.arange(40) % 3, NEIGHBOURS))
    calibration = {"temperature": 1.0, "thresholds": {}, "rejection": _rejection(score, 1.0, arrays=arrays)}
    folder = colour_run(tmp_path / "run", calibration=calibration)
    npm = empty_runtime(tmp_path / "npm")
    words = ["export", str(folder), "--format", "web", "--runtime", str(npm), "--out", str(tmp_path / "out")]
    assert main([*words, "--golden-only"]) == 2
    assert f"rejects by '{score}'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_page_answers_unknown_as_the_run_does(run: residua.Run, pictures: list[Path], tmp_path: Path) -> None:
    chromium_path()
    out = tmp_path / "out"
    export(run, format="web", runtime=runtime_folder(), out=out, golden_only=True)
    with hosted(out) as address, chromium(tmp_path / "profile") as tab:
        tab.open(address)
        tab.wait("document.querySelector('#about b')")
        assert 'it calls "unknown"' in tab.run("document.querySelector('#about').textContent")
        tab.choose("#files", *pictures)
        tab.wait("document.querySelector('#status').textContent.startsWith('6 of 6')")
        shown = tab.run("[...document.querySelectorAll('article')].map((each) => each.classList.contains('unknown'))")
        assert shown == _unknown(run, pictures)
        assert sum(shown) == 3
