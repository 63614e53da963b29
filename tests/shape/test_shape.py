"""Tests that keep the project's shape: floors, public names, the command line, quick starts."""

from __future__ import annotations

import ast
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import residua
from residua.cli.app import build_app

SOURCE = Path(residua.__file__).parent
FLOORS = {
    "_version": 0,
    "_base": 0,
    "specs": 1,
    "layers": 1,
    "data": 1,
    "figures": 1,
    "families": 2,
    "anatomy": 3,
    "explanation": 3,
    "weights": 3,
    "runtime": 3,
    "evaluation": 4,
    "verification": 4,
    "training": 5,
    "inference": 5,
    "exporting": 5,
    "bench": 6,
    "grids": 6,
    "sweeps": 7,
    "serving": 6,
    "labels": 7,
    "studies": 7,
    "cli": 8,
    "__main__": 9,
}
MODULES = sorted(SOURCE.rglob("*.py"))
QUICK = [["-c", "import residua"]]
QUICK += [["-m", "residua", *words] for words in (["--help"], ["models"], ["diff", "resnet50", "resnet50_v1"])]

OPTIONS = {
    "models": {"pattern", "json"},
    "weights": {"action", "network", "from", "all", "json"},
    "diff": {"left", "right", "set", "json"},
    "inspect": {
        "model",
        "others",
        "input",
        "batch",
        "by",
        "table",
        "training",
        "until",
        "optimizer",
        "set",
        "svg",
        "json",
    },
    "verify": {"models", "peer", "set", "json"},
    "check": {"data", "labels", "columns", "groups", "run", "workers", "data_dir", "json"},
    "evaluate": {
        *(
            "run",
            "data",
            "split",
            "views",
            "with",
            "member_weights",
            "weights",
            "select",
            "slices",
            "study",
            "predictions",
            "calibrate",
            "reject",
            "score",
            "unknown",
            "neighbours",
            "projection",
            "corrupt",
            "corruption",
            "severity",
            "shift",
        ),
        *(
            "reestimate_bn",
            "no_cache",
            "batch_size",
            "device",
            "engine",
            "precision",
            "on_bad",
            "data_dir",
            "labels",
            "columns",
            "report",
            "full_provenance",
            "json",
        ),
    },
    "compare": {
        *("run", "runs", "data", "split", "views", "no_cache", "batch_size", "device", "engine", "precision"),
        *("on_bad", "data_dir", "labels", "columns", "json"),
    },
    "predict": {
        *("run", "paths", "top", "format", "out", "on_bad", "batch_size", "device", "engine", "precision", "json"),
        *("actors", "actor_engine", "threshold", "sort_into", "sort", "allow_urls", "every_frame"),
    },
    "sweep": {
        *("data", "model", "out", "seeds", "grid", "recipe", "only", "labels", "columns", "groups", "jobs"),
        *("search", "trials", "ensemble", "data_dir", "json", "launcher", "cpus_per_run", "address"),
    },
    "track": {"action", "run", "to", "json"},
    "pack": {"data", "out", "check", "format", "shard_megabytes", "labels", "columns", "workers", "data_dir", "json"},
    "doubt": {"run", "data", "out", "by", "folds", "seed", "data_dir", "device", "json"},
    "undo-sort": {"log", "json"},
    "embed": {"run", "paths", "out", "point", "no_normalise", "batch_size", "device", "json"},
    "similar": {"run", "query", "photos", "out", "count", "point", "batch_size", "device", "json"},
    "label-next": {"run", "unlabelled", "out", "count", "by", "seed", "batch_size", "device", "json"},
    "explain": {
        *("run", "paths", "out", "method", "target", "layer", "top", "batch_size", "device", "no_neighbours", "json"),
    },
    "serve": {
        *("runs", "host", "port", "engine", "precision", "device", "max_batch", "queue", "timeout", "drain", "grace"),
        *("stall", "workers"),
        *("token_file", "origin", "repository", "max_body", "max_images", "max_pixels", "json"),
    },
    "conform": {"url", "model", "request", "token_file", "timeout", "junit", "verbose", "json"},
    "convert": {
        *("file", "model", "out", "from", "to", "classes", "image_size"),
        *("mean", "std", "scale", "mean_image", "interpolation", "crop", "by_structure", "label_thresholds", "json"),
    },
    "export": {
        *(
            "run",
            "data",
            "format",
            "precision",
            "out",
            "layout",
            "runtime",
            "with_preprocessing",
            "any_size",
            "golden_only",
            "check",
        ),
        *("max_drop", "ladder_seconds", "on_bad", "data_dir", "json"),
    },
    "bench": {
        *("models", "batch", "resolution", "mode", "engine", "kernels", "precision", "peer", "batches", "warm_up"),
        *("threads", "set", "device", "chart", "out", "verbose", "json"),
    },
    "study": {
        *("name", "data", "quick", "seeds", "depths", "model", "groups", "run", "recipe", "epochs"),
        *("batch_size", "train_images", "device", "out", "jobs", "data_dir", "list", "json"),
    },
    "learn": {"out", "step", "short", "json"},
    "train": {
        "data",
        "model",
        "out",
        "weights",
        "recipe",
        "set",
        "resume",
        *("labels", "columns", "groups", "folds", "fold", "jobs"),
        "data_dir",
        "full_provenance",
        "corrections",
        *("find_rate", "teacher", "profile", "dry_run", "first_batch"),
        "track",
        "json",
        "epochs",
        "max_steps",
        "min_steps",
        "batch_size",
        "accumulate_steps",
        "optimizer",
        "learning_rate",
        "momentum",
        "nesterov",
        "weight_decay",
        "decay_norm_and_bias",
        "decay_head",
        "epsilon",
        *("center", "std", "zca", "zca_epsilon", "validate_on"),
        "schedule",
        "warmup_epochs",
        "milestones",
        "milestone_steps",
        "gamma",
        "final_learning_rate",
        "plateau_factor",
        "plateau_patience",
        "min_learning_rate",
        "label_smoothing",
        *("distill_temperature", "distill_weight"),
        *("balance", "balance_beta", "balance_tau", "keep_by"),
        "ema_decay",
        "freeze",
        "probe_views",
        "layer_decay",
        "rest_optimizer",
        "rest_rate",
        "begin_size",
        "final_views",
        "clip_norm",
        "early_stop_epochs",
        "keep",
        "precision",
        "channels_last",
        "compile",
        "engine",
        *("sync_norm", "shard"),
        "kernels",
        "image_size",
        "val_fraction",
        "train_images",
        "measure_train",
        "shuffle_window",
        "workers",
        "device",
        "seed",
        "checkpoint_every_steps",
        "checkpoint_every_minutes",
        "keep_checkpoints",
        "on_bad",
        "crop",
        "pad",
        "scale",
        "ratio",
        "shift",
        "flip",
        *("height_shift", "width_shift", "subpixel", "rotation", "shear", "zoom", "fill", "fill_value"),
        *("channel_shift", "vertical_flip", "brightness"),
        "cutout",
        "color_jitter",
        "mixup",
        "cutmix",
        *("alternate_flip", "randaugment", "randaugment_magnitude", "trivialaugment", "augmix"),
    },
}


