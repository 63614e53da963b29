"""One arm with one seed in a process of its own: train it, or go on with it, then measure it.

`python -m residua.grids.worker` reads the job as one line of JSON on stdin, and stops when stdin ends: a study that
is killed takes its workers with it, and each saves itself first.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from residua._base.errors import ResiduaError
from residua._base.files import write_text
from residua._base.plain import plain


def main() -> int:
    """Do the job; return its exit code."""
    line = sys.stdin.readline()
    if not line:
        return 2
    threading.Thread(target=_watch, daemon=True).start()
    try:
        work(json.loads(line))
    except ResiduaError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def work(job: dict[str, Any]) -> None:
    """Train and measure, and write the measurements: `key`, `weights_sha256`, `minutes`, `measured`, `environment`.

    Raises:
        ResiduaError: the run cannot be trained, diverged, or was stopped.
    """
    import torch

    from residua.data.dataset import open_dataset
    from residua.runtime.environment import environment
    from residua.specs.schema import from_json
    from residua.studies.catalog import get_study
    from residua.studies.subject import Subject
    from residua.training.loop import train
    from residua.training.recipe_file import from_dict
    from residua.training.request import read_origin

    torch.set_num_threads(job["threads"])
    folder, data_dir = Path(job["folder"]), Path(job["data_dir"]) if job["data_dir"] else None
    recipe = from_dict(job["recipe"])
    run = train(
        job["data"],
        from_json(job["spec"]),
        recipe,
        folder,
        resume=read_origin(folder) is not None,
        data_dir=data_dir,
    )
    started = time.monotonic()
    measure = get_study(job["study"]).measure
    measured: dict[str, Any] = {}
    if measure is not None:
        dataset = open_dataset(
            job["data"],
            data_dir=data_dir,
            val_fraction=recipe.val_fraction,
            seed=recipe.seed,
            train_images=recipe.train_images,
            on_bad=recipe.on_bad,
        )
        measured = measure(Subject(run, dataset, job["quick"], recipe.seed))
    document = {
        "key": job["key"],
        "weights_sha256": run.weights_sha256,
        "minutes": (time.monotonic() - started) / 60,
        "measured": plain(measured),
        "environment": environment(),
    }
    write_text(Path(job["measured"]), json.dumps(document))


def _watch() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    raise SystemExit(main())
