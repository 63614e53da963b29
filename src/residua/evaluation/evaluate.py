"""Evaluation of a run or of a network: one pass over a split, and the report of it."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from residua._base.errors import InputError
from residua.data.decode import Pixels, decode
from residua.data.loader import Loader
from residua.data.preprocess import apply_uint8
from residua.data.sources import BadPolicy, Split
from residua.evaluation.data import open_for, with_labels_of
from residua.evaluation.environment import environment, on_device, pick_device
from residua.evaluation.metrics import IntArray, Outcome, Tally
from residua.evaluation.report import Mistake, Report, read_history
from residua.explanation.thumbnails import overlay_uris
from residua.specs.preprocess import PreprocessSpec
from residua.weights.run import Run, load

Progress = Callable[[int, int], None]
WORST, CONFIDENT = 24, 12
_THUMBNAIL_SIDE = 160


class _Batch(Protocol):
    images: Tensor
    labels: Tensor


class _Batches(Protocol):
    def epoch(self, epoch: int) -> Iterable[_Batch]: ...


@torch.inference_mode()
def quick_metrics(model: nn.Module, loader: _Batches, *, autocast: torch.dtype | None = None) -> dict[str, float | int]:
    """Return loss, top1, top5 and count of one pass in eval mode: what a training loop asks each epoch.

    The model's training mode is put back afterwards.

    Args:
        model: on the loader's device.
        loader: gives each image once; labels (B,) are class indices.
        autocast: the reduced precision to run in, None for the weights' own.

    Raises:
        NotFinite: the logits hold NaN or infinity.
        InputError: the loader gives no image.
    """
    training = model.training
    model.eval()
    tally: Tally | None = None
    try:
        for batch in loader.epoch(0):
            enabled = autocast is not None
            with torch.autocast(batch.images.device.type, dtype=autocast, enabled=enabled):
                logits = model(batch.images)
            tally = tally or Tally(logits.shape[1])
            tally.update(logits, batch.labels)
    finally:
        model.train(training)
    found = (tally or Tally(1)).metrics()
    return {"loss": found.loss, "top1": found.top1, "top5": found.top5, "count": found.count}


def evaluate(
    run: Run | Path | str,
    data: str | Path | None = None,
    *,
    split: str | None = None,
    data_dir: Path | None = None,
    batch_size: int = 256,
    device: torch.device | str | None = None,
    on_bad: BadPolicy | None = None,
    progress: Progress | None = None,
) -> Report:
    """Evaluate a run.

    Args:
        run: a `Run` or its folder.
        data: what `residua train` takes. By default, and also when this is the very data that the run was
            trained on, its held-out part (test, else validation): images that it has not learnt from. Of
            other data: test, else validation, else all.
        split: "train", "val" or "test", to choose the part.
        data_dir: where downloaded sets lie.
        batch_size: images a forward pass; the result does not depend on it.
        device: by default the GPU where there is one.
        on_bad: what to do with files that cannot be listed or do not decode: "refuse", or "skip" and leave them
            out of the count, which the report then says. By default as in training for the run's own data, else
            "refuse".
        progress: called with (images done, images in all).

    Raises:
        InputError: the run's data is gone or has changed; its classes are not the run's; no such split; bad
            files.
    """
    run = run if isinstance(run, Run) else load(run)
    dataset = open_for(run, data, data_dir, on_bad)
    chosen = split or dataset.held_out
    if chosen not in dataset.splits:
        raise InputError(
            f"split {chosen!r} of {dataset.given}",
            f"one of {', '.join(sorted(dataset.splits))}",
            "Choose with split=",
        )
    own = dataset.hash == run.data.get("hash")
    part = with_labels_of(run, dataset, dataset.splits[chosen])
    history, damage = read_history(run.folder)
    facts = {"evaluated": relation(chosen, own_data=own), "trained_on": _trained_on(run)}
    facts["notes"] = [*dataset.notes, *[damage] * bool(damage)]
    return evaluate_model(
        run.model,
        part,
        run.preprocess_spec,
        run.classes,
        batch_size=batch_size,
        device=device,
        on_bad=on_bad or (None if own else "refuse"),
        progress=progress,
        name=run.folder.resolve().name,
        data=dataset.describe() | facts,
        recipe=run.recipe,
        history=history,
        root=Path(dataset.location) if dataset.location else None,
    )


def evaluate_model(
    model: nn.Module,
    split: Split,
    preprocess: PreprocessSpec,
    classes: Sequence[str],
    *,
    batch_size: int = 256,
    device: torch.device | str | None = None,
    on_bad: BadPolicy | None = None,
    progress: Progress | None = None,
    name: str = "",
    data: dict[str, Any] | None = None,
    recipe: dict[str, Any] | None = None,
    history: Sequence[dict[str, Any]] = (),
    root: Path | None = None,
) -> Report:
    """Evaluate a network on a split whose labels index `classes`, and return the full report.

    `name`, `data`, `recipe` and `history` are passed on to it; file names are given relative to `root`. `on_bad`
    is the recipe's by default; the other arguments are those of `evaluate`.

    Raises:
        InputError: an empty split, a bad file, `batch_size` below 1.
        NotFinite: the logits hold NaN or infinity.
    """
    if batch_size < 1:
        raise InputError(f"batch_size={batch_size}", "batch_size >= 1", "Leave it out for 256")
    if len(split) == 0:
        raise InputError(
            f"split {split.name!r} has no images", "at least one image to evaluate", "Choose another with split="
        )
    where = pick_device(device)
    loader = Loader(
        split,
        preprocess,
        batch_size=batch_size,
        device=where,
        num_classes=len(classes),
        train=False,
        channels_last=True,
        on_bad=on_bad or (recipe or {}).get("on_bad", "refuse"),
    )
    network = on_device(model, where)
    tally, images = _pass(network, loader, len(classes), len(split), progress)
    metrics = tally.metrics(classes)
    wrong = np.flatnonzero(images.label != images.predicted)
    # Ties go to the image that comes first, so that the page is the same each time.
    worst = wrong[np.argsort(images.true_probability[wrong], kind="stable")][:WORST]
    surest = wrong[np.argsort(-images.probability[wrong], kind="stable")][:CONFIDENT]

    drawn = [int(row) for row in dict.fromkeys([*worst, *surest])]
    pixels = [_seen(split, int(images.place[row]), preprocess) for row in drawn]
    overlays = overlay_uris(network, pixels, [int(images.predicted[row]) for row in drawn], preprocess)
    pictures = {row: (_thumbnail(seen), found) for row, seen, found in zip(drawn, pixels, overlays, strict=True)}

    def mistakes(rows: IntArray) -> tuple[Mistake, ...]:
        return tuple(_mistake(int(row), images, split, classes, root, *pictures[int(row)]) for row in rows)

    return Report(
        name=name,
        model=_describe(model, preprocess),
        split=split.name,
        count=metrics.count,
        top1=metrics.top1,
        top1_interval=metrics.top1_interval,
        top5=metrics.top5,
        loss=metrics.loss,
        macro_f1=metrics.macro_f1,
        balanced_accuracy=metrics.balanced_accuracy,
        baseline=float(metrics.confusion.sum(axis=1).max() / metrics.count),
        classes=tuple(classes),
        per_class=metrics.per_class,
        confusion=metrics.confusion,
        worst=mistakes(worst),
        most_confident_mistakes=mistakes(surest),
        data=_with_skipped(data or {}, split.name, loader),
        recipe=recipe,
        environment=environment(where),
        history=tuple(history),
    )


def _with_skipped(data: dict[str, Any], name: str, loader: Loader) -> dict[str, Any]:
    if not loader.skipped:
        return data
    left_out = f"{len(loader.skipped)} of the {name} files do not decode and were left out of the evaluation"
    return data | {"notes": [*data.get("notes", ()), left_out]}


@dataclass(frozen=True)
class _Images(Outcome):
    place: IntArray


@torch.inference_mode()
def _pass(
    model: nn.Module, loader: Loader, num_classes: int, count: int, progress: Progress | None
) -> tuple[Tally, _Images]:
    tally = Tally(num_classes)
    outcomes: list[Outcome] = []
    indices: list[IntArray] = []
    for batch in loader.epoch(0):
        outcomes.append(tally.update(model(batch.images), batch.labels))
        indices.append(batch.indices.cpu().numpy())
        if progress is not None:
            progress(tally.count, count)

    def joined(name: str) -> Any:
        return np.concatenate([getattr(outcome, name) for outcome in outcomes])

    names = ("label", "predicted", "probability", "true_probability")
    return tally, _Images(**{name: joined(name) for name in names}, place=np.concatenate(indices))


def relation(chosen: str, *, own_data: bool) -> str:
    """Say in a sentence what the images of split `chosen` are to the run; `own_data`: of what it was trained on."""
    if not own_data:
        return "These images are other data than the run was trained on."
    if chosen == "train":
        return "These are the images that the run was trained on: expect less on new ones."
    return "These images were held out: the run was not trained on them."


def _trained_on(run: Run) -> dict[str, Any]:
    return {key: run.data[key] for key in ("given", "hash", "counts") if key in run.data}


def _describe(model: nn.Module, preprocess: PreprocessSpec) -> dict[str, Any]:
    spec = getattr(model, "spec", None)
    return {
        "name": getattr(spec, "name", type(model).__name__),
        "paper": getattr(spec, "paper", ""),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "input_size": preprocess.image_size,
    }


def _mistake(
    row: int,
    images: _Images,
    split: Split,
    classes: Sequence[str],
    root: Path | None,
    thumbnail: str,
    explanation: str,
) -> Mistake:
    index = int(images.place[row])
    return Mistake(
        path=_where(split, index, root),
        index=index,
        true=classes[images.label[row]],
        predicted=classes[images.predicted[row]],
        probability=float(images.probability[row]),
        true_probability=float(images.true_probability[row]),
        thumbnail=thumbnail,
        explanation=explanation,
    )


def _where(split: Split, index: int, root: Path | None) -> str:
    path = split.files[index] if split.files is not None else None
    if path is None:
        return split.where(index)
    return str(path.relative_to(root)) if root is not None and path.is_relative_to(root) else str(path)


def _seen(split: Split, index: int, preprocess: PreprocessSpec) -> Pixels:
    pixels = split.pixels[index] if split.pixels is not None else decode(split.files[index])  # type: ignore[index]
    return np.ascontiguousarray(apply_uint8(pixels, preprocess))


def _thumbnail(pixels: Pixels) -> str:
    picture = Image.fromarray(pixels)
    stream = io.BytesIO()
    if max(picture.size) <= 64:
        picture.save(stream, "PNG", optimize=True)
        kind = "png"
    else:
        picture.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE))
        picture.save(stream, "JPEG", quality=82, optimize=True)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"
