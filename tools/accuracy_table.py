"""The ledger's second table: published accuracies beside ours, a verdict by rule, as lines of Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from our_results import JPEG, Outcome
from published_rules import PAPER, PEER

from residua.specs.catalog import list_models
from residua.studies.intervals import Spread, rate

Published = Mapping[str, Any]
# Data sets in different files than the published ones -> the published one.
OTHER_FILES = {JPEG: "CIFAR-10 test"}

LEGEND = (
    "Errors in %, top-1 / top-5; published accuracies are turned into errors. **single**, **10-crop** and the like: "
    "views of an image; each protocol stands in `results/published.json`, and what is behind ours in `results/ours`.",
    "- **paper**: the network's own paper, or its authors' later paper or repository; **peers**: other people's "
    "training. @ is the side of the crop, where the source states it.",
    "- **ours**: mean ± standard deviation over n seeds.",
    "- agrees: a value of the paper lies in the 95% interval of ours, over the seeds where there are several, over "
    "the images where there is one. below by, above by: how far our accuracy is from the paper's nearest value.",
    "- not comparable: measured on other files, or trained on a part of the images.",
)


def lines(results: Sequence[Published], outcomes: Sequence[Outcome]) -> list[str]:
    """Return the section: networks with our outcomes, then the others, one line per network, data set and views."""
    head = ["network", "data set", "views", "paper", "peers", "ours", "n", "epochs, recipe", "commit", "versions"]
    text = [
        *_spaced(LEGEND),
        f"| {' | '.join([*head, 'minutes', 'verdict'])} |",
        "|---|---|---|---|---|--:|--:|---|---|---|--:|---|",
    ]
    ran = sorted(outcomes, key=lambda outcome: (_place(outcome.network), outcome.dataset, outcome.source))
    text += [f"| {' | '.join(_ours(outcome, results))} |" for outcome in ran]
    done = {(outcome.network, outcome.dataset, outcome.views) for outcome in outcomes}
    groups = {(row["network"], row["dataset"], row["views"]): None for row in results}
    rest = sorted((key for key in groups if key not in done), key=lambda key: (_place(key[0]), *key))
    text += ["", f"Published, and not run by us: {len(rest)} lines.", ""]
    text += ["| network | data set | views | paper | peers | verdict |", "|---|---|---|---|---|---|"]
    for network, dataset, views in rest:
        cells = [_cell(_of(results, network, dataset, views, kind)) for kind in (PAPER, PEER)]
        text.append(f"| {' | '.join([network, dataset, views, *cells, verdict(None, ())])} |")
    return text


def verdict(outcome: Outcome | None, papers: Sequence[float], other_files: bool = False) -> str:
    """Return the verdict on an outcome beside the paper's values of the same metric (errors in %)."""
    if outcome is None:
        return "not run"
    if not papers:
        return "nothing published"
    if other_files:
        return "not comparable: other files"
    if outcome.train_images is not None:
        return "not comparable: part of the training images"
    found = rate([value / 100 for value in outcome.values], outcome.images)
    if any(found.low <= value / 100 <= found.high for value in papers):
        return "agrees"
    mean = 100 * found.value
    nearest = min(papers, key=lambda value: abs(mean - value))
    return f"{'below' if mean > nearest else 'above'} by {abs(mean - nearest):.2f}"


def _ours(outcome: Outcome, results: Sequence[Published]) -> list[str]:
    base = OTHER_FILES.get(outcome.dataset, outcome.dataset)
    papers, peers = (_of(results, outcome.network, base, outcome.views, kind) for kind in (PAPER, PEER))
    spread = Spread.of([value / 100 for value in outcome.values])
    values = [row["value"] for row in papers if row["metric"] == outcome.metric]
    minutes = f"{sum(outcome.minutes) / len(outcome.minutes):.1f}" if outcome.minutes else "–"
    epochs = f"{outcome.epochs}, {outcome.recipe}" if outcome.epochs is not None else outcome.recipe
    return [
        outcome.network,
        outcome.dataset,
        outcome.views,
        _cell(papers),
        _cell(peers),
        spread.percent(2),
        str(len(outcome.seeds)) if outcome.seeds else "–",
        epochs,
        outcome.commit or "–",
        ", ".join(f"{name} {version}" for name, version in outcome.versions.items()),
        minutes,
        verdict(outcome, values, base != outcome.dataset),
    ]


def _of(results: Iterable[Published], network: str, dataset: str, views: str, kind: str) -> list[Published]:
    wanted = (network, dataset, views, kind)
    return [row for row in results if (row["network"], row["dataset"], row["views"], row["kind"]) == wanted]


def _cell(rows: Sequence[Published]) -> str:
    """Return the values of one cell: top-1 / top-5 of one origin joined, equal texts once."""
    origins: dict[tuple[str, str, str], dict[str, float]] = {}
    texts: dict[str, None] = {}
    for row in rows:
        # Some tables give the two metrics in two rows, whose protocols are worded differently.
        where = (row["source"], row["architecture"], _side(row["protocol"]) or "")
        metrics = origins.setdefault(where, {})
        if row["metric"] in metrics:  # a different training or testing scale of the same table
            texts |= {_entry(where, metrics): None}
            metrics = origins[where] = {}
        metrics[row["metric"]] = row["value"]
    texts |= {_entry(where, metrics): None for where, metrics in origins.items()}
    return "; ".join(texts) or "–"


def _entry(where: tuple[str, str, str], metrics: Mapping[str, float]) -> str:
    source, architecture, side = where
    values = " / ".join(f"{metrics[key]:g}" if key in metrics else "–" for key in ("top-1 error", "top-5 error"))
    values = values.removesuffix(" / –")
    return f"{values}{f' @{side}' if side else ''} ({_label(architecture, source)})"


def _label(architecture: str, source: str) -> str:
    """Return a short name of an origin: the library with its weights, or the source."""
    found = re.match(r"(torchvision|timm) \w+\.(\S+)", architecture)
    if found:
        return f"{found[1]} {found[2]}"
    found = re.match(r"(Keras Applications|Keras example|TF-Slim|BVLC)\b", architecture)
    return found[1] if found else re.sub(r" (README|readme)|, AAAI-17 .*| \(vendored .*", "", source)


def _side(protocol: str) -> str | None:
    """Return the side of the crop in pixels where a protocol names one."""
    found = re.search(r"crop(?: |, )?\[?(\d{3})\b(?!/)|single (\d{3}) (?:center )?crop", protocol)
    return next((group for group in found.groups() if group), None) if found else None


def _place(network: str) -> int:
    """Return the place in the catalog; unlisted members of a series come last."""
    names = list_models()
    return names.index(network) if network in names else len(names)


def _spaced(paragraphs: Sequence[str]) -> list[str]:
    first, *points = paragraphs
    return [first, "", *points, ""]
