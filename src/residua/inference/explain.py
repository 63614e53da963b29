"""Explain a run's answers for files: maps, pictures, contact sheets; bad files are named and passed over."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from residua._base.errors import InputError, at_least_one, did_you_mean
from residua._base.words import some
from residua.data.decode import Pixels
from residua.data.decode.workers import default_workers
from residua.evaluation.report.likeness import TrainingImage
from residua.evaluation.run_data import open_run
from residua.explanation.layers import WITHOUT_LAYERS, target_layer
from residua.explanation.methods import attribute, attribute_each, check_method
from residua.families.network import Classifier
from residua.figures.contact_sheets import ContactSheets, Panel, write_panel
from residua.inference.image_files import BadFile, ImageFile, Paths, each_path, image_files
from residua.inference.stream import DecodedImage, all_or_refuse, as_batch, batches, ranked
from residua.inference.training_images import TrainingNeighbours, neighbours_unless_gone
from residua.runtime.device import on_device, pick_device
from residua.weights.run import Run


@dataclass(frozen=True)
class Explanation:
    """A network's answer for an image, and the map of its evidence.

    Attributes:
        path: the file.
        labels: class names, most probable first.
        probabilities: as `predict` gives them, in the order of `labels`; fractions of 1.
        target: the class that was explained.
        true: the class in whose folder it lies, or None.
        method: the method's name.
        layer: the end point whose maps were weighted, or None.
        delta: the convergence delta of integrated gradients, logits; or None.
        evidence: the greatest value of the map; 0 means no evidence for the class.
        file: the picture or contact sheet that shows it, or None.
        map: float32 (H, W) ≥ 0, the evidence at each pixel of the image as the network saw it.
        neighbours: the training images most like it, the most alike first; () where they were not looked for.
    """

    path: str
    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    target: str
    true: str | None
    method: str
    layer: str | None
    delta: float | None
    evidence: float
    file: str | None
    map: npt.NDArray[np.float32] = field(repr=False, compare=False)
    neighbours: tuple[TrainingImage, ...] = field(default=(), kw_only=True)


@dataclass(frozen=True)
class LabelExplanation(Explanation):
    """The answer for an image that may have several labels, and the map of the evidence for one of them.

    Attributes:
        labels: those that the image is given, most probable first; () for none.
        probabilities: of each, in the order of `labels`; they do not sum to 1.
        target: the label that was explained: each that the image is given, or else the most probable one.
        true: None.
        probability: of the target.
        threshold: from which on it is given.
    """

    probability: float
    threshold: float


def explain(
    run: Run | Path | str,
    paths: Paths,
    *,
    method: str = "gradcam",
    target: str | None = None,
    layer: str | None = None,
    out: Path | str | None = None,
    top: int = 3,
    batch_size: int = 16,
    device: torch.device | str | None = None,
    neighbours: int = 0,
) -> list[Explanation]:
    """Explain a run's answers for image files, and for all images under folders, in the order given.

    The arguments are those of `explain_stream`. The answers hold their maps, 200 kB each at 224 pixels.

    Raises:
        InputError: as `explain_stream`, which goes on after a file that cannot be read; here all of them are named.
    """
    results = explain_stream(
        run,
        paths,
        method=method,
        target=target,
        layer=layer,
        out=out,
        top=top,
        batch_size=batch_size,
        device=device,
        neighbours=neighbours,
    )
    return all_or_refuse(results, "Leave them out; the others were explained")


def explain_stream(
    run: Run | Path | str,
    paths: Paths,
    *,
    method: str = "gradcam",
    target: str | None = None,
    layer: str | None = None,
    out: Path | str | None = None,
    top: int = 3,
    batch_size: int = 16,
    device: torch.device | str | None = None,
    neighbours: int = 0,
    without: Callable[[str], None] | None = None,
) -> Iterator[Explanation | BadFile]:
    """Yield one `Explanation` or `BadFile` per file, in the order given, holding two batches and a sheet at most.

    Of a run of several labels an image, a `LabelExplanation` for each label that it is given comes of each file.

    Args:
        run: a `Run` or its folder.
        paths: files, and folders whose images are found recursively, sorted, as training finds them.
        method: "gradcam", "gradcam++", "integrated-gradients" (from black), "occlusion" or "smoothgrad".
        target: the class to explain, by name; by default each image's predicted class, or each of its labels.
        layer: the end point that gradcam and gradcam++ weight; by default the last convolutional layer.
        out: a PNG to write. One file gets its picture beside the overlay; more, or a folder, contact sheets of 32:
            FILE.png, FILE-2.png, …. None writes no picture.
        top: classes per answer; all where there are fewer.
        batch_size: images explained at a time.
        device: "cpu", "cuda", …; by default the GPU where there is one.
        neighbours: how many of the training images most like each file to find, by the features that the classifier
            reads; of one file the picture shows them. 2,000 training images pass through the network for it, once.
        without: called with a sentence where the training data is gone; the answers then have no neighbours. None
            raises the error.

    Raises:
        InputError: an unknown method, class, layer or device; a network without feature maps for a method that weights
            them; `top` or `batch_size` below 1; an `out` that is no PNG or whose folder does not exist; a run that
            cannot be loaded; neighbours in data that is gone. All of it is raised before the first file is read.
    """
    check_method(method, layer)
    at_least_one(top=top, batch_size=batch_size)
    if neighbours < 0:
        raise InputError(f"neighbours={neighbours}", "0 or more", "Use 0 for none")
    listed = list(each_path(paths))
    out = None if out is None else _checked_out(Path(out))
    run = open_run(run, listed, multilabel=True)
    if target is not None and target not in run.classes:
        wanted = (
            some(list(run.classes), 12) if len(run.classes) <= 12 else f"one of the run's {len(run.classes)} classes"
        )
        raise InputError(f"target={target!r}", wanted, did_you_mean(target, run.classes) or "Name one of these classes")
    if method not in WITHOUT_LAYERS:
        target_layer(run.spec, *run.preprocess_spec.size, layer)
    where = pick_device(device)
    beside = neighbours_unless_gone(run, where, without) if neighbours else None
    job = _Job(run, method, target, layer, top, where, neighbours, beside, batch_size)
    return _stream(job, listed, out)


@dataclass(frozen=True)
class _Job:
    run: Run
    method: str
    target: str | None
    layer: str | None
    top: int
    device: torch.device
    count: int
    beside: TrainingNeighbours | None
    batch_size: int


def _checked_out(out: Path) -> Path:
    wanted = "a file FILE.png in a folder that exists"
    if out.suffix.lower() != ".png" or out.is_dir():
        raise InputError(f"out={str(out)!r}", wanted, "Give it the ending .png")
    if not out.absolute().parent.is_dir():
        raise InputError(f"out={str(out)!r}", wanted, "Create the folder, or name a different one")
    return out


def _stream(job: _Job, listed: list[Path], out: Path | None) -> Iterator[Explanation | BadFile]:
    model = on_device(job.run.model, job.device)
    several = job.run.multilabel is not None and job.target is None
    single = len(listed) == 1 and os.path.isfile(listed[0]) and not several
    sheets = None if out is None or single else ContactSheets(out, _title(job))
    # However this ends: answers that were given name the sheet that was begun.
    with nullcontext() if sheets is None else closing(sheets):
        spec = job.run.preprocess_spec
        for batch in batches(image_files(listed), spec, batch_size=job.batch_size, workers=default_workers()):
            good = [each for each in batch if isinstance(each, DecodedImage)]
            explained = _labels_explained if job.run.multilabel else _each_explained
            answers = iter(explained(job, model, good) if good else ())
            for each in batch:
                if isinstance(each, BadFile):
                    yield each
                    continue
                for answer in next(answers):
                    file = out
                    panel = _panel(answer, each.pixels, brief=not single)
                    if single and job.beside is not None and out is not None:
                        alike = job.beside.pixels(answer.neighbours)
                        panel = replace(panel, alike=alike, alike_title="The training images most like it")
                    if sheets is not None:
                        file = sheets.add(panel)
                    elif out is not None:
                        write_panel(out, panel)
                    yield replace(answer, file=None if file is None else str(file))
            batch.clear()


def _true_class(file: ImageFile, classes: frozenset[str]) -> str | None:
    """Return the name of the nearest folder above the file, up to the path given, that is the name of a class."""
    depth = 1 if file.path == file.root else len(file.path.parents) - len(file.root.parents)
    above = file.path.absolute().parents[:depth]
    return next((folder.name for folder in above if folder.name in classes), None)


def _each_explained(job: _Job, model: nn.Module, good: list[DecodedImage]) -> list[list[Explanation]]:
    return [[answer] for answer in _explained(job, model, good)]


def _labels_explained(job: _Job, model: nn.Module, good: list[DecodedImage]) -> list[list[Explanation]]:
    """Return an explanation of each label that each image is given; of the most probable one where it is given none."""
    assert isinstance(model, Classifier)
    run = job.run
    assert run.multilabel is not None
    images = as_batch([each.pixels for each in good], run.preprocess_spec, job.device)
    with torch.inference_mode():
        rankings = ranked(run, model(images), job.top)
    answers: list[list[Explanation]] = []
    for row, (each, ranking) in enumerate(zip(good, rankings, strict=True)):
        every = ranking.all_probabilities or {}
        targets = [job.target] if job.target else list(ranking.labels) or [max(every, key=every.__getitem__)]
        indices = [run.classes.index(name) for name in targets]
        image, size = images[row : row + 1], job.batch_size
        attributions = attribute_each(
            job.method, model, image, run.preprocess_spec, indices, job.layer, batch_size=size
        )
        answers.append(
            [
                LabelExplanation(
                    path=str(each.file.path),
                    labels=ranking.labels,
                    probabilities=ranking.probabilities,
                    target=target,
                    true=None,
                    method=job.method,
                    layer=one.layer,
                    delta=None if one.delta is None else float(one.delta),
                    evidence=float(one.maps.max()),
                    file=None,
                    map=one.maps[0].to("cpu", torch.float32).numpy(),
                    probability=every[target],
                    threshold=run.multilabel.thresholds[index],
                )
                for target, index, one in zip(targets, indices, attributions, strict=True)
            ]
        )
    return answers


def _explained(job: _Job, model: nn.Module, good: list[DecodedImage]) -> list[Explanation]:
    assert isinstance(model, Classifier)
    run = job.run
    images = as_batch([each.pixels for each in good], run.preprocess_spec, job.device)
    targets = None
    if job.target is not None:
        targets = torch.full((len(good),), run.classes.index(job.target), device=job.device)
    attribution = attribute(job.method, model, images, run.preprocess_spec, targets, job.layer)
    rankings = ranked(run, attribution.logits, job.top)
    near = job.beside.nearest(images, job.count) if job.beside else [()] * len(good)
    maps = attribution.maps.to("cpu", torch.float32).numpy()
    classes = frozenset(run.classes)
    return [
        Explanation(
            path=str(each.file.path),
            labels=rankings[row].labels,
            probabilities=rankings[row].probabilities,
            target=run.classes[int(attribution.targets[row])],
            true=_true_class(each.file, classes),
            method=job.method,
            layer=attribution.layer,
            delta=None if attribution.delta is None else float(attribution.delta[row]),
            evidence=float(maps[row].max()),
            file=None,
            map=maps[row],
            neighbours=near[row],
        )
        for row, each in enumerate(good)
    ]


def _title(job: _Job) -> str:
    weighted = job.method not in WITHOUT_LAYERS
    how = (
        f"{job.method} of {target_layer(job.run.spec, *job.run.preprocess_spec.size, job.layer).name}"
        if weighted
        else job.method
    )
    return f"Evidence for {job.target or 'the predicted class'}, {how}"


def _panel(answer: Explanation, pixels: Pixels, *, brief: bool) -> Panel:
    """Return the image with the lines below it; in a contact sheet (`brief`) the title states the rest."""
    if isinstance(answer, LabelExplanation):
        return _label_panel(answer, pixels, brief=brief)
    (first, sure), *others = zip(answer.labels, answer.probabilities, strict=True)
    wrong = answer.true is not None and answer.true != first
    lines = [f"{answer.true} taken for {first}  {sure:.1%}" if wrong else f"{first}  {sure:.1%}"]
    nothing = f"no evidence for {answer.target}"
    name = Path(answer.path).name
    if brief:
        lines.append(name if answer.evidence else f"{nothing}: {name}")
    else:
        how = f"{answer.method} of {answer.layer}" if answer.layer else answer.method
        lines += [f"then {', '.join(f'{label} {share:.1%}' for label, share in others)}"] * bool(others)
        lines += [f"evidence for {answer.target}, {how}" if answer.evidence else f"{nothing}, {how}", name]
    return Panel(pixels, answer.map, lines, wrong)


def _label_panel(answer: LabelExplanation, pixels: Pixels, *, brief: bool) -> Panel:
    """Return the image with the label that is explained, and whether it is given."""
    verdict = "" if answer.target in answer.labels else f"  not given, below {answer.threshold:.1%}"
    lines = [f"{answer.target}  {answer.probability:.1%}{verdict}"]
    name = Path(answer.path).name
    nothing = f"no evidence for {answer.target}"
    if brief:
        return Panel(pixels, answer.map, [*lines, name if answer.evidence else f"{nothing}: {name}"], False)
    how = f"{answer.method} of {answer.layer}" if answer.layer else answer.method
    lines += [f"labels: {', '.join(answer.labels) or 'none'}"]
    lines += [f"evidence for {answer.target}, {how}" if answer.evidence else f"{nothing}, {how}", name]
    return Panel(pixels, answer.map, lines, False)
