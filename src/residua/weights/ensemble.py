"""Several runs as one network that answers with the mean of their probabilities, and the folder that holds them."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NotRequired, TypedDict

import torch
from torch import Tensor, nn

from residua._base.errors import Damaged, InputError
from residua._base.files import atomic_folder
from residua._base.json_file import read_json
from residua._base.run_files import CONFIG_FILE, CROSS_VALIDATION, ENSEMBLE_FILE, FOLDS_FILE, MODEL_FILE
from residua._base.words import some
from residua.weights.open import load
from residua.weights.run import Run


class _Record(TypedDict):
    members: list[str]
    name: NotRequired[str]


class Average(nn.Module):
    """Networks whose answer is the logarithm of the mean of their probabilities.

    Shapes: images (B, C, H, W) -> (B, K), whose softmax is that mean. Attribute `spec` is the first network's, which
    states the channels of the image.

    Args:
        networks: of the same image and the same classes.
        orders: for each of them, the columns of its logits in the order of the first's classes.
    """

    def __init__(self, networks: Sequence[nn.Module], orders: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.orders = [torch.tensor(order) for order in orders]
        self.spec = networks[0].spec

    def forward(self, x: Tensor) -> Tensor:
        terms = [
            network(x)[:, order.to(x.device)].log_softmax(dim=1)
            for network, order in zip(self.networks, self.orders, strict=True)
        ]
        return torch.stack(terms).logsumexp(dim=0) - math.log(len(terms))


def is_ensemble(path: Path | str) -> bool:
    """Return whether a path is a folder of several runs that answer together: folds, or a written ensemble."""
    if not isinstance(path, str | Path):
        return False
    return any((Path(path) / name).is_file() for name in (FOLDS_FILE, ENSEMBLE_FILE))


def member_folders(folder: Path | str) -> list[Path]:
    """Return the runs in such a folder, in their order.

    Raises:
        Damaged: the record of an ensemble cannot be read, or names a run outside of its folder.
    """
    folder = Path(folder)
    if (folder / FOLDS_FILE).is_file():
        folds = folder.glob("fold-*")
        return sorted(folds, key=lambda path: int(path.name[5:]) if path.name[5:].isdigit() else 0)
    names = read_json(folder / ENSEMBLE_FILE, _Record)["members"]
    if odd := [name for name in names if Path(name).name != name or name in ("", ".", "..")]:
        raise Damaged(folder / ENSEMBLE_FILE, f"member {odd[0]!r} is no folder beside it")
    if not names:
        raise Damaged(folder / ENSEMBLE_FILE, "it names no member")
    return [folder / name for name in names]


def open_ensemble(folder: Path | str) -> Run:
    """Open such a folder as a run that answers with the mean of its members' probabilities.

    Temperatures and rejections of the members are left out, as in an evaluation of the ensemble: they belong to one.

    Raises:
        InputError: folds that are not all trained; members that differ in classes or preprocessing, or have several
            labels an image; as `load`.
    """
    folder = Path(folder)
    if (folder / FOLDS_FILE).is_file() and not (folder / CROSS_VALIDATION).is_file():
        raise InputError(
            f"{folder}, whose folds are not all trained",
            "a finished cross-validation",
            f"Go on with it: train_folds(DATA, out={str(folder)!r}, resume=True), or the command that began it",
        )
    runs = [load(each) for each in member_folders(folder)]
    check_members(runs)
    first = runs[0]
    orders = [[run.classes.index(name) for name in first.classes] for run in runs]
    together = hashlib.sha256("".join(run.weights_sha256 for run in runs).encode()).hexdigest()
    bundle = replace(
        first.bundle, folder=folder, weights_sha256=together, calibration=None, metrics={}, recipe=None, kept=""
    )
    return Run(Average([run.model for run in runs], orders).eval(), bundle)


def check_members(runs: Sequence[Run]) -> None:
    """Refuse runs that cannot answer as one network.

    Raises:
        InputError: they differ in classes or preprocessing, or have several labels an image.
    """
    first = runs[0]
    for run in runs:
        if run.multilabel is not None:
            raise InputError(
                f"an ensemble of {run.name}, which gives several labels an image",
                "runs of one label an image",
                f"Name one run: {run.folder}",
            )
        if set(run.classes) != set(first.classes):
            differ = some(sorted(set(run.classes) ^ set(first.classes)), 5)
            raise InputError(
                f"{run.folder} and {first.folder}, whose classes differ: {differ}", "the same", "Use others"
            )
        if run.preprocess_spec.to_json() != first.preprocess_spec.to_json():
            raise InputError(
                f"{run.folder} and {first.folder}, which prepare images differently",
                "members with the same preprocessing, which then see the same pixels",
                f"Name one run, such as {first.folder}; residua evaluate averages runs that differ in it",
            )


def write_ensemble(folder: Path, runs: Sequence[Path]) -> Path:
    """Write a folder with copies of the bundles of runs, which `open_ensemble` opens; return it.

    Args:
        folder: new; it appears when all is written.
        runs: folders of finished runs, in the order of the members.

    Raises:
        InputError: as `check_members`; the folder holds something.
    """
    check_members([load(run) for run in runs])
    with atomic_folder(folder) as beside:
        for run in runs:
            (beside / run.name).mkdir()
            for name in (MODEL_FILE, CONFIG_FILE):
                shutil.copyfile(run / name, beside / run.name / name)
        (beside / ENSEMBLE_FILE).write_text(json.dumps({"members": [run.name for run in runs]}) + "\n", "utf-8")
    return folder
