"""A converted graph behind OpenVINO or ONNX Runtime: opened without torch, and with one copy of the weights."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from residua._base.errors import InputError
from residua.data.decode import Pixels
from residua.data.preprocess.arrays import normalised_array
from residua.exporting.names import FILES, FormatName
from residua.runtime.engines.sessions import OnnxRuntimeSession, OpenVINOSession, Session, usable_processors
from residua.serving.networks.network import (
    Description,
    Doubles,
    Floats,
    Images,
    Picture,
    Source,
    grouped,
    shares,
    unexplained,
)

FORMATS: dict[str, FormatName] = {"openvino": "openvino", "onnxruntime": "onnx"}
"""The format of the graph that an engine opens."""


class GraphNetwork:
    """See `Network`.

    Args:
        session: computes normalised images.
        description: what it is.
        explain: explains an answer; it is allowed to import torch.

    Attributes:
        description: what it is.
    """

    def __init__(
        self, session: Session, description: Description, explain: Callable[[Pixels, int], Picture] | None = None
    ) -> None:
        self._session, self.description, self._explain = session, description, explain

    def logits(self, parts: Sequence[Images]) -> Floats:
        """See `Network`."""
        spec = self.description.preprocess
        outputs = [
            self._session(
                np.ascontiguousarray(group.transpose(0, 2, 3, 1))
                if isinstance(group, np.ndarray)
                else normalised_array(np.stack(group), spec)
            )
            for group in grouped(parts)
        ]
        return outputs[0] if len(outputs) == 1 else np.concatenate(outputs)

    def probabilities(self, logits: Floats) -> Doubles:
        """See `Network`."""
        return shares(logits, self.description)

    def explained(self, image: Pixels, target: int) -> Picture:
        """See `Network`."""
        if self._explain is None:
            return unexplained("An export cannot be explained: serve the run that it was made of.")
        return self._explain(image, target)


def open_session(engine: str, precision: str, folder: Path) -> OpenVINOSession | OnnxRuntimeSession:
    """Open the graph in a folder.

    Args:
        engine: "openvino" or "onnxruntime".
        precision: that it computes in.
        folder: holds the graph under the name of an export's.

    Raises:
        InputError: the extra is not installed; a precision that this processor does not have; a file that the runtime
            cannot read.
    """
    path = folder / FILES[FORMATS[engine]][0]
    try:
        if engine == "openvino":
            return OpenVINOSession(path, precision, usable_processors())
        return OnnxRuntimeSession(path, usable_processors())
    except InputError:
        raise
    except Exception as error:  # Runtimes raise what they like.
        reason = str(error).strip().partition("\n")[0][:200]
        raise InputError(
            f"{path}, which {engine} cannot open ({reason})", "a graph that it wrote", "Export again"
        ) from None


class LazyExplainer:
    """Explains answers of a run that a converted graph computes: torch and the run are loaded with the first.

    Args:
        source: the run.
        weights_sha256: of the tensors that the graph was made of.
    """

    def __init__(self, source: Source, weights_sha256: str) -> None:
        self._source, self._weights_sha256 = source, weights_sha256
        self._run: Any = None
        self._loading = threading.Lock()

    def __call__(self, image: Pixels, target: int) -> Picture:
        """Return the evidence for class `target`; see `Network.explained`.

        Raises:
            InputError: the folder has no run any more, or one of other weights than those that answer.
        """
        from residua.serving.networks.pictures import explained
        from residua.weights.open import load

        with self._loading:
            if self._run is None:
                run = load(self._source)
                if run.weights_sha256 != self._weights_sha256:
                    raise InputError(
                        f"{self._source}, which holds other weights than those that answer",
                        "the run that is served",
                        "Load the model again",
                    )
                self._run = run
        return explained(self._run, image, target)
