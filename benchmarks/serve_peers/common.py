"""What the servers of others share: torchvision's network with the weights of the run, and its own preprocessing."""

from __future__ import annotations

import io
import os
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file
from torchvision.models import resnet50
from torchvision.transforms import v2

MOST = 16
"""Images of a batch, where a server forms batches."""
WAIT_SECONDS = 0.01
"""That such a server waits for a batch to fill."""
_TRANSFORM = v2.Compose(
    [
        v2.PILToTensor(),
        v2.Resize(256),
        v2.CenterCrop(224),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
)


def network() -> Any:
    """Return the network, with the weights in the file $WEIGHTS."""
    torch.set_num_threads(int(os.environ.get("THREADS", torch.get_num_threads())))
    model = resnet50(weights=None)
    model.load_state_dict(load_file(os.environ["WEIGHTS"]))
    return model.eval()


def tensor(content: bytes) -> torch.Tensor:
    """Return an encoded image as the network takes it, (3, 224, 224)."""
    image: torch.Tensor = _TRANSFORM(Image.open(io.BytesIO(content)).convert("RGB"))
    return image


@torch.inference_mode()
def answers(model: Any, images: list[torch.Tensor]) -> list[dict[str, Any]]:
    """Return the five best classes of each image."""
    probabilities, classes = model(torch.stack(images)).softmax(1).topk(5)
    return [
        {"labels": labels, "probabilities": values}
        for labels, values in zip(classes.tolist(), probabilities.tolist(), strict=True)
    ]
