"""Processes of one training run, each with torchrun's variables; only the imports are shared, which saves seconds."""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NoReturn

LIMIT_SECONDS = 60.0
SMALL: dict[str, Any] = {
    "model": "cifar_resnet8",
    "recipe": "fast",
    "image_size": 8,
    "epochs": 2,
    "batch_size": 65,  # uneven slices
    "train_images": 260,
    "learning_rate": 0.02,
    "precision": "fp32",
    "kernels": "eager",
    "workers": 1,
    "mixup": 0.2,
    "ema_decay": 0.9,
    "keep": "best",
    "clip_norm": 1.0,
    "measure_train": 50,
}
PRELOADED = [
    *("residua.training.loop", "residua.evaluation.report.page", "residua.runtime.distributed.shards"),
    "torch._dynamo",  # which optimizers import at their first step
]
"""Modules that take seconds to import: once for the processes of all tests."""
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(PRELOADED)


def load() -> None:
    """Import what all processes share, before a test looks at the clock."""
    process = _SERVER.Process(target=_do_nothing)
    process.start()
    process.join(5 * LIMIT_SECONDS)


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def start(
    folder: Path,
    count: int,
    changes: dict[int, dict[str, Any]] | None = None,
    launch: dict[str, str] | None = None,
    **fields: Any,
) -> list[BaseProcess]:
    """Start `count` processes of one run.

    Args:
        folder: of the run; a process writes to the terminal in a file beside it, see `output`.
        count: processes.
        changes: of the recipe, by rank; "prepare" is called before training.
        launch: variables of torchrun in place of those of torch's `env://`.
        fields: of the recipe, beside `SMALL`.
    """
    variables = {"MASTER_PORT": str(free_port())} | (launch or {})
    processes = []
    for rank in range(count):
        given = SMALL | fields | (changes or {}).get(rank, {})
        processes.append(_SERVER.Process(target=_work, args=(str(folder), rank, count, variables, given)))
        processes[-1].start()
    return processes


def start_several(folder: Path, count: int, runs: dict[str, dict[str, Any]]) -> list[BaseProcess]:
    """Start `count` processes that train several runs one after another, each in the folder of its name.

    Args:
        folder: of the folders; a process writes to the terminal in a file beside it, see `output`.
        count: processes.
        runs: fields of each run, beside `SMALL`, by name.
    """
    folder.mkdir(exist_ok=True)
    jobs = [(str(folder / name), str(free_port()), SMALL | fields) for name, fields in runs.items()]
    processes = [_SERVER.Process(target=_work_several, args=(str(folder), rank, count, jobs)) for rank in range(count)]
    for process in processes:
        process.start()
    return processes


def codes(processes: list[BaseProcess], seconds: float = LIMIT_SECONDS) -> list[int | None]:
    """Return the exit codes, in the order of the ranks; whoever runs on after `seconds` is killed."""
    deadline = time.monotonic() + seconds
    for process in processes:
        process.join(max(0.1, deadline - time.monotonic()))
    exits = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
        process.join()
    return exits


def output(folder: Path, rank: int) -> str:
    """Return what a process wrote to its terminal."""
    return folder.with_name(f"{folder.name}-{rank}.txt").read_text()


def _do_nothing() -> None:
    pass


def _work(folder: str, rank: int, count: int, variables: dict[str, str], fields: dict[str, Any]) -> None:
    _settle(folder, rank)
    if count > 1 or "TORCHELASTIC_RUN_ID" in variables:
        _join(rank, count, variables)
    prepare = fields.pop("prepare", None)
    if prepare is not None:
        prepare()
    _end(_trained(folder, fields))


def _work_several(folder: str, rank: int, count: int, jobs: list[tuple[str, str, dict[str, Any]]]) -> None:
    _settle(folder, rank)
    for run, port, fields in jobs:
        if count > 1:
            _join(rank, count, {"MASTER_PORT": port})
        if code := _trained(run, fields):
            _end(code)
    _end(0)


def _settle(folder: str, rank: int) -> None:
    import torch

    torch.set_num_threads(1)
    with open(f"{folder}-{rank}.txt", "w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)


def _join(rank: int, count: int, variables: dict[str, str]) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "TORCH_CPP_LOG_LEVEL": "ERROR"} | variables


def _trained(folder: str, fields: dict[str, Any]) -> int:
    """Train a run by the command; return its exit code."""
    words = [
        word for key, value in fields.items() if key != "data" and value is not None for word in _option(key, value)
    ]
    from residua.cli.app import main

    return main(["train", fields.get("data", "digits"), "--out", folder, *words])


def _end(code: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _option(key: str, value: Any) -> list[str]:
    flag = f"--{key.replace('_', '-')}"
    if isinstance(value, bool):
        return [flag] if value else [f"--no-{flag[2:]}"]
    return [word for each in (value if isinstance(value, list) else [value]) for word in (flag, str(each))]
