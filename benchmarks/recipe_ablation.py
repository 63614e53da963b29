"""What each field of a recipe gains: every one on and off, the rest as `fast` has it, over seeds.

    python benchmarks/recipe_ablation.py --cifar FOLDER [--photos FOLDER] [--seeds 3] [--minutes 240]
        [--epochs 5] [--images 0] [--work FOLDER] [--out FILE]

FOLDER holds train/ and test/ or val/: CIFAR-10 as JPEG for `cifar_resnet20`, photos for `resnet18` at 128 pixels from
random weights. Networks train on all of train/ and are judged on the other part. "Off" is `fast` unless a row states
otherwise; both sides of a row have the same seeds, so the difference is taken seed by seed. The peer of each row is
thus the other side of it, trained by the same process. Views in the end need no training of their own: they judge
the network of the off side again.

Each finished run is recorded at once, and the same command goes on, also within a run; after --minutes no further run
begins. With the result, docs/recipes.md is written, whose tables hold what is measured and "not measured" elsewhere.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import residua
from machine import TimeLimit, describe, write_result
from residua._base.files import write_text
from residua.training.trainer import Diverged

RESULT = Path(__file__).parent / "results" / "recipe_ablation.json"
PAGE = Path(__file__).parents[1] / "docs" / "recipes.md"
SGD = {"optimizer": "sgd", "learning_rate": 0.25, "momentum": 0.9}
_HEAD = """# What each field of a recipe gains

Every row trains two ways that differ in one thing; all else is the recipe `fast`. The difference is taken seed by seed,
in points of test accuracy, mean ± standard deviation. A difference within twice its deviation shows little. "In `fast`"
states which side the recipe takes. Times are medians over the seeds, on a machine that had other work too.

