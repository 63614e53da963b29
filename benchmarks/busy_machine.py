"""Residua on a busy machine: predicting 800 small PNGs, and training `cifar_resnet20`, while other processes compute.

    python benchmarks/busy_machine.py [FOLDER] [--busy 5] [--rounds 5] [--steps 5] [--out FILE.json]

The load is the benchmark's own: `--busy` processes per core that only count, from before the first turn until after
the last. FOLDER holds class folders of 32 × 32 images, or a train/ with them; without it, noise is written to a
scratch folder. All take turns in one process:

- predict: `predict_stream` of 800 PNGs of 32 × 32 pixels, beside a loop that decodes with Pillow in one thread and asks
  the same network for batches of the same size. Beside the time, the processor time of this process: what a fair share
  of a busy core cannot explain is waiting between threads.
- train: `--steps` steps of batch 128 with the fused kernels, beside the plain PyTorch loop of `peer_loop.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from machine import describe, write_result
from residua.families.build import build
from residua.inference.predict import predict_stream
from residua.inference.stream import as_batch
from residua.specs.catalog import get_spec
from residua.specs.preprocess import PreprocessSpec
from residua.weights.bundle.write import save_bundle
from residua.weights.open import load
from train_speed import BATCH, MODEL, our_turn, peer_turn, spread, write_noise

IMAGES, BATCH_SIZE = 800, 64
# Each ends by itself when the benchmark is gone, however that ended, and after half an hour at the latest.
_SPIN = """
import os, time
parent, end = os.getppid(), time.monotonic() + 1800
while os.getppid() == parent and time.monotonic() < end:
    for _ in range(1_000_000): pass
"""


@contextlib.contextmanager
def busy(per_core: int) -> Iterator[int]:
    """Keep `per_core` processes per core busy; yield how many there are."""
    count = per_core * len(os.sched_getaffinity(0))
    processes = [subprocess.Popen([sys.executable, "-c", _SPIN]) for _ in range(count)]
    try:
        yield count
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


def small_pngs(folder: Path) -> list[Path]:
    """Write 800 PNGs of noise."""
    random = np.random.default_rng(0)
    folder.mkdir()
    files = [folder / f"{index:03d}.png" for index in range(IMAGES)]
    for file in files:
        Image.fromarray(random.integers(0, 256, (32, 32, 3), np.uint8)).save(file)
    return files


def predictors(run_folder: Path, files: list[Path]) -> dict[str, Callable[[], None]]:
    """Return what predicts all files once: Residua, and a loop in one thread."""
    run = load(run_folder)

    def ours() -> None:
        found = list(predict_stream(run, files, top=1, batch_size=BATCH_SIZE, device="cpu"))
        assert len(found) == IMAGES

    @torch.inference_mode()
    def loop() -> None:
        for start in range(0, IMAGES, BATCH_SIZE):
            images = [np.asarray(Image.open(file).convert("RGB")) for file in files[start : start + BATCH_SIZE]]
            run.model(as_batch(images, run.preprocess_spec, torch.device("cpu"))).softmax(1)

    return {"residua": ours, "loop in one thread": loop}


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Return seconds, and seconds of processor time of this process."""
    start, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - used


def measure(folder: Path, per_core: int, rounds: int, steps: int) -> dict[str, Any]:
    """Take turns for `rounds`, after one unmeasured turn each."""
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["RESIDUA_CACHE"] = str(Path(scratch, "cache"))
        ours, session = our_turn(folder, Path(scratch))
        trainers = {"residua": ours, "plain loop": peer_turn(folder, 0)}
        answers = predictors(saved(Path(scratch, "saved")), small_pngs(Path(scratch, "pngs")))
        turns: dict[str, Callable[[], None]] = {
            **{f"train, {name}": lambda turn=turn: turn(steps) for name, turn in trainers.items()},  # type: ignore[misc]
            **{f"predict, {name}": turn for name, turn in answers.items()},
        }
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in turns}
        for turn in turns.values():
            turn()
        with busy(per_core) as count:
            time.sleep(1)
            for _ in range(rounds):
                for name, turn in turns.items():
                    times[name].append(timed(turn))
    seconds = {name: [wall for wall, _ in pairs] for name, pairs in times.items()}

    def ratios(task: str, peer: str) -> dict[str, float]:
        return spread([a / b for a, b in zip(seconds[f"{task}, {peer}"], seconds[f"{task}, residua"], strict=True)])

    return {
        "what": f"{IMAGES} PNGs of 32 × 32 predicted, and {MODEL} trained in batches of {BATCH}, on a busy machine",
        "busy_processes": count,
        "busy_per_core": per_core,
        "images_per_second": {
            name: spread([(IMAGES if "predict" in name else steps * BATCH) / wall for wall in walls])
            for name, walls in seconds.items()
        },
        "seconds_per_processor_second": {
            name: spread([wall / max(used, 1e-9) for wall, used in pairs]) for name, pairs in times.items()
        },
        "train_times_the_plain_loop": ratios("train", "plain loop"),
        "predict_times_one_thread": ratios("predict", "loop in one thread"),
        "kernels": session.kernels.name,
        "rounds": rounds,
        "load_before": load_before,
        "machine": describe(),
    }


def saved(folder: Path) -> Path:
    """Write a run folder with an untrained network."""
    spec = get_spec(MODEL)
    save_bundle(
        folder,
        tensors=build(spec).state_dict(),
        spec=spec,
        classes=list("0123456789"),
        preprocess=PreprocessSpec(32, 32),
        metrics={},
        data={},
    )
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--busy", type=int, default=5, help="busy processes per core")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="training steps per turn")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/busy_machine.json"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder
        if folder is None:
            folder = Path(scratch, "noise")
            write_noise(folder)
        elif (folder / "train").is_dir():
            folder = folder / "train"
        result = measure(folder, arguments.busy, arguments.rounds, arguments.steps)
    write_result(arguments.out, result)
    for name, row in result["images_per_second"].items():
        used = result["seconds_per_processor_second"][name]["median"]
        print(f"{name:30} {row['median']:8.0f} images per second, {used:.1f} s per second of processor time")
    print(f"train: {result['train_times_the_plain_loop']['median']:.2f} times the plain loop's rate")
    print(f"predict: {result['predict_times_one_thread']['median']:.2f} times the rate of a loop in one thread")


if __name__ == "__main__":
    main()
