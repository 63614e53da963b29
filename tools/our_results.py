"""Write docs/results/ours/*.json: our accuracies, each from a committed outcome, with the facts stated there.

    .venv/bin/python tools/our_results.py

Commit, versions and machine are those of the outcome, never of today; facts that an outcome does not state are null.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from residua._base.files import write_text
from residua.specs.catalog import list_models

ROOT = Path(__file__).parents[1]
FOLDER = Path("docs/results/ours")
JPEG = "CIFAR-10 test, as JPEG"
# How `residua study` and `train` call the official archives.
_DATASETS = {"cifar10": "CIFAR-10 test", "cifar100": "CIFAR-100 test"}
_ABOUT_VERSIONS = ("residua", "torch", "torchvision", "python")
_ABOUT_MACHINE = ("processor", "threads", "device", "system")


@dataclass(frozen=True)
class Outcome:
    """An accuracy of ours.

    Attributes:
        network: in the catalog.
        dataset: and its part.
        views: of each image: "single", "10-crop".
        protocol: how it was measured, in words.
        metric: "top-1 error", in %.
        values: one per seed; one in all where nothing was trained.
        seeds: of the trainings, () where nothing was trained.
        images: that each value was measured on.
        train_images: trained on, where those were a part of the training images; else None.
        epochs: of training, None where nothing was trained.
        recipe: or where the weights are from.
        minutes: of each training, () where the outcome does not state them.
        commit: of the code, None where the outcome does not state it.
        versions: of packages.
        machine: processor, threads and the like.
        source: the committed file that it came from.
    """

    network: str
    dataset: str
    views: str
    protocol: str
    metric: str
    values: tuple[float, ...]
    seeds: tuple[int, ...]
    images: int
    train_images: int | None
    epochs: int | None
    recipe: str
    minutes: tuple[float, ...]
    commit: str | None
    versions: dict[str, str]
    machine: dict[str, str]
    source: str


def collect(root: Path) -> dict[str, Outcome]:
    """Return the outcomes of every committed file that has one, by the name of the file to write."""
    found: dict[str, Outcome] = {}
    for source, convert in (
        ("benchmarks/results/time_to_accuracy.json", from_time_to_accuracy),
        ("docs/proofs/converted_accuracy.json", from_converted),
    ):
        if (root / source).is_file():
            found[Path(source).stem] = convert(_read(root / source), source)
    for path in sorted(root.glob("docs/studies/**/study.json")):
        document, source = _read(path), path.relative_to(root).as_posix()
        for arm, outcome in from_study(document, source).items():
            found[f"{path.parent.name}-{arm}"] = outcome
    return found


def from_time_to_accuracy(document: Mapping[str, Any], source: str) -> Outcome:
    """The benchmark that trains cifar_resnet20 by the recipe `fast` on CIFAR-10 as JPEG, once per seed."""
    runs, machine = document["residua"], document["machine"]
    (epochs,) = {run["epochs"] for run in runs}
    return Outcome(
        network="cifar_resnet20",
        dataset=JPEG,
        views="single",
        protocol="single 32×32 view",
        metric="top-1 error",
        values=tuple(_error(run["top1"]) for run in runs),
        seeds=tuple(run["seed"] for run in runs),
        images=10_000,
        train_images=None,
        epochs=epochs,
        recipe="fast",
        minutes=tuple(round(run["seconds"] / 60, 2) for run in runs),
        commit=machine["commit"],
        versions={key: machine[key] for key in _ABOUT_VERSIONS},
        machine={key: machine[key] for key in _ABOUT_MACHINE},
        source=source,
    )


def from_converted(document: Mapping[str, Any], source: str) -> Outcome:
    """The proof that a converted checkpoint keeps its accuracy; it ran on CIFAR-10 as JPEG."""
    versions = document["versions"]
    return Outcome(
        network=document["model"],
        dataset=JPEG,
        views="single",
        protocol="single 32×32 view",
        metric="top-1 error",
        values=(_error(document["right"] / document["images"]),),
        seeds=(),
        images=document["images"],
        train_images=None,
        epochs=None,
        recipe=f"not trained by us: {document['converted']['file']}",
        minutes=(),
        commit=versions.get("commit"),
        versions={key: versions[key] for key in _ABOUT_VERSIONS if key in versions},
        machine={key: versions[key] for key in _ABOUT_MACHINE if key in versions},
        source=source,
    )


def from_study(document: Mapping[str, Any], source: str) -> dict[str, Outcome]:
    """The arms of a study that are networks of the catalog, unedited: by network, and by arm where arms share one."""
    versions, recipe = document["versions"], document["recipe"] or {}
    outcomes: dict[str, Outcome] = {}
    networks = [arm["network"] for arm in document["arms"]]
    for arm in document["arms"]:
        results = [result for result in document["results"] if result["arm"] == arm["arm"]]
        trained = [result["history"][-1]["epoch"] for result in results if result["history"]]
        if arm["network"] not in list_models() or len(trained) != len(results) or not results:
            continue  # edited, or a study of existing weights
        (images,) = {result["test_count"] for result in results}
        arm_of = re.sub(r"[^a-z0-9._]+", "-", arm["arm"].lower()).strip("-")
        alone = networks.count(arm["network"]) == 1
        outcomes[arm["network"] if alone else f"{arm['network']}-{arm_of}"] = Outcome(
            network=arm["network"],
            dataset=dataset_of(document["data"]["given"]),
            views="single",
            protocol=f"single view, study {document['study']}, {document['form']} form",
            metric="top-1 error",
            values=tuple(_error(1 - result["test_error"]) for result in results),
            seeds=tuple(result["seed"] for result in results),
            images=images,
            train_images=recipe.get("train_images") or None,  # 0 stands for all
            epochs=max(trained),
            recipe=str(recipe.get("name") or f"of the study {document['study']}"),
            minutes=tuple(round(result["minutes"], 2) for result in results),
            commit=versions.get("commit"),
            versions={key: versions[key] for key in _ABOUT_VERSIONS if key in versions},
            machine={key: versions[key] for key in _ABOUT_MACHINE if key in versions},
            source=source,
        )
    return outcomes


def dataset_of(given: str) -> str:
    """Return the data set's name for what a run was given: the official archive, CIFAR-10 as JPEG, or as it stands."""
    if re.match(r"cifar-?10(?!0).*jpe?g", given, re.IGNORECASE):
        return JPEG
    return _DATASETS.get(given, given)


def read_outcomes(folder: Path) -> list[Outcome]:
    """Return the outcomes in a folder, by file name."""
    outcomes = []
    for path in sorted(folder.glob("*.json")):
        row = _read(path)
        outcomes.append(
            Outcome(**{key: tuple(value) if isinstance(value, list) else value for key, value in row.items()})
        )
    return outcomes


def _error(top1: float) -> float:
    return round(100 * (1 - top1), 4)


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return document


def main() -> int:
    found = collect(ROOT)
    for name, outcome in found.items():
        write_text(ROOT / FOLDER / f"{name}.json", json.dumps(asdict(outcome), indent=1, ensure_ascii=False) + "\n")
    print(f"{len(found)} outcomes of ours: {FOLDER}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
