"""OpenVINO Model Server's folder: config.json, and one folder per model with numbered versions.

Source: openvinotoolkit/model_server, src/schema.cpp, and docs/models_repository.md.
"""

from __future__ import annotations

import json

from residua.exporting.names import ExportPrecision


def ovms_config(served: str, precision: ExportPrecision) -> str:
    """Return config.json, which the server is started with.

    It states the arithmetic: OpenVINO takes bf16 by itself where a processor has it. The path of the model is that
    beside config.json.
    """
    hint = "bf16" if precision == "bf16" else "f32"
    config = {
        "name": served,
        "base_path": served,
        "target_device": "CPU",
        "plugin_config": {"INFERENCE_PRECISION_HINT": hint},
    }
    return json.dumps({"model_config_list": [{"config": config}]}, indent=2) + "\n"
