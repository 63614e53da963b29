"""Convert a run for a runtime of its own, as a process: RUN, ENGINE and the FOLDER for the files are its arguments."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch

from residua._base.errors import InputError
from residua._base.files import sha256_file
from residua._base.subprocesses import at_end_of_stdin
from residua.exporting.formats import converted, write_model
from residua.exporting.names import FILES
from residua.runtime.graphs.fold import fold_batch_norm
from residua.runtime.graphs.program import LEAST_EXAMPLES, example_images, export_program
from residua.serving.networks.graph_network import FORMATS
from residua.serving.networks.kept_graph import DESCRIPTION, REFUSAL, StoredGraph
from residua.serving.networks.run_network import describe_run
from residua.weights.open import load


def convert(folder: Path, engine: str, out: Path) -> None:
    """Write the graph of a run and its description into `out`: that which the engine of `predict` computes.

    Raises:
        InputError: as `load`; an extra that is not installed.
    """
    run = load(folder)
    size = (3, *run.preprocess_spec.size)
    with torch.no_grad():
        network = fold_batch_norm(run.model, (LEAST_EXAMPLES, *size)).network
        program = export_program(network, example_images(size))
    form = FORMATS[engine]
    write_model(form, converted(form, program, ("logits",)), out, {})
    files = {name: sha256_file(out / name) for name in FILES[form]}
    stated = describe_run(run, engine, "fp32").to_json()
    document = StoredGraph(network=stated, files=files, weights_sha256=run.weights_sha256)
    (out / DESCRIPTION).write_text(json.dumps(document), encoding="utf-8")


def main() -> int:
    """Convert; a refusal is written into the folder, for the process that waits."""
    at_end_of_stdin(lambda: os._exit(1))
    folder, engine, out = sys.argv[1:]
    try:
        convert(Path(folder), engine, Path(out))
    except InputError as error:
        Path(out, REFUSAL).write_text(json.dumps([error.given, error.wanted, error.remedy]), encoding="utf-8")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
