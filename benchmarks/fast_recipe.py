"""The recipe `fast` beside the defaults of torchvision, timm and Ultralytics, on six settings: is it ever worse?

    python benchmarks/fast_recipe.py --cifar FOLDER --photos FOLDER [--seeds 3] [--minutes 240] [--work FOLDER]

A setting is a network, a side of the images and a number of training images. FOLDER of `--cifar` holds CIFAR-10 as JPEG
in train/ and test/, that of `--photos` a few hundred photos in train/ and val/. All begin with random weights.

The peers' defaults are written as recipes of ours, so that order, decoding, arithmetic and test are the same, and only
the recipe differs. Each passes over as many images as `fast` does: their 90, 300 and 100 epochs are shortened with
their milestones and warm-up in proportion. What our augmentation does not have (RandAugment and erasing of Ultralytics)
is left out.

Recipes take turns within a seed, seeds within a setting. Every finished run is recorded in results/fast_recipe.json at
once: the same command goes on, also within a run (checkpoints in --work). After --minutes no further run begins.
`fast` holds where its mean is not below the best peer's by more than the 95% interval of their difference. The interval
is over the seeds (Welch). Where a thousand images or fewer judge, it is over these images too, pair by pair: which
photos happen to be in the test part then decides more than the seed does.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import residua
from machine import TimeLimit, describe, write_result
from residua.studies.intervals import difference
from residua.training.console.outcome import Diverged
from residua.training.recipe import Recipe
from residua.training.recipe_file import override
from residua.training.request import ask

RESULT = Path(__file__).parent / "results" / "fast_recipe.json"
_SEED_SD = 0.01  # assumed where one seed alone is done
_FEW_TESTS = 1_000  # images; up to here, which of them were right is recorded


class Setting(NamedTuple):
    """What is trained on what: `images` of the training part at most, 0 for all."""

    model: str
    side: int
    data: str
    images: int

    @property
    def name(self) -> str:
        """For people and for the result."""
        return f"{self.model}, {self.side} pixels, {self.data}, {self.images or 'all'} images"


SETTINGS = (
    Setting("resnet18", 64, "photos", 0),
    Setting("resnet18", 112, "photos", 0),
    Setting("resnet18", 48, "cifar", 1_500),
    Setting("cifar_resnet20", 32, "cifar", 1_000),
    Setting("cifar_resnet20", 32, "cifar", 10_000),
    Setting("cifar_wrn16_4", 32, "cifar", 4_000),
)


def peers(epochs: int, classes: int, crop: str) -> dict[str, Recipe]:
    """Return the peers' defaults for so many epochs.

    Args:
        epochs: those of `fast`.
        classes: on which Ultralytics' learning rate depends.
        crop: "random_resized", theirs, for photos; "pad" for small images, as is usual on CIFAR.
    """
    common: dict[str, Any] = {"epochs": epochs, "keep": "last", "crop": crop, "flip": True}
    third = max(1, round(epochs / 3))
    torchvision = {  # references/classification/train.py
        "batch_size": 32, "optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 1e-4,
        "schedule": "step", "milestones": (third, 2 * third), "scale": (0.08, 1.0),
    }  # fmt: skip
    timm = {  # train.py: lr-base 0.1 per 256 images, cosine, warm-up 5 of 300 epochs
        "batch_size": 128, "optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9, "nesterov": True,
        "weight_decay": 2e-5, "decay_norm_and_bias": False, "schedule": "cosine", "warmup_epochs": epochs * 5 / 300,
        "label_smoothing": 0.1, "color_jitter": 0.4, "scale": (0.08, 1.0),
    }  # fmt: skip
    ultralytics = {  # optimizer=auto below 10,000 steps; lrf 0.01, warm-up 3 of 100 epochs, scale 0.5, hsv
        "batch_size": 16, "optimizer": "adamw", "learning_rate": round(0.002 * 5 / (4 + classes), 6), "momentum": 0.9,
        "weight_decay": 5e-4, "decay_norm_and_bias": False, "schedule": "one_cycle", "warmup_epochs": epochs * 3 / 100,
        "final_learning_rate": 0.01 * round(0.002 * 5 / (4 + classes), 6), "color_jitter": 0.4, "scale": (0.5, 1.0),
    }  # fmt: skip
    fields = {"torchvision": torchvision, "timm": timm, "ultralytics": ultralytics}
    return {name: override(Recipe(name=name), **common, **own) for name, own in fields.items()}


def one(setting: Setting, data: Path, recipe: str | Recipe, seed: int, folder: Path) -> dict[str, Any]:
    """Train to the end, resuming what is there; return accuracy and what it took."""
    start = time.perf_counter()
    fields = {"image_size": setting.side, "train_images": setting.images, "seed": seed, "on_bad": "skip"}
    begun = (folder / "checkpoints" / "origin.json").exists()
    try:
        run = residua.train(
            data, setting.model, recipe, folder, resume=begun, progress=False, val_fraction=0.1, **fields
        )
    except Diverged as error:
        # A recipe that diverges is worse than guessing; it is recorded as that, and not left out.
        return {"top1": 0.0, "diverged": str(error), "seconds": time.perf_counter() - start}
    right = ""
    if run.metrics["count"] <= _FEW_TESTS:
        right = "".join(str(int(each)) for each in residua.evaluate(run).predictions.correct)  # type: ignore[union-attr]
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return {
        "top1": run.metrics["top1"],
        "images": run.metrics["count"],
        "epochs": run.metrics["epochs"],
        **({"right": right} if right else {}),
        "first_loss": lines[0]["train_loss"],
        "seconds": lines[-1]["seconds"],
    }


def verdict(rows: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Compare `fast` with the best of the peers, by mean accuracy over the seeds that all have."""
    seeds = min(len(each) for each in rows.values())
    tops = {name: [row["top1"] for row in each[:seeds]] for name, each in rows.items()}
    best = max((name for name in tops if name != "fast"), key=lambda name: statistics.fmean(tops[name]))
    count = max(row.get("images", 1) for row in rows["fast"])
    gap = difference(tops["fast"], tops[best], count, seed_sd=_SEED_SD)
    half = math.hypot(gap.high - gap.value, _over_images(rows["fast"][:seeds], rows[best][:seeds]))
    return {
        "seeds": seeds,
        "means": {name: statistics.fmean(values) for name, values in tops.items()},
        "best_peer": best,
        "difference": {"value": gap.value, "low": gap.value - half, "high": gap.value + half},
        "difference_over_seeds_alone": {"low": gap.low, "high": gap.high},
        "holds": gap.value + half >= 0,
    }