def _part(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def _imports(path: Path) -> set[str]:
    """Every residua module that a file imports, also inside functions and for types."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: a relative import"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.split(".")[0] == "residua"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_down(path: Path) -> None:
    part = _part(path)
    if part == "__init__":
        return
    for name in _imports(path):
        words = name.split(".")
        if len(words) > 1 and words[1] in FLOORS:
            lower, own = FLOORS[words[1]], FLOORS[part]
            allowed = lower < own or words[1] == part or (part, words[1]) == ("data", "specs")
            assert allowed, f"{part} (floor {own}) imports {name} (floor {lower})"


def test_only_families_meet_specs_and_layers() -> None:
    for path in MODULES:
        if _part(path) == "layers":
            assert not any(name.startswith("residua.specs") for name in _imports(path)), path


def test_specs_know_no_torch() -> None:
    code = "import sys, residua.specs.catalog, residua.specs.schema, residua.specs.augment, residua.specs.preprocess"
    code += "\nassert not {'torch', 'numpy'} & set(sys.modules), 'specs import torch or numpy'"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_docstring_stands_once(path: Path) -> None:
    """A text behind another one belongs to something else, from which an edit has torn it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            texts = [each for each in node.body if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant)]
            assert len([each for each in texts if isinstance(each.value.value, str)]) <= 1, node.name


def test_public_names() -> None:
    frozen = "__version__ AugmentSpec InputError PreprocessSpec Prediction Recipe Report ResNetSpec ResiduaError Run"
    frozen += " build check convert create_model deepen doubt embed embed_to evaluate explain export get_spec inspect"
    frozen += " label_next list_models load open_dataset predict predict_frame predict_stream predict_to similar"
    frozen += " split_gradient study"
    frozen += " train train_folds verify"
    assert residua.__all__ == frozen.split()
    assert len(residua.__all__) <= 40
    for name in residua.__all__:
        assert getattr(residua, name) is not None
    with pytest.raises(AttributeError):
        _ = residua.no_such_name


def test_command_line() -> None:
    app = build_app()
    assert {name for name in app if not name.startswith("-")} == set(OPTIONS)
    for command, wanted in OPTIONS.items():
        names = {
            argument.parameter.name[0] if argument.parameter.name else argument.name
            for argument in app[command].assemble_argument_collection()
        }
        names.discard("*")  # a group of shared flags, each of which is in the collection
        assert {name.lstrip("-").replace("-", "_").lower() for name in names} == wanted


@pytest.mark.parametrize("words", QUICK, ids=lambda words: " ".join(words[1:]))
def test_answers_at_once_and_without_torch(words: list[str]) -> None:
    def seconds(arguments: list[str]) -> float:
        # Of the processor, not of the clock: other processes must not decide it.
        times = []
        for _ in range(3):
            start = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
            end = resource.getrusage(resource.RUSAGE_CHILDREN)
            times.append(end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime)
        return min(times)

    limit = 3 * seconds(["-c", "import json, dataclasses, argparse"]) + 0.25
    assert seconds(words) < limit
    traced = subprocess.run([sys.executable, "-X", "importtime", *words], check=True, capture_output=True, text=True)
    imported = {line.rsplit("|", 1)[-1].strip() for line in traced.stderr.splitlines() if "|" in line}
    assert not {"torch", "torchvision", "numpy"} & imported
