"""The server of the tutorials: FastAPI, one image per request, one forward pass per image, in FastAPI's threads."""

from __future__ import annotations

import os
from typing import Annotated, Any

import uvicorn
from common import answers, network, tensor
from fastapi import Body, FastAPI

app = FastAPI()
model = network()


@app.post("/predict")
def predict(image: Annotated[bytes, Body(media_type="image/jpeg")]) -> dict[str, Any]:
    """Answer one image."""
    return answers(model, [tensor(image)])[0]


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
