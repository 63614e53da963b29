"""Write the catalog of published weights from the metadata of torchvision and timm, as installed; nothing is fetched.

    python tools/published_weights.py [--check]

What neither package states stays empty. A row of torchvision has the Hub as its second place, and a licence, where timm
names the same file as the origin of its own: one address is the proof. Accuracies of timm's rows are those of
docs/results/published.json with the same view.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import timm
import torchvision
from timm.models import get_pretrained_cfg
from torchvision.models import get_model_weights

from residua.specs.catalog import get_spec
from residua.specs.preprocess import PreprocessSpec
from residua.weights.files.hub_config import preprocess_of
from residua.weights.peers.same_network import PEER_NETWORKS
from residua.weights.sources.torchvision import preprocess as torchvision_preprocess

ROOT = Path(__file__).parents[1]
CATALOG = ROOT / "src/residua/weights/published/catalog.json"
_HASHED = re.compile(r"-[0-9a-f]{8,64}\.[^/.]+$")
_WHAT = (
    "published weights, as the packages named below state them; the digits that end a file's name are the first of its "
    "SHA-256; accuracies are shares of ImageNet-1k's validation images"
)


def catalog() -> dict[str, Any]:
    """Return the catalog as JSON holds it."""
    tagged = {(ours, each): get_pretrained_cfg(each) for ours, each in _timms()}
    rows = [*_torchvisions(tagged), *_timm_rows(tagged)]
    order = {network: place for place, network in enumerate(dict.fromkeys(row["network"] for row in rows))}
    # Within a network: torchvision's first, of each publisher the default first.
    rows.sort(key=lambda row: (order[row["network"]], not row["name"].startswith("torchvision"), not row["default"]))
    return {
        "what": _WHAT,
        "made_by": "tools/published_weights.py",
        "packages": {"torchvision": torchvision.__version__.partition("+")[0], "timm": timm.__version__},
        "weights": rows,
    }


def _torchvisions(tagged: dict[tuple[str, str], Any]) -> list[dict[str, Any]]:
    rows = []
    for ours, peer in PEER_NETWORKS["torchvision"].items():
        known = get_model_weights(peer.name)
        for each in known:
            metrics = each.meta["_metrics"].get("ImageNet-1K", {})
            if math.isnan(metrics.get("acc@1", math.nan)):
                continue  # Features for detection: their classifier is no classifier.
            same = [cfg for (name, _), cfg in tagged.items() if name == ours and cfg.url == each.url]
            shown = each.transforms()
            peers = torchvision_preprocess(get_spec(ours), each.url.rsplit("/", 1)[-1])
            assert peers is not None
            preprocess = PreprocessSpec(
                shown.crop_size[0],
                shown.resize_size[0],
                shown.interpolation.value,
                # torchvision's GoogLeNet and Inception undo the mean and deviation that their transforms name.
                mean=peers.mean,
                std=peers.std,
            )
            rows.append(
                {
                    "network": ours,
                    "name": f"torchvision:{each.name}",
                    "locations": [each.url, *(f"hf://{cfg.hf_hub_id}" for cfg in same if cfg.hf_hub_id)],
                    "bytes": round(each.meta["_file_size"] * 2**20),
                    "top1": round(metrics["acc@1"] / 100, 5),
                    "top5": round(metrics["acc@5"] / 100, 5),
                    "accuracy_by": "torchvision's metadata",
                    "licence": same[0].license if same else "",
                    "licence_by": "timm, of the same file" if same else "",
                    "training": each.meta["recipe"] or "",
                    "preprocess": preprocess.to_json(whole=True),
                    "default": each == known.DEFAULT,
                }
            )
    return rows


def _timms() -> list[tuple[str, str]]:
    return [
        (ours, each) for ours, peer in PEER_NETWORKS["timm"].items() for each in timm.list_pretrained(f"{peer.name}.*")
    ]


def _timm_rows(tagged: dict[tuple[str, str], Any]) -> list[dict[str, Any]]:
    accuracies = _accuracies()
    rows = []
    for (ours, full), cfg in tagged.items():
        if cfg.num_classes != 1000:
            continue
        places = [f"hf://{cfg.hf_hub_id}"] if cfg.hf_hub_id else []
        places += [cfg.url] if cfg.url and _HASHED.search(cfg.url) else []
        if not places:
            continue
        stated = {name: getattr(cfg, name) for name in ("input_size", "interpolation", "mean", "std", "crop_pct")}
        preprocess = preprocess_of(stated | {"crop_mode": cfg.crop_mode}, full)
        top1, top5 = accuracies.get((full, preprocess.height, round(cfg.crop_pct, 3)), (None, None))
        architecture, _, tag = full.partition(".")
        rows.append(
            {
                "network": ours,
                "name": f"timm:{tag}",
                "locations": places,
                "bytes": None,
                "top1": top1,
                "top5": top5,
                "accuracy_by": "" if top1 is None else "timm's results-imagenet.csv",
                "licence": cfg.license or "",
                "licence_by": "timm" if cfg.license else "",
                "training": cfg.origin_url or "",
                "preprocess": preprocess.to_json(whole=True),
                "default": tag == get_pretrained_cfg(architecture).tag,
            }
        )
    return rows


def _accuracies() -> dict[tuple[str, int, float], tuple[float, float]]:
    """Return (top-1, top-5) by (network.tag, side, crop) of timm's own table of results."""
    found: dict[tuple[str, int, float], dict[str, float]] = {}
    for row in json.loads((ROOT / "docs/results/published.json").read_text())["results"]:
        match = re.fullmatch(r"single crop (\d+), crop_pct ([\d.]+), \w+", row["protocol"])
        if match and "results-imagenet.csv" in row["source"]:
            key = (row["architecture"].removeprefix("timm "), int(match[1]), float(match[2]))
            error = row["value"] / 100
            found.setdefault(key, {})[row["metric"]] = round(1 - error if "error" in row["metric"] else error, 5)
    return {
        key: (values[next(name for name in values if "top-1" in name)], values[next(n for n in values if "top-5" in n)])
        for key, values in found.items()
    }


def main() -> int:
    """Write the catalog, or with --check compare it with what the packages state; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="exit 1 where the file differs")
    text = "".join(_lines(catalog()))
    if parser.parse_args().check:
        same = CATALOG.read_text(encoding="utf-8") == text
        print("the catalog is what the packages state" if same else "the catalog differs from the packages")
        return 0 if same else 1
    CATALOG.write_text(text, encoding="utf-8")
    return 0


def _lines(document: dict[str, Any]) -> list[str]:
    """Return the document with a line per row, so that a difference is read as one."""
    head = {key: value for key, value in document.items() if key != "weights"}
    rows = ",\n".join(json.dumps(row) for row in document["weights"])
    return [json.dumps(head)[:-1], ', "weights": [\n', rows, "\n]}\n"]


if __name__ == "__main__":
    sys.exit(main())
