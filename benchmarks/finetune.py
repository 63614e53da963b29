"""From weights to few images: our recipes beside the fine-tuning of torchvision and timm, on the same weights.

    python benchmarks/finetune.py --cifar FOLDER [--seeds 3] [--minutes 10] [--work FOLDER] [--out FILE]

FOLDER holds CIFAR-10 as JPEG in train/ and test/. A network learns the first five classes, by name, from 1,000 images
each; its weights are what every way begins with. The task is the other five classes with --images each to train on, and
300 each of the test part to judge. A seed draws the images, the new classifier, the order and the augmentation.

Peers are recipes of ours with their fields, so that decoding, arithmetic and test are the same:
- torchvision: the tutorial that PyTorch publishes for fine-tuning its weights, beginner/transfer_learning_tutorial: SGD
  of 0.001 and momentum 0.9, batches of 4, a tenth of the rate after every 7 of 25 epochs.
- torchvision_reference: the defaults of its references/classification/train.py, which --weights does not change.
- timm: the defaults of its train.py, which --pretrained does not change: 0.1 per 256 images, cosine, smoothing 0.1.
The last two have 25 epochs too, with milestones and warm-up in proportion, and once more 69, as many as `fast` has;
`finetune` is tried with 25 too. Crops are padded ones, as is usual for images of 32 pixels; theirs are random resized
crops of photos.

Ways take turns within a seed. Every finished run is recorded in the result at once: the same command goes on, also
within a run. After --minutes no further run begins.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any, NamedTuple

import residua
from machine import TimeLimit, describe, write_result
from residua.training.console.outcome import Diverged
from residua.training.recipe import Recipe
from residua.training.recipe_file import load_recipe, override

RESULT = Path(__file__).parent / "results" / "finetune.json"
MODEL, EPOCHS, LONGER = "cifar_resnet20", 25, 69
_BASE: dict[str, Any] = {"train_images": 5000, "epochs": 6, "batch_size": 64}
_JUDGED = 300  # images of each class


class Way(NamedTuple):
    """How the task is learnt: a recipe, and what it begins with: "base", "none", or the name of another way."""

    recipe: str | Recipe
    begins: str = "base"


def peers(epochs: int) -> dict[str, Recipe]:
    """Return the peers' fields for so many epochs, with milestones and warm-up in proportion."""
    common: dict[str, Any] = {"epochs": epochs, "keep": "last", "crop": "pad", "flip": True}
    step = {"schedule": "step", "optimizer": "sgd", "momentum": 0.9}
    third, drops = round(epochs / 3), tuple(round(drop * epochs / EPOCHS) for drop in (7, 14, 21))
    tutorial = {"batch_size": 4, "learning_rate": 0.001, "weight_decay": 0.0, "milestones": drops, **step}
    reference = {
        "batch_size": 32, "learning_rate": 0.1, "weight_decay": 1e-4, "milestones": (third, 2 * third), **step,
    }  # fmt: skip
    timm = {
        "batch_size": 128, "optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9, "nesterov": True,
        "weight_decay": 2e-5, "decay_norm_and_bias": False, "schedule": "cosine", "warmup_epochs": epochs * 5 / 300,
        "label_smoothing": 0.1, "color_jitter": 0.4,
    }  # fmt: skip
    fields = {"torchvision": tutorial, "torchvision_reference": reference, "timm": timm}
    return {name: override(Recipe(name=name), **common, **own) for name, own in fields.items()}


def ways() -> dict[str, Way]:
    """Return what is compared, in turn."""
    return {
        "fast_from_nothing": Way("fast", "none"),
        "fast": Way("fast"),
        "probe": Way("probe"),
        "finetune": Way("finetune"),
        "probe_then_finetune": Way("finetune", "probe"),
        **{name: Way(recipe) for name, recipe in peers(EPOCHS).items()},
        f"finetune_{EPOCHS}": Way(override(load_recipe("finetune", images=250, begun=True), epochs=EPOCHS)),
        **{f"{name}_{LONGER}": Way(recipe) for name, recipe in peers(LONGER).items() if name != "torchvision"},
    }