This page is written by `benchmarks/recipe_ablation.py` from `benchmarks/results/recipe_ablation.json`.
"""


class Setting(NamedTuple):
    """What is trained on what."""

    name: str
    model: str
    fields: Mapping[str, Any]


class Row(NamedTuple):
    """A field or a few, on and off."""

    what: str
    data: str
    on: Mapping[str, Any]
    off: Mapping[str, Any] = {}


SETTINGS = {
    "cifar": Setting("CIFAR-10 as JPEG, `cifar_resnet20`", "cifar_resnet20", {}),
    "photos": Setting("photos, `resnet18` at 128 pixels, from random weights", "resnet18", {"image_size": 128}),
}
_ALL = {"alternate_flip": True, "label_smoothing": 0.1, "ema_decay": 0.99, "final_views": "flip_if_unsure"}
ROWS = (
    Row("Muon in place of SGD (`optimizer=muon`)", "cifar", {}, SGD),
    Row("mirror images at random (`flip`)", "cifar", {}, {"flip": False}),
    Row("alternating flips in place of random ones (`alternate_flip`)", "cifar", {"alternate_flip": True}),
    Row("label smoothing of 0.1 (`label_smoothing`)", "cifar", {"label_smoothing": 0.1}),
    Row("average of the weights (`ema_decay=0.99`)", "cifar", {"ema_decay": 0.99}),
    Row("mirror views in the end (`final_views=flip`)", "cifar", {"final_views": "flip"}),
    Row("the same where unsure (`final_views=flip_if_unsure`)", "cifar", {"final_views": "flip_if_unsure"}),
    Row("alternating flips, smoothing, average and mirror views where unsure, together", "cifar", _ALL),
    Row("images that grow from 64 pixels (`begin_size`)", "photos", {"begin_size": 64}),
    Row("alternating flips in place of random ones (`alternate_flip`)", "photos", {"alternate_flip": True}),
    Row("label smoothing of 0.1 (`label_smoothing`)", "photos", {}, {"label_smoothing": 0.0}),
    Row("average of the weights (`ema_decay=0.99`)", "photos", {"ema_decay": 0.99}),
    Row("mirror views where unsure (`final_views=flip_if_unsure`)", "photos", {"final_views": "flip_if_unsure"}),
)
Runs = dict[str, dict[str, dict[str, float]]]  # data -> fields and seed -> what a run scored


def key_of(fields: Mapping[str, Any], seed: int) -> str:
    """Return the name of a run in the result: its fields and its seed."""
    return json.dumps({**fields, "seed": seed}, sort_keys=True)


def score(data: Path, setting: Setting, fields: Mapping[str, Any], seed: int, folder: Path) -> dict[str, float]:
    """Train to the end, resuming what is there; return accuracy, and the seconds of training and of judging."""
    views = fields.get("final_views", "1")
    trained = {**setting.fields, **{key: value for key, value in fields.items() if key != "final_views"}}
    begun = (folder / "checkpoints" / "origin.json").exists()
    try:
        run = residua.train(
            data, setting.model, "fast", folder, resume=begun, progress=False, weights="none", val_fraction=0,
            seed=seed, on_bad="skip", **trained,
        )  # fmt: skip
    except Diverged as error:
        # Worse than guessing, and recorded as that.
        print(f"{setting.model} {trained}: {error}", flush=True)
        return {"top1": 0.0, "seconds": 0.0, "judging_seconds": 0.0}
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    start = time.perf_counter()
    top1 = residua.evaluate(run, views=views, cache=False).top1  # type: ignore[union-attr]
    return {"top1": top1, "seconds": history[-1]["seconds"], "judging_seconds": time.perf_counter() - start}


def gains(row: Row, runs: Runs) -> dict[str, Any] | None:
    """Return what a row gains, in points, over the seeds that both sides have; None where there is none."""
    done = runs.get(row.data, {})
    seeds = sorted({json.loads(key)["seed"] for key in done})
    pairs = [
        (done[key_of(row.off, seed)], done[key_of(row.on, seed)])
        for seed in seeds
        if key_of(row.off, seed) in done and key_of(row.on, seed) in done
    ]
    if not pairs:
        return None
    points = [100 * (on["top1"] - off["top1"]) for off, on in pairs]
    return {
        "seeds": len(pairs),
        "off": _spread([100 * off["top1"] for off, _ in pairs]),
        "on": _spread([100 * on["top1"] for _, on in pairs]),
        "gain": _spread(points),
        "time": statistics.median(
            (on["seconds"] + on["judging_seconds"]) / max(1e-9, off["seconds"] + off["judging_seconds"])
            for off, on in pairs
        ),
    }


def _spread(values: Sequence[float]) -> tuple[float, float | None]:
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def page(result: Mapping[str, Any]) -> str:
    """Return docs/recipes.md: a table of rows for each setting."""
    parts = [_HEAD]
    for data, setting in SETTINGS.items():
        parts.append(f"\n## {setting.name}\n\n")
        parts.append("| | in `fast` | off, % | on, % | gain, points | time, on / off | seeds |\n")
        parts.append("|---|---|---|---|---|---|---|\n")
        for row in (row for row in ROWS if row.data == data):
            found, taken = gains(row, result.get("runs", {})), "no" if row.on else "yes"
            if found is None:
                parts.append(f"| {row.what} | {taken} | not measured | | | | |\n")
                continue
            sides = " | ".join(_shown(found[name]) for name in ("off", "on"))
            gain = _shown(found["gain"], sign=True)
            parts.append(f"| {row.what} | {taken} | {sides} | {gain} | {found['time']:.2f} | {found['seeds']} |\n")
    machine = result.get("machine")
    if machine:
        settings = result["settings"]
        images = f"{settings['images']:,} training images at most" if settings["images"] else "all training images"
        epochs = f"{settings['epochs']} epochs" if settings["epochs"] else "the epochs of `fast`"
        parts.append(f"\n{epochs}, {images}; {machine['processor']}, torch {machine['torch']}.\n")
    return "".join(parts)


def _shown(value: tuple[float, float | None], *, sign: bool = False) -> str:
    mean, deviation = value
    return f"{mean:{'+' if sign else ''}.2f}" + ("" if deviation is None else f" ± {deviation:.2f}")


def main() -> None:
    """Go through seeds and rows until all is done or the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar", type=Path)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=240)
    parser.add_argument("--epochs", type=int, default=0, help="0: those of fast")
    parser.add_argument("--images", type=int, default=0, help="to train on at most; 0: all")
    parser.add_argument("--work", type=Path, default=Path("recipe_ablation_runs"))
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--page", type=Path, default=PAGE)
    asked = parser.parse_args()
    folders = {"cifar": asked.cifar, "photos": asked.photos}
    settings = {"epochs": asked.epochs, "images": asked.images}
    result: dict[str, Any] = {"settings": settings, "runs": {}}
    if asked.out.exists():
        result = json.loads(asked.out.read_text())
        if result["settings"] != settings:
            parser.error(f"{asked.out} holds runs with {result['settings']}: give another --out")
    common = {key: value for key, value in (("epochs", asked.epochs), ("train_images", asked.images)) if value}
    limit = TimeLimit(asked.minutes)
    for seed in range(asked.seeds):
        for row in (row for row in ROWS if folders[row.data] is not None):
            setting = SETTINGS[row.data]
            setting = setting._replace(fields={**setting.fields, **common})
            done = result["runs"].setdefault(row.data, {})
            for fields in (row.off, row.on):
                key = key_of(fields, seed)
                if key in done:
                    continue
                if limit.is_over():
                    return
                trained = {name: value for name, value in fields.items() if name != "final_views"}
                place = "-".join(f"{name}_{value}" for name, value in sorted(trained.items())) or "fast"
                done[key] = score(folders[row.data], setting, fields, seed, asked.work / row.data / f"{place}-{seed}")
                print(f"{row.data}, seed {seed}, {dict(fields)}: {done[key]}", flush=True)
                result["machine"] = describe()
                write_result(asked.out, result)
                write_text(asked.page, page(result))
    print(page(result))


if __name__ == "__main__":
    main()
