"""README.md of a published run: the facts of its bundle, for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from residua._base.words import counted
from residua.specs.preprocess import describe
from residua.weights.bundle.config import timm_name
from residua.weights.bundle.value import Bundle


def model_card(bundle: Bundle, parameters: int) -> str:
    """Return the model card in the Hub's form: a head of YAML, a table of facts, the classes, how to use it."""
    spec, classes, preprocess = bundle.spec, bundle.classes, bundle.preprocess
    initial_weights, metrics = bundle.initial_weights, bundle.metrics
    peer = timm_name(spec, preprocess)
    task = "image-classification" if classes else "image-feature-extraction"
    begun = str((initial_weights or {}).get("given", ""))
    head = {
        "library_name": "timm" if peer else "residua",
        "pipeline_tag": task,
        "tags": [task, "residua"],
    }
    if begun.startswith("hf://"):
        head["base_model"] = begun.removeprefix("hf://").partition("@")[0]
    facts = {
        "Network": f"{spec.name} ({spec.paper})",
        "Parameters": f"{parameters:,}",
        "Input": f"{spec.in_channels} × {preprocess.height} × {preprocess.width}",
        "Preprocessing": describe(preprocess),
        "Classes": str(len(classes)) if classes else "none: pooled features",
        "Labels": "several an image: sigmoid of each logit" if bundle.multilabel else "",
        "Trained on": _trained_on(bundle.data),
        "Began with": f"{begun}, SHA-256 {(initial_weights or {}).get('sha256')}" if begun else "",
        "Measured": _measured(metrics),
        "SHA-256 of the weights": bundle.weights_sha256,
        "Written by": ", ".join(f"{name} {version}" for name, version in bundle.versions.items()),
    }
    # JSON is YAML, and keeps whatever a name holds from being read as more than text.
    lines = ["---", *(f"{key}: {json.dumps(value)}" for key, value in head.items()), "---", ""]
    gives = counted(len(classes), "class", "classes") if classes else "pooled features"
    lines += [f"# {spec.name}, {gives}", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {_cell(value)} |" for name, value in facts.items() if value]
    if classes:
        lines += ["", "Classes, in the order of the logits:", "", "```json", json.dumps(list(classes)), "```"]
    if bundle.multilabel:
        pairs = json.dumps(dict(zip(classes, bundle.multilabel.thresholds, strict=True)))
        lines += ["", "An image has a label from this probability on:", "", "```json", pairs, "```"]
    lines += [""]
    lines += ["```python", "import residua as r", "", 'run = r.load("hf://ORG/REPO")  # or a folder']
    lines += ['print(r.predict(run, ["photo.jpg"]))' if spec.answers else "print(run.model)", "```"]
    if peer:
        lines += ["", "```python", "import timm", ""]
        lines += ['model = timm.create_model("hf-hub:ORG/REPO", pretrained=True)', "```"]
    return "\n".join(lines) + "\n"


def _trained_on(data: Mapping[str, Any]) -> str:
    if "given" not in data:
        return ""
    counts = ", ".join(f"{count:,} {split}" for split, count in data.get("counts", {}).items())
    return f"{data['given']}" + (f": {counts} images" if counts else "") + f"; hash {data.get('hash')}"


def _measured(metrics: Mapping[str, Any]) -> str:
    if (mean := metrics.get("mean_average_precision")) is not None:
        of = counted(metrics["count"], "image") if metrics.get("count") else "images"
        return f"mean average precision {mean:.4f}, macro F1 {metrics.get('macro_f1') or 0:.4f} on {of}"
    if metrics.get("top1") is None:
        return ""
    sentence = f"top-1 {metrics['top1']:.4f}"
    if interval := metrics.get("top1_interval"):
        sentence += f" (95% interval {interval[0]:.4f} to {interval[1]:.4f})"
    of = counted(metrics["count"], "image") if metrics.get("count") else "images"
    return sentence + (f" of {of} of the {metrics['split']} part" if metrics.get("split") else "")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
