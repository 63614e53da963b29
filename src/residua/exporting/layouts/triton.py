"""Triton's model repository: one folder per model with config.pbtxt, labels and numbered versions.

Source: triton-inference-server/server, docs/user_guide/model_repository.md and model_configuration.md.
"""

from __future__ import annotations

import json

from residua.exporting.graph_input import GraphForm
from residua.exporting.names import BATCHES, FILES, FormatName
from residua.runtime.graphs.program import INPUT

_BACKENDS: dict[FormatName, str] = {"onnx": "onnxruntime", "openvino": "openvino"}


def triton_config(served: str, name: FormatName, form: GraphForm, classes: int, labels: str) -> str:
    """Return config.pbtxt, a `ModelConfig` in protobuf's text format.

    Args:
        served: the name of the model's folder.
        name: of the export's format.
        form: what the graph takes and gives.
        classes: of the network.
        labels: the file with the classes' names, for the classification extension.
    """
    _, *dims = form.example(1).shape
    if form.any_size:
        dims = [-1, -1, 3]
    kind = "TYPE_UINT8" if form.with_preprocessing else "TYPE_FP32"
    quoted = json.dumps  # strings of the text format escape as JSON does, for ASCII
    return "\n".join(
        [
            f"name: {quoted(served)}",
            f"backend: {quoted(_BACKENDS[name])}",
            f"default_model_filename: {quoted(FILES[name][0])}",
            # The largest batch that was proven.
            f"max_batch_size: {max(BATCHES)}",
            "input [",
            f"  {{ name: {quoted(INPUT)} data_type: {kind} dims: {dims} }}",
            "]",
            "output [",
            f"  {{ name: {quoted(form.output)} data_type: TYPE_FP32 dims: [{classes}]",
            f"    label_filename: {quoted(labels)} }}",
            "]",
            # Without a delay: a batch never waits, and takes what has come meanwhile.
            "dynamic_batching { }",
            "instance_group [ { kind: KIND_CPU } ]",
            "",
        ]
    )
