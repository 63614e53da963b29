"""Each format's file: written from a traced graph, and opened again to be run."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from residua._base.errors import Damaged, InputError
from residua._base.packages import package
from residua.exporting.graph_input import Answers
from residua.exporting.names import FILES, ONNX, ExportPrecision, FormatName
from residua.runtime.engines.sessions import METADATA_PREFIX, openvino_metadata
from residua.runtime.graphs.external_data import check_external_data
from residua.runtime.graphs.onnx import to_onnx
from residua.runtime.graphs.openvino import to_openvino
from residua.runtime.graphs.openvino_core import openvino_core
from residua.runtime.graphs.program import quiet_export

_EXTRA = f"{METADATA_PREFIX}.json"


def converted(name: FormatName, program: ExportedProgram, outputs: tuple[str, ...]) -> Any:
    """Return a traced graph as a format's own model: an `onnx.ModelProto`, an `openvino.Model`, or itself.

    Args:
        name: of the format.
        program: see `residua.runtime.graphs.program`.
        outputs: the names of the graph's outputs.

    Raises:
        InputError: a package of the format's extra is missing.
    """
    if name == "torch":
        return program
    return to_onnx(program, outputs=outputs) if name in ONNX else to_openvino(program, outputs=outputs)


def write_model(name: FormatName, model: Any, folder: Path, metadata: Mapping[str, str]) -> None:
    """Write a model of `converted` as the files of its format, with metadata: texts by key, stored inside."""
    if name == "torch":
        text = json.dumps(dict(metadata), ensure_ascii=False)
        torch.export.save(model, folder / FILES["torch"][0], extra_files={_EXTRA: text})
    elif name in ONNX:
        _write_onnx(model, folder, metadata)
    else:
        _write_openvino(model, folder, metadata)


def _write_onnx(model: Any, folder: Path, metadata: Mapping[str, str]) -> None:
    """Write an `onnx.ModelProto` with metadata, in one file."""
    model.producer_name = METADATA_PREFIX
    del model.metadata_props[:]
    for key, value in metadata.items():
        model.metadata_props.add(key=f"{METADATA_PREFIX}.{key}", value=value)
    (folder / FILES["onnx"][0]).write_bytes(model.SerializeToString())


def _write_openvino(model: Any, folder: Path, metadata: Mapping[str, str]) -> None:
    """Write an `openvino.Model` with metadata, its weights as they are: float32 stays float32."""
    for key, value in metadata.items():
        model.set_rt_info(value, [METADATA_PREFIX, key])
    package("openvino", "openvino").save_model(model, folder / FILES["openvino"][0], compress_to_fp16=False)


def open_graph(name: FormatName, folder: Path, precision: ExportPrecision) -> tuple[Answers, dict[str, str]]:
    """Open the files of a format; return what runs them, and their metadata.

    Precision asked for is precision run: OpenVINO takes bf16 by itself where a processor has it.

    Args:
        name: of the format.
        folder: where the files are.
        precision: of the export.

    Raises:
        InputError: a package of the format's extra is missing; bf16 on a processor without it; an ONNX file that reads
            weights from outside its folder.
        Damaged: the file holds more than a graph and its weights, or is none that its runtime opens.
    """
    path = folder / FILES[name][0]
    try:
        if name == "torch":
            return _open_torch(path)
        return _open_onnx(path) if name in ONNX else _open_openvino(path, precision)
    except InputError:
        raise
    except Exception as error:  # Runtimes raise what they like.
        reason = " ".join(str(error).split())[:200]
        raise Damaged(path, f"its runtime cannot open it ({reason})") from None


def _open_torch(path: Path) -> tuple[Answers, dict[str, str]]:
    _refuse_pickles(path)
    extra = {_EXTRA: ""}
    with quiet_export():
        program = torch.export.load(path, extra_files=extra).module()

    def answers(images: Tensor) -> Tensor:
        with torch.inference_mode():
            outputs: Tensor = program(images)
        return outputs

    return answers, json.loads(extra[_EXTRA])


def _refuse_pickles(path: Path) -> None:
    """Refuse a .pt2 with anything that torch would unpickle: weights as raw bytes are enough for every network."""
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.namelist():
                where = entry.partition("/")[2]
                raw = where.startswith(("data/weights/weight_", "data/constants/tensor_"))
                if where.startswith("data/sample_inputs/"):
                    # torch unpickles whatever it is where this refuses.
                    torch.load(io.BytesIO(archive.read(entry)), weights_only=True)
                elif where.startswith("data/") and not raw and not where.endswith(".json"):
                    raise Damaged(path, f"it holds {where}, which torch would unpickle")
                if where.endswith("_config.json") and b'"use_pickle": true' in archive.read(entry):
                    raise Damaged(path, "it holds tensors that torch would unpickle")
    except zipfile.BadZipFile:
        raise Damaged(path, "it is no archive") from None
    except pickle.UnpicklingError:
        raise Damaged(path, "its sample inputs are more than tensors") from None


def _open_onnx(path: Path) -> tuple[Answers, dict[str, str]]:
    runtime = package("onnxruntime", "onnx")
    check_external_data(path)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()

    def answers(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {entry.name: images.numpy()})[0])

    stored = session.get_modelmeta().custom_metadata_map
    return answers, {key.removeprefix(f"{METADATA_PREFIX}."): value for key, value in stored.items()}


def _open_openvino(path: Path, precision: ExportPrecision) -> tuple[Answers, dict[str, str]]:
    core = openvino_core(precision)
    model = core.read_model(path)
    hint = "bf16" if precision == "bf16" else "f32"
    options = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = core.compile_model(model, "CPU", options)

    def answers(images: Tensor) -> Tensor:
        return torch.from_numpy(compiled(images.numpy())[0].copy())

    return answers, openvino_metadata(model)