def _over_images(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> float:
    """Return half the 95% interval of a mean difference over the images that both judged, 0 where none are recorded."""
    if not all("right" in row for row in (*ours, *theirs)):
        return 0.0
    a, b = (np.array([[int(each) for each in row["right"]] for row in rows]).mean(axis=0) for rows in (ours, theirs))
    return 1.96 * float((a - b).std(ddof=1)) / math.sqrt(len(a))


def main() -> None:
    """Go through settings, seeds and recipes until all is done or the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=240)
    parser.add_argument("--work", type=Path, default=Path("fast_recipe_runs"))
    parser.add_argument("--only", type=int, nargs="*", help="positions of settings, from 0")
    parser.add_argument("--max-epochs", type=int, default=0, help="shorten everything, to try the script")
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args()
    folders = {"cifar": asked.cifar, "photos": asked.photos}
    limit = TimeLimit(asked.minutes)
    runs: dict[str, dict[str, list[dict[str, Any]]]] = {}
    if asked.out.exists():
        runs = json.loads(asked.out.read_text())["runs"]
    chosen = [setting for at, setting in enumerate(SETTINGS) if asked.only is None or at in asked.only]
    for seed in range(asked.seeds):
        for setting in chosen:
            data = folders[setting.data]
            classes = sum(each.is_dir() for each in (data / "train").iterdir())
            small = setting.side <= 32
            settled = ask(
                data, setting.model, "fast", asked.work, resume=False, weights="none", image_size=setting.side
            ).recipes
            whole = sum(1 for _ in (data / "train").glob("*/*"))
            # A tenth validates where there is no part for it.
            room = whole if (data / "val").is_dir() else round(0.9 * whole)
            images = min(setting.images or room, room)
            fast = settled.of(images)
            epochs = max(fast.epochs, round(fast.min_steps * fast.batch_size / images))
            epochs = min(epochs, asked.max_epochs) if asked.max_epochs else epochs
            recipes: dict[str, str | Recipe] = {"fast": override(fast, epochs=epochs)}
            recipes |= peers(epochs, classes, "pad" if small else "random_resized")
            rows = runs.setdefault(setting.name, {name: [] for name in recipes})
            for name, recipe in recipes.items():
                if len(rows[name]) > seed:
                    continue
                if limit.is_over():
                    return
                folder = asked.work / f"{setting.name.replace(', ', '-').replace(' ', '_')}-{name}-{seed}"
                rows[name].append(one(setting, data, recipe, seed, folder))
                print(f"{setting.name}, seed {seed}, {name}: {rows[name][-1]}", flush=True)
                verdicts = {key: verdict(each) for key, each in runs.items() if all(each.values())}
                document = {"machine": describe(), "max_epochs": asked.max_epochs, "runs": runs, "verdicts": verdicts}
                write_result(asked.out, document)
    for name, each in ((key, verdict(rows)) for key, rows in runs.items() if all(rows.values())):
        gap = each["difference"]
        points = f"{100 * gap['value']:+.1f} points ({100 * gap['low']:+.1f} to {100 * gap['high']:+.1f})"
        print(f"{name}: {points} against {each['best_peer']}, {'holds' if each['holds'] else 'does not hold'}")


if __name__ == "__main__":
    main()
