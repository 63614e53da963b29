"""MLflow, in a file of SQLite unless MLFLOW_TRACKING_URI states something else."""

from __future__ import annotations

import io
import logging
import os
import time
from pathlib import Path
from typing import Any

from residua._base.packages import package
from residua.training.tracking.tracker import Config, Numbers, Status, flat

_ID = "residua.id"
_STATUS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
_LONGEST = 500  # characters of a parameter: the least of MLflow's limits of all its versions


class MlflowTracker:
    """Writes `mlflow.db` and `mlruns/` beside the run's folder; MLflow's telemetry is off.

    MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME are respected. A run is found again by its tag `residua.id`.

    Args:
        beside: the folder in which the run's folder stands.
    """

    def __init__(self, beside: Path) -> None:
        # MLflow reads it when it is imported.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        self._mlflow = package("mlflow", "mlflow")
        self._beside = beside.absolute()
        self._client: Any = None
        self._run = ""

    def start(self, config: Config) -> None:
        """See `Tracker`."""
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "residua")
        self._client = self._mlflow.MlflowClient(tracking_uri=uri or f"sqlite:///{self._beside / 'mlflow.db'}")
        experiment = self._client.get_experiment_by_name(name)
        artifacts = None if uri else (self._beside / "mlruns").as_uri()
        number = experiment.experiment_id if experiment else self._client.create_experiment(name, artifacts)
        known = self._client.search_runs([number], filter_string=f"tags.`{_ID}` = '{config['id']}'")
        if known:
            run = known[0]
            self._client.set_terminated(run.info.run_id, "RUNNING")
        else:
            run = self._client.create_run(number, run_name=config["name"], tags={_ID: config["id"]})
        # An earlier call may have failed after it had made the run. What is there stays: MLflow changes no parameter.
        lacking = {key: value for key, value in flat(config).items() if key not in run.data.params}
        parameters = [self._mlflow.entities.Param(key, str(value)[:_LONGEST]) for key, value in lacking.items()]
        if parameters:
            self._client.log_batch(run.info.run_id, params=parameters)
        self._run = run.info.run_id

    def log(self, step: int, numbers: Numbers) -> None:
        """See `Tracker`."""
        now = int(time.time() * 1000)
        metrics = [self._mlflow.entities.Metric(name, float(value), now, step) for name, value in numbers.items()]
        self._client.log_batch(self._run, metrics=metrics)

    def image(self, step: int, name: str, png: bytes) -> None:
        """See `Tracker`."""
        from PIL import Image

        self._client.log_image(self._run, Image.open(io.BytesIO(png)), key=name, step=step)

    def finish(self, status: Status) -> None:
        """See `Tracker`."""
        self._client.set_terminated(self._run, _STATUS[status])
