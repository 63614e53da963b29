"""Write a graph, open it again and run it; for int8, once per step of the ladder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch.export import ExportedProgram

from residua._base.console import Progress
from residua._base.words import counted
from residua.evaluation.measures.drop import accuracy_drop
from residua.exporting.formats import converted, open_graph, write_model
from residua.exporting.gate import Step, Verdict, judge
from residua.exporting.golden import Golden
from residua.exporting.graph_input import GraphForm
from residua.exporting.ladders import nncf, onnxruntime
from residua.exporting.ladders.calibration import Calibration
from residua.exporting.names import FILES, ExportPrecision, FormatName
from residua.exporting.part import Part
from residua.exporting.proof import Proof, prove
from residua.exporting.resizing.fit import with_resize

_BF16 = "the files hold float32; open them with INFERENCE_PRECISION_HINT=bf16, as they were proven"


class Outcome(NamedTuple):
    """What became of a graph.

    Attributes:
        proof: of the files that were kept.
        verdict: the gate's answer to it.
        steps: of the ladder to int8; none for other precisions.
        sentences: on how the graph was made.
    """

    proof: Proof
    verdict: Verdict
    steps: tuple[Step, ...]
    sentences: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Trial:
    """What a graph is held against.

    Attributes:
        format: of the files.
        precision: of the export.
        form: what the graph takes and gives.
        golden: golden images with eager's answers.
        part: labelled images with eager's logits, or None.
        max_drop: the loss of top-1 that int8 may have, a fraction of 1.
        ladder_seconds: the time after which no further step to int8 is begun.
        progress: called with (images done, images in total) of the part.
        on_step: called with each step of the ladder that was tried.
    """

    format: FormatName
    precision: ExportPrecision
    form: GraphForm
    golden: Golden
    part: Part | None
    max_drop: float
    ladder_seconds: float
    progress: Progress | None
    on_step: Callable[[Step], None] | None

    def run(self, program: ExportedProgram, metadata: Mapping[str, str], folder: Path) -> Outcome:
        """Write a graph's files into `folder`, and run them from there."""
        if self.precision == "int8":
            assert self.part is not None
            return self._climb(program, metadata, folder, self.part)
        self._write(converted(self.format, program, self.form.outputs), folder, metadata)
        proof, verdict = self._proven(folder)
        return Outcome(proof, verdict, (), (_BF16,) if self.precision == "bf16" else ())

    def _proven(self, folder: Path) -> tuple[Proof, Verdict]:
        answers, _ = open_graph(self.format, folder, self.precision)
        proof = prove(answers, self.form, self.golden, self.part, self.progress)
        return proof, judge(proof, self.precision, self.max_drop, any_size=self.form.any_size)

    def _write(self, model: Any, folder: Path, metadata: Mapping[str, str]) -> None:
        whole = with_resize(self.format, model, self.form.preprocess) if self.form.any_size else model
        write_model(self.format, whole, folder, metadata)

    def _climb(self, program: ExportedProgram, metadata: Mapping[str, str], folder: Path, part: Part) -> Outcome:
        """Try the steps of the ladder until one passes; else keep the best of those that do not fail.

        Where the images are too few to decide even a network that answers all of them alike, no step can pass. The
        first that loses no more than allowed on these images is then the last to be tried.
        """
        calibration = Calibration.of(part, self.form, self.ladder_seconds)
        alike = np.ones(len(part), bool)
        decidable = accuracy_drop(alike, alike, self.max_drop).answer == "passes"
        steps: list[Step] = []
        kept: tuple[str, Proof, Verdict] | None = None
        model = converted(self.format, program, self.form.outputs)
        ladder = quantised(self.format, model, calibration, self.max_drop)
        last = onnxruntime.LAST_STEP if self.format == "onnx" else nncf.LAST_STEP
        out_of_time = False
        for recipe, smaller in ladder:
            with tempfile.TemporaryDirectory() as scratch:
                written = Path(scratch)
                self._write(smaller, written, metadata)
                proof, verdict = self._proven(written)
                steps.append(Step(recipe, verdict))
                if self.on_step is not None:
                    self.on_step(steps[-1])
                if kept is None or _rank(verdict, proof) > _rank(kept[2], kept[1]):
                    kept = recipe, proof, verdict
                    for name in FILES[self.format]:
                        shutil.copyfile(written / name, folder / name)
            loses = verdict.drop is not None and verdict.drop.drop > self.max_drop
            if verdict.answer == "passes" or (verdict.answer == "undecided" and not decidable and not loses):
                break
            if calibration.is_over:
                out_of_time = not recipe.startswith(last)
                break
        else:
            # The last step alone ends by itself when the time is over.
            out_of_time = calibration.is_over and not steps[-1].recipe.startswith(last)
        assert kept is not None
        recipe, proof, verdict = kept
        tool = "NNCF" if self.format == "openvino" else "ONNX Runtime"
        images = counted(len(calibration.images), "training image")
        sentences = [f"int8 by {tool}, calibrated on {images}; recipe taken: {recipe}"]
        if out_of_time:
            sentences.append(f"the ladder ended after {self.ladder_seconds:g} seconds; further steps were not tried")
        return Outcome(proof, verdict, tuple(steps), tuple(sentences))


def _rank(verdict: Verdict, proof: Proof) -> tuple[int, float, float]:
    """Return how good a step is: by the gate's answer, then by the loss of top-1, then by agreement; more is better."""
    loss = 0.0 if verdict.drop is None else verdict.drop.drop
    return ("fails", "undecided", "passes").index(verdict.answer), -loss, proof.rows[-1].agreement


def quantised(name: FormatName, model: Any, calibration: Calibration, max_drop: float) -> Iterator[tuple[str, Any]]:
    """Yield (recipe, model) for each step of a format's ladder, each made when it is asked for."""
    if name == "onnx":
        return onnxruntime.quantised_onnx(model, calibration)
    return nncf.quantised_openvino(model, calibration, max_drop)
