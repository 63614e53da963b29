"""The static folder of format="web": a page, the graph, and ONNX Runtime Web from the user's copy."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from residua._base.errors import InputError
from residua._base.files import sha256_file
from residua._base.json_file import read_json
from residua.data.decode import MAX_PIXELS
from residua.evaluation.rejection.rejecter import deciding
from residua.figures.pages import environment
from residua.specs.preprocess import PreprocessSpec
from residua.weights.run import Run

POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'"
)
"""Scripts and files of the page's own host alone; `wasm-unsafe-eval` lets WebAssembly be compiled, and no text run."""
SCRIPT = "ort.wasm.min.js"
_FILES = (SCRIPT, "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
_LARGEST_BYTES = 256 << 20
_PACKAGE = "onnxruntime-web"
_REMEDY = "Run npm install onnxruntime-web, and give node_modules/onnxruntime-web"


@dataclass(frozen=True)
class WebRuntime:
    """A copy of ONNX Runtime Web.

    Attributes:
        folder: holds its files.
        version: of the npm package.
    """

    folder: Path
    version: str

    @classmethod
    def open(cls, folder: Path | None) -> WebRuntime:
        """Find the files in the folder of the npm package.

        Raises:
            InputError: no folder, or one that is no such package.
        """
        if folder is None:
            raise InputError("format='web' without runtime", f"the folder of the npm package {_PACKAGE}", _REMEDY)
        described = folder / "package.json"
        document: dict[str, Any] = read_json(described, dict) if described.is_file() else {}
        if document.get("name") != _PACKAGE:
            raise InputError(
                f"runtime={folder}, which is no copy of {_PACKAGE}", f"the npm package {_PACKAGE}", _REMEDY
            )
        files = folder / "dist"
        for name in _FILES:
            status = (files / name).lstat() if (files / name).exists() else None
            if status is None or not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST_BYTES:
                raise InputError(
                    f"runtime={folder}, whose dist/ has no {name}", f"a version of {_PACKAGE} that has it", _REMEDY
                )
        return cls(files, str(document.get("version")))

    @property
    def sentence(self) -> str:
        """What is copied, in one line."""
        hashes = ", ".join(f"{name} {sha256_file(self.folder / name)[:16]}…" for name in _FILES)
        return f"{_PACKAGE} {self.version}, copied as it is (SHA-256: {hashes})"


def check_rejection(run: Run) -> None:
    """Go on where the page can decide which answers are "unknown", as the run does.

    Raises:
        InputError: the run's rejection needs features, and the page has logits alone.
    """
    if run.rejection is not None and run.rejection.uses_features:
        raise InputError(
            f"format='web' of a run that rejects by {run.rejection.score!r}, which needs features",
            "a rejection by 'softmax' or 'energy', as a page in the browser has logits alone",
            "Calibrate the run again with one of them, or use another format",
        )


def write_site(folder: Path, run: Run, runtime: WebRuntime) -> None:
    """Write the page and the runtime beside the graph, which takes pixels and gives probabilities.

    Args:
        folder: holds model.onnx.
        run: what was exported.
        runtime: the user's copy of ONNX Runtime Web.
    """
    for name in _FILES:
        shutil.copyfile(runtime.folder / name, folder / name)
    digest = hashlib.sha384((folder / SCRIPT).read_bytes()).digest()
    integrity = f"sha384-{base64.b64encode(digest).decode()}"
    templates = environment("residua.exporting.web")
    for name in ("index.html", "page.css", "page.js"):
        text = templates.get_template(name).render(policy=POLICY, runtime={"name": SCRIPT, "integrity": integrity})
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "model.json").write_text(json.dumps(_about(run), ensure_ascii=False) + "\n", encoding="utf-8")


def resize_plan(spec: PreprocessSpec) -> dict[str, Any]:
    """Return what the page's script needs of a transform to resize and crop; the graph does the rest."""
    return {
        "size": spec.size,
        "resized": spec.resized_size,
        "resize": spec.resize,
        "interpolation": spec.interpolation,
        "crop_mode": spec.crop_mode,
        "fill": [min(255, max(0, round(255 * value))) for value in spec.mean],
    }


def _about(run: Run) -> dict[str, Any]:
    """Return what the page states of the network, in the words of the server's /about."""
    several = run.multilabel
    top1, count = run.metrics.get("top1"), run.metrics.get("count")
    threshold, rejection = deciding(run.rejection, (run.calibration or {}).get("thresholds") or {})
    return {
        "name": run.folder.resolve().name,
        "version": "1",
        "network": run.spec.name,
        "labels": run.classes,
        "preprocess": resize_plan(run.preprocess_spec),
        "top1": top1 if isinstance(top1, int | float) else None,
        "count": count if isinstance(count, int) else None,
        "split": str(run.metrics.get("split") or ""),
        "data": str(run.data.get("given") or ""),
        "threshold": threshold,
        "rejection": None if rejection is None else rejection.to_json(whole=False),
        "most_pixels": MAX_PIXELS,
        # As the server's /about states them.
        **({} if several is None else {"label_thresholds": dict(zip(run.classes, several.thresholds, strict=True))}),
    }
