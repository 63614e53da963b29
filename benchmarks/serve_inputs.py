"""What the benchmark of the server serves and sends: an untrained resnet50, its export in int8, a prepared image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MOST_DROP = 0.99  # of top-1: the weights are untrained


def save_run(folder: Path) -> Path:
    """Save an untrained resnet50, whose tensors have torchvision's names, as a run."""
    import torch

    from residua.families.build import build
    from residua.specs.catalog import get_spec
    from residua.specs.preprocess import PreprocessSpec
    from residua.weights.bundle.write import save_bundle

    torch.manual_seed(0)
    spec = get_spec("resnet50")
    classes = [str(each) for each in range(spec.num_classes)]
    options: dict[str, Any] = {"metrics": {}, "data": {}, "recipe": None}
    save_bundle(
        folder, tensors=build(spec).state_dict(), spec=spec, classes=classes, preprocess=PreprocessSpec(), **options
    )
    return folder


def quantised(run: Path, folder: Path) -> Path:
    """Export the run in int8, on photos made here: what untrained weights answer is no matter, only how fast."""
    import numpy as np
    from PIL import Image

    from residua.exporting.export import export

    numbers = np.random.default_rng(0)
    for part, count in (("train", 16), ("val", 4)):
        for name in ("0", "1"):
            place = folder / "photos" / part / name
            place.mkdir(parents=True)
            for number in range(count):
                small = numbers.integers(0, 256, (20, 20, 3), np.uint8)
                Image.fromarray(small).resize((256, 256)).save(place / f"{number}.jpg")
    out = folder / "int8"
    return export(run, folder / "photos", format="openvino", precision="int8", out=out, max_drop=MOST_DROP).folder


def write_tensor(path: Path) -> tuple[Path, dict[str, str]]:
    """Write a request of one prepared image in the protocol's binary form; return its file and headers."""
    import numpy as np

    values = np.random.default_rng(0).standard_normal((1, 3, 224, 224), np.float32).tobytes()
    entry = {"name": "tensor", "shape": [1, 3, 224, 224], "datatype": "FP32"}
    outputs = [{"name": "probabilities", "parameters": {"binary_data": True}}]
    document = {"inputs": [entry | {"parameters": {"binary_data_size": len(values)}}], "outputs": outputs}
    head = json.dumps(document).encode()
    path.write_bytes(head + values)
    return path, {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
