"""Runs to and from the Hub's layout, and strangers' weights as runs."""

from __future__ import annotations

import re
from pathlib import Path

from residua._base.errors import InputError
from residua._base.files import write_text
from residua.families.build import spec_of
from residua.specs.schema import Spec
from residua.weights.bundle.bundle import CONFIG_FILE, MODEL_FILE, hash_tensors, save_bundle, versions
from residua.weights.class_names import class_names
from residua.weights.convert import get_source
from residua.weights.files.state_file import is_bundle
from residua.weights.model_card import model_card
from residua.weights.named.locate import HUB_FILES, is_remote
from residua.weights.named.resolve import resolve
from residua.weights.peers.same_network import unlike
from residua.weights.run import Run, assembled, load

_CARD = "README.md"


def is_strangers(name: Path | str) -> bool:
    """Whether a name is anything but a run's folder or bundle: an address, or a folder of the Hub's layout."""
    if is_remote(name):
        return True
    path = Path(name)
    held = [path / file for file in HUB_FILES if (path / file).is_file()]
    return bool(held) and (path / CONFIG_FILE).is_file() and not is_bundle(path / MODEL_FILE)


def hub_name(name: Path | str) -> Path | str:
    """Return `name`, as hf://ORG/REPO when it reads ORG/REPO and is no folder here."""
    text = str(name)
    return f"hf://{text}" if re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", text) and not Path(name).exists() else name


def load_strangers(name: Path | str, model: str | Spec | None = None) -> Run:
    """Load weights by name as a run; see `residua.weights.run.load`."""
    spec = None if model is None else spec_of(model)
    found = resolve(name, spec, asked=() if isinstance(model, str) else None)
    if is_bundle(found.located.path):
        run = load(found.located.path)
        if spec is None or isinstance(model, str) or not unlike(spec, run.spec):
            return run
        # All that `resolve` lets a spec change; see `schema.ROLES`.
        denser = run.spec.edit(output_stride=getattr(spec, "output_stride", 0))
        told = {name: value for name, value in vars(run).items() if name not in ("model", "spec")}
        return assembled(run.model.state_dict(), spec=denser, **told)
    if found.preprocess is None:
        raise InputError(
            f"{name}, which does not say how images are to be prepared",
            "a run, weights of torchvision or timm, or a config.json with mean, std and size",
            "Make a run of it: residua convert FILE --model MODEL --out RUN",
        )
    data = get_source(found.source).DATA if found.source else ""
    return assembled(
        found.tensors,
        folder=found.located.path.parent,
        spec=found.spec.edit(input_size=found.preprocess.image_size),
        classes=found.classes or class_names(None, found.spec.num_classes, data)[0],
        preprocess_spec=found.preprocess,
        metrics={},
        data={},
        recipe=None,
        initial_weights={"given": found.located.given, "sha256": found.located.sha256},
        versions=versions(),
        weights_sha256=hash_tensors(found.tensors),
    )


def save_pretrained(run: Run, folder: Path) -> Path:
    """Write a run in the Hub's layout; see `Run.save_pretrained`."""
    tensors = run.model.state_dict()
    save_bundle(
        folder,
        tensors=tensors,
        spec=run.spec,
        classes=run.classes,
        preprocess=run.preprocess_spec,
        metrics=run.metrics,
        data=run.data,
        recipe=run.recipe,
        initial_weights=run.initial_weights,
        # Of other weights it says nothing.
        calibration=run.calibration if hash_tensors(tensors) == run.weights_sha256 else None,
    )
    if not (folder / _CARD).exists():
        card = model_card(
            spec=run.spec,
            classes=run.classes,
            preprocess=run.preprocess_spec,
            parameters=sum(parameter.numel() for parameter in run.model.parameters()),
            metrics=run.metrics,
            data=run.data,
            initial_weights=run.initial_weights,
            versions=versions(),
            weights_sha256=hash_tensors(tensors),
        )
        write_text(folder / _CARD, card)
    return folder
