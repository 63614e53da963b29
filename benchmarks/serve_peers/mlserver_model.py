"""MLServer with its own batching: a runtime that takes images as BYTES."""

from __future__ import annotations

import base64
from typing import Any

from common import answers, network, tensor
from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput


class Net(MLModel):
    """The network behind the protocol."""

    async def load(self) -> bool:
        """Load the network."""
        self.network = network()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer the images of a batch."""
        contents: list[Any] = list(payload.inputs[0].data)
        found = answers(self.network, [tensor(base64.b64decode(each)) for each in contents])
        values = [value for each in found for value in each["probabilities"]]
        output = ResponseOutput(name="probabilities", shape=[len(found), 5], datatype="FP32", data=values)
        return InferenceResponse(model_name=self.name, outputs=[output])