def link(cifar: Path, work: Path) -> tuple[Path, Path]:
    """Make the folders of the base's and of the task's classes, with links to the images; return both."""
    names = sorted(each.name for each in (cifar / "train").iterdir() if each.is_dir())
    folders = work / "base_images", work / "task_images"
    for folder, classes in zip(folders, (names[:5], names[5:]), strict=True):
        for part in ("train", "test"):
            for name in classes:
                target = folder / part / name
                target.mkdir(parents=True, exist_ok=True)
                files = sorted((cifar / part / name).iterdir())
                for file in files[:_JUDGED] if part == "test" else files:
                    if not (target / file.name).exists():
                        (target / file.name).symlink_to(file.resolve())
    return folders


def learn(data: Path, recipe: str | Recipe, weights: str | Path, folder: Path, **fields: Any) -> dict[str, Any]:
    """Train to the end, resuming what is there; return accuracy and what it took."""
    begun = (folder / "checkpoints" / "origin.json").exists()
    started = time.perf_counter()
    try:
        run = residua.train(
            data, MODEL, recipe, folder, weights=weights, resume=begun, val_fraction=0, progress=False, **fields
        )
    except Diverged as error:
        # A recipe that diverges is worse than guessing; it is recorded as that, and not left out.
        return {"top1": 0.0, "diverged": str(error), "seconds": time.perf_counter() - started}
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return {
        "top1": run.metrics["top1"],
        "images": run.metrics["count"],
        "epochs": run.metrics["epochs"],
        "seconds": lines[-1]["seconds"],
    }


def table(runs: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, float]]:
    """Return mean and deviation of the accuracy over the seeds that all ways have, and mean seconds."""
    seeds = min(len(rows) for rows in runs.values())
    summary = {}
    for name, rows in runs.items() if seeds else ():
        tops = [row["top1"] for row in rows[:seeds]]
        summary[name] = {
            "mean": statistics.fmean(tops),
            "sd": statistics.stdev(tops) if seeds > 1 else 0.0,
            "seconds": statistics.fmean(row["seconds"] for row in rows[:seeds]),
            "seeds": seeds,
        }
    return summary


def main() -> None:
    """Train the base, then go through seeds and ways until all is done or the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar", type=Path, required=True)
    parser.add_argument("--images", type=int, default=50, help="of each class to train on")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--work", type=Path, default=Path("finetune_runs"))
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args()
    limit = TimeLimit(asked.minutes)
    base_images, task = link(asked.cifar, asked.work)
    base = asked.work / "base"
    base_row = learn(base_images, "fast", "none", base, **_BASE)
    print(f"base: {base_row}", flush=True)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in ways()}
    if asked.out.exists():
        runs |= json.loads(asked.out.read_text())["runs"]
    for seed in range(asked.seeds):
        for name, way in ways().items():
            if len(runs[name]) > seed:
                continue
            if limit.is_over():
                return
            folders = {other: asked.work / f"{other}-{seed}" for other in ways()} | {"base": base}
            weights = "none" if way.begins == "none" else folders[way.begins]
            row = learn(task, way.recipe, weights, folders[name], train_images=5 * asked.images, seed=seed)
            runs[name].append(row)
            print(f"seed {seed}, {name}: {row}", flush=True)
            document = {
                "machine": describe(),
                "model": MODEL,
                "images": 5 * asked.images,
                "base": base_row,
                "runs": runs,
                "summary": table(runs),
            }
            write_result(asked.out, document)
    for name, each in table(runs).items():
        print(f"{name}: {each['mean']:.2%} +- {each['sd']:.2%}, {each['seconds']:.0f} s, {each['seeds']} seeds")


if __name__ == "__main__":
    main()
