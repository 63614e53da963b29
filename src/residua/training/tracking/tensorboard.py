"""TensorBoard: event files in the run's folder, written without TensorFlow and without torch."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import IO, Any

from residua._base.packages import package
from residua.training.tracking.tracker import Config, Numbers, Status

_PREFIX = "events.out.tfevents."


class TensorBoardTracker:
    """Writes `RUN/tensorboard/events.out.tfevents…`; `tensorboard --logdir` finds it from any folder above.

    A resumed run gets a file more, and TensorBoard draws them as one. A run sent again has another id. Beside files of
    others it gets a folder of that name, which TensorBoard draws as a run of its own.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        package("tensorboard", "tensorboard")  # names the package, not a module of it, where it is missing
        self._records = package("tensorboard.summary.writer.record_writer", "tensorboard")
        self._events = package("tensorboard.compat.proto.event_pb2", "tensorboard")
        self._summaries = package("tensorboard.compat.proto.summary_pb2", "tensorboard")
        self._tensors = package("tensorboard.compat.proto.tensor_pb2", "tensorboard")
        self._folder = folder / "tensorboard"
        self._stream: IO[bytes] | None = None
        self._writer: Any = None

    def start(self, config: Config) -> None:
        """See `Tracker`."""
        others = [path for path in self._folder.glob(f"{_PREFIX}*") if not path.name.endswith(f".{config['id']}")]
        folder = self._folder / config["id"] if others else self._folder
        folder.mkdir(parents=True, exist_ok=True)
        # The nanoseconds keep the file of a resumed run apart; TensorBoard reads them in the order of their names.
        path = folder / f"{_PREFIX}{time.time_ns()}.{config['id']}"
        self._stream = path.open("xb")
        self._writer = self._records.RecordWriter(self._stream)
        self._write(self._events.Event(wall_time=time.time(), file_version="brain.Event:2"))
        text = f"```json\n{json.dumps(dict(config), indent=1)}\n```".encode()
        tensor = self._tensors.TensorProto(dtype=7, string_val=[text])  # 7: DT_STRING
        tensor.tensor_shape.dim.add(size=1)
        plugin = self._summaries.SummaryMetadata.PluginData(plugin_name="text")
        metadata = self._summaries.SummaryMetadata(plugin_data=plugin)
        self._summary(0, tag="config", metadata=metadata, tensor=tensor)

    def log(self, step: int, numbers: Numbers) -> None:
        """See `Tracker`."""
        for name, value in numbers.items():
            self._summary(step, tag=name, simple_value=float(value))

    def image(self, step: int, name: str, png: bytes) -> None:
        """See `Tracker`."""
        from PIL import Image

        width, height = Image.open(io.BytesIO(png)).size
        picture = self._summaries.Summary.Image(width=width, height=height, colorspace=3, encoded_image_string=png)
        self._summary(step, tag=name, image=picture)

    def finish(self, status: Status) -> None:
        """See `Tracker`."""
        if self._stream is not None:
            self._stream.close()

    def _summary(self, step: int, **value: Any) -> None:
        summary = self._summaries.Summary(value=[self._summaries.Summary.Value(**value)])
        self._write(self._events.Event(wall_time=time.time(), step=step, summary=summary))

    def _write(self, event: Any) -> None:
        self._writer.write(event.SerializeToString())
        self._writer.flush()
