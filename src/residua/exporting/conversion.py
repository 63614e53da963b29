"""From a run to a graph: batch normalisation folded, everything traced once, and what is stored inside."""

from __future__ import annotations

import json

import numpy as np
import torch
from torch.export import ExportedProgram

from residua._version import __version__
from residua.data.preprocess.normalise import normalise
from residua.data.preprocess.resize import apply_uint8
from residua.exporting.golden import Golden, golden_pixels
from residua.exporting.graph_input import GraphForm
from residua.exporting.reading.stored import StoredRun
from residua.exporting.resizing.fit import raw_size
from residua.runtime.engines.engine import open_engine
from residua.runtime.graphs.fold import fold_batch_norm
from residua.runtime.graphs.program import LEAST_EXAMPLES, export_program
from residua.specs.preprocess import describe, size_words
from residua.weights.bundle.value import hash_tensors
from residua.weights.run import Run


def trace(run: Run, form: GraphForm) -> tuple[ExportedProgram, tuple[str, ...]]:
    """Return a run's network as one graph in evaluation mode, the batch free, and sentences on how it was made."""
    folding = fold_batch_norm(run.model, (LEAST_EXAMPLES, 3, *run.preprocess_spec.size))
    program = export_program(form.around(folding.network), form.example(LEAST_EXAMPLES))
    return program, (folding.sentence, _input_sentence(form))


def golden_of(run: Run, form: GraphForm) -> Golden:
    """Return golden images with what a graph of a run should give for them: eager's answers, in fp32 on the CPU."""
    spec = run.preprocess_spec
    pixels = golden_pixels(raw_size(spec) if form.any_size else spec.size)
    prepared = np.stack([apply_uint8(each, spec) for each in pixels]) if form.any_size else pixels
    batch = normalise(torch.from_numpy(prepared).permute(0, 3, 1, 2), run.preprocess_spec)
    logits = open_engine(run.model, "eager", precision="fp32", device="cpu")(batch)
    return Golden(pixels, form.expected(logits).clone())


def stored_run(run: Run) -> StoredRun:
    """Return what a certificate states of a run."""
    stored: StoredRun = {
        "name": run.name,
        "model": run.spec.name,
        "weights_sha256": hash_tensors(run.model.state_dict()),
        "temperature": run.temperature,
        "preprocess": run.preprocess_spec.to_json(whole=True),
    }
    if run.multilabel is not None:
        stored["label_thresholds"] = list(run.multilabel.thresholds)
    return stored


def metadata(run: Run, form: GraphForm, precision: str) -> dict[str, str]:
    """Return what a served graph needs beside its tensors, as texts by key.

    `preprocess` is the evaluation transform as JSON. Of numbers for each pixel it has shape and hash alone: then only
    a graph with the preprocessing inside can be used without the run. `thresholds` gives for some accuracies the
    probability from which on an answer is given; "{}" where the run has none. `rejection` is the score, and the
    threshold above which an image is unknown: "null" where the run has none. `label_thresholds` is there where an image
    may have several labels: the probability, a sigmoid, from which on it has each.
    """
    several = run.multilabel
    return {
        "version": __version__,
        "model": run.spec.name,
        "run": hash_tensors(run.model.state_dict()),
        "classes": json.dumps(run.classes, ensure_ascii=False),
        "preprocess": json.dumps(run.preprocess_spec.to_json()),
        "temperature": repr(run.temperature),
        "thresholds": json.dumps((run.calibration or {}).get("thresholds", {})),
        "rejection": json.dumps(run.rejection and run.rejection.to_json(whole=False)),
        "input": "pixels of any size" if form.any_size else "pixels" if form.with_preprocessing else "normalised",
        "output": form.output,
        "precision": precision,
        **({} if several is None else {"label_thresholds": json.dumps(list(several.thresholds))}),
    }


def _input_sentence(form: GraphForm) -> str:
    if form.any_size:
        return "takes uint8 images of any size, RGB, channels last, resizes and crops them, and gives probabilities"
    if form.with_preprocessing:
        return (
            f"takes uint8 images of {size_words(form.preprocess.size)} pixels, RGB, channels last, and gives "
            "probabilities; resize and crop stay outside"
        )
    return f"takes normalised float32 images, RGB, channels first, and gives logits ({describe(form.preprocess)})"
