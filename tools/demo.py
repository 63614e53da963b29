"""The demo: train on the embedded digits, evaluate, predict a few images, and print where the report is."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from PIL import Image

import residua
from residua.cli.app import main


def command(*words: str) -> None:
    """Run a `residua` command as a user would, showing it first."""
    print(f"\n$ residua {' '.join(words)}", flush=True)
    code = main(words)
    if code:
        raise SystemExit(code)


def digit_files(folder: Path, count: int) -> list[str]:
    """Write the first `count` held-out digits as PNG files named after their class."""
    dataset = residua.open_dataset("digits")
    split = dataset.splits[dataset.held_out]
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index in range(count):
        path = folder / f"a_{dataset.classes[split.labels[index]]}_{index}.png"
        Image.fromarray(split.images.read(index)).save(path)
        paths.append(str(path))
    return paths


def run(folder: Path) -> None:
    """Leave a finished run in `folder`, replacing an earlier demo's."""
    shutil.rmtree(folder, ignore_errors=True)
    command("train", "digits", "--model", "cifar_resnet20", "--out", str(folder))
    command("evaluate", str(folder))
    command("predict", str(folder), *digit_files(folder / "images", 5), "--top", "2")
    print(f"\nThe report: {(folder / 'report.html').resolve()}")


if __name__ == "__main__":
    run(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/demo"))
