"""Residua: from a folder of images to a proven, deployed classifier built on residual networks.

    import residua as r
    run = r.train("PHOTOS", model="resnet18", out="runs/a")
    print(r.evaluate(run).top1, r.predict(run, ["a.jpg"])[0].labels[0])

Names are loaded when they are first used: `import residua` does not import torch.
"""

from __future__ import annotations

import importlib

from residua._version import __version__

# `python -m residua` runs this with the working directory on the import path; `typing` would import a `re.py` there.
TYPE_CHECKING = False

_HOMES = {
    "AugmentSpec": "residua.specs.augment",
    "InputError": "residua._base.errors",
    "PreprocessSpec": "residua.specs.preprocess",
    "Prediction": "residua.weights.prediction",
    "Recipe": "residua.training.recipe",
    "Report": "residua.evaluation.report.report",
    "ResNetSpec": "residua.specs.resnet",
    "ResiduaError": "residua._base.errors",
    "Run": "residua.weights.run",
    "build": "residua.families.build",
    "check": "residua.data.doctor.check",
    "convert": "residua.weights.convert",
    "create_model": "residua.weights.create",
    "deepen": "residua.weights.deepen",
    "doubt": "residua.labels.doubt",
    "embed": "residua.inference.embedding.embed",
    "embed_to": "residua.inference.embedding.embed_to",
    "evaluate": "residua.evaluation.evaluate",
    "explain": "residua.inference.explain",
    "export": "residua.exporting.export",
    "get_spec": "residua.specs.catalog",
    "inspect": "residua.anatomy.inspect",
    "label_next": "residua.labels.label_next",
    "list_models": "residua.specs.catalog",
    "load": "residua.weights.open",
    "open_dataset": "residua.data.open",
    "predict": "residua.inference.predict",
    "predict_frame": "residua.inference.frame",
    "predict_stream": "residua.inference.predict",
    "predict_to": "residua.inference.answers.predict_to",
    "similar": "residua.inference.embedding.similar",
    "split_gradient": "residua.studies.measures.flow",
    "study": "residua.studies.run_study",
    "train": "residua.training.loop",
    "train_folds": "residua.grids.folds.train_folds",
    "verify": "residua.verification.verify",
}
__all__ = ["__version__", *_HOMES]

if TYPE_CHECKING:
    from typing import Any

    from residua._base.errors import InputError as InputError
    from residua._base.errors import ResiduaError as ResiduaError
    from residua.anatomy.inspect import inspect as inspect
    from residua.data.doctor.check import check as check
    from residua.data.open import open_dataset as open_dataset
    from residua.evaluation.evaluate import evaluate as evaluate
    from residua.evaluation.report.report import Report as Report
    from residua.exporting.export import export as export
    from residua.families.build import build as build
    from residua.grids.folds.train_folds import train_folds as train_folds
    from residua.inference.answers.predict_to import predict_to as predict_to
    from residua.inference.embedding.embed import embed as embed
    from residua.inference.embedding.embed_to import embed_to as embed_to
    from residua.inference.embedding.similar import similar as similar
    from residua.inference.explain import explain as explain
    from residua.inference.frame import predict_frame as predict_frame
    from residua.inference.predict import predict as predict
    from residua.inference.predict import predict_stream as predict_stream
    from residua.labels.doubt import doubt as doubt
    from residua.labels.label_next import label_next as label_next
    from residua.specs.augment import AugmentSpec as AugmentSpec
    from residua.specs.catalog import get_spec as get_spec
    from residua.specs.catalog import list_models as list_models
    from residua.specs.preprocess import PreprocessSpec as PreprocessSpec
    from residua.specs.resnet import ResNetSpec as ResNetSpec
    from residua.studies.measures.flow import split_gradient as split_gradient
    from residua.studies.run_study import study as study
    from residua.training.loop import train as train
    from residua.training.recipe import Recipe as Recipe
    from residua.verification.verify import verify as verify
    from residua.weights.convert import convert as convert
    from residua.weights.create import create_model as create_model
    from residua.weights.deepen import deepen as deepen
    from residua.weights.open import load as load
    from residua.weights.prediction import Prediction as Prediction
    from residua.weights.run import Run as Run


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'residua' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
