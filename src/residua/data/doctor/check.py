"""The data-set doctor: every file is decoded, and what is wrong or odd is named."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from residua._base.console import Progress
from residua._base.files import check_name
from residua._base.public import is_address
from residua._base.words import counted
from residua.data.ahead import in_order
from residua.data.dataset import EMBEDDED, Dataset
from residua.data.decode.workers import default_workers
from residua.data.doctor.findings import absent_classes, broken, imbalance, odd
from residua.data.doctor.inspect import Examination, Member, examine_encoded, examine_file, examine_pixels
from residua.data.doctor.repeated import NEAR_LIMIT, repeated
from residua.data.doctor.report import CheckReport, Finding
from residua.data.doctor.table import of_table
from residua.data.image_source import ImageSource
from residua.data.open import open_dataset, refuse_labels
from residua.data.parquet.open import are_parquet, open_parquet
from residua.data.parquet.remote import open_remote
from residua.data.shards.files import are_shards
from residua.data.shards.open import open_shards
from residua.data.sources.cifar import open_cifar
from residua.data.sources.parts import Part, hidden_classes, read_layout
from residua.data.tables.label_table import ColumnNames, label_table

_CAMERA = frozenset(
    {".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2", ".pef", ".srw", ".raw"}
    | {".psd", ".svg", ".eps", ".dcm", ".ico", ".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".3gp"}
)
"""Endings of what people keep among photos, and expect to count, and that is not read."""
_STEP = 64  # images between two calls of a progress function
_IN_FLIGHT = 1024  # images: threads go on behind one that takes long, within bounded memory


def check(
    data: str | Path,
    *,
    data_dir: Path | None = None,
    labels: str | Path | None = None,
    columns: ColumnNames = None,
    groups: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> CheckReport:
    """Examine a data set: decode every image, compare all with all.

    Exact duplicates have equal pixels, whatever the file format. Near duplicates look alike at 16 × 16
    pixels after their mean colour is removed; they are looked for among at most 100,000 images.

    Args:
        data: as for `open_dataset`.
        data_dir: where CIFAR archives are.
        labels: a table with a row per image, as for `open_dataset`; rows that are at fault are findings.
        columns: names of its columns by role.
        groups: its column of what belongs together.
        workers: threads; None: one per processor.
        progress: called with how far it is.

    Raises:
        InputError: there is nothing to examine: no such folder, no class folders, a loop of links, no such column.
    """
    check_name("data", data)
    table = label_table(labels, columns, groups)
    findings: list[Finding] = []
    several = False
    if table is not None:
        refuse_labels(table, str(data))
        images, counts, several = of_table(Path(data), table, findings)
    elif str(data) in EMBEDDED:
        images, counts = _of_arrays(str(data), data_dir)
    elif is_address(data):
        images, counts = _of_shards(open_remote(str(data), "skip", partial=True), findings)
    elif are_shards(Path(data)):
        images, counts = _of_shards(open_shards(Path(data), "skip", partial=True), findings)
    elif are_parquet(Path(data)):
        images, counts = _of_shards(open_parquet(Path(data), "skip", partial=True), findings)
    else:
        images, counts = _of_folder(Path(data), findings)
    results = _examine(images, default_workers() if workers is None else workers, progress)
    findings += broken(images, results)
    findings += repeated(images, results)
    findings += odd(images, results)
    findings += imbalance(counts, multilabel=several)
    good = [result for result in results if not result.reason]
    by_area = sorted((result.size for result in good), key=lambda size: size[0] * size[1])
    sizes = {}
    if by_area:
        sizes = {"least": by_area[0], "median": by_area[len(by_area) // 2], "greatest": by_area[-1]}
    return CheckReport(
        str(data),
        tuple(sorted({label for split in counts.values() for label in split})),
        counts,
        len(images),
        dict(Counter(result.mode for result in good).most_common()),
        sizes,
        # First what must be fixed, and there photos of a format that is not read: HEIC, as phones write it.
        tuple(sorted(findings, key=lambda each: (not each.must_fix, each.kind != "unsupported"))),
        several,
    )


def _of_arrays(name: str, data_dir: Path | None) -> tuple[list[Member], dict[str, dict[str, int]]]:
    # The official parts, not the ones that training would carve out of them.
    dataset = open_dataset(name, val_fraction=0) if name == "digits" else open_cifar(name, data_dir)
    images, counts = [], {}
    for split in dataset.splits.values():
        labels = [dataset.classes[label] for label in split.labels]
        counts[split.name] = dict(Counter(labels))
        for index, (label, image) in enumerate(zip(labels, map(split.images.read, range(len(split))), strict=True)):
            images.append(Member(split.name, label, split.where(index), partial(examine_pixels, image)))
    return images, counts


def _of_shards(dataset: Dataset, findings: list[Finding]) -> tuple[list[Member], dict[str, dict[str, int]]]:
    for note in dataset.notes:
        findings.append(Finding("layout", note.startswith("skipped"), note))
    images, counts = [], {}
    for split in dataset.splits.values():
        labels = [dataset.classes[label] for label in split.labels]
        counts[split.name] = dict(Counter(labels))
        for index, label in enumerate(labels):

            def read_image(source: ImageSource = split.images, index: int = index) -> tuple[bytes, str]:
                return source.encoded(index), source.where(index)

            images.append(Member(split.name, label, split.where(index), partial(examine_encoded, read_image)))
    findings += absent_classes(counts)
    return images, counts


def _of_folder(path: Path, findings: list[Finding]) -> tuple[list[Member], dict[str, dict[str, int]]]:
    layout = read_layout(path)
    parts = layout.parts
    findings += [Finding("layout", False, note) for note in layout.notes]
    findings += _left_out(parts)
    if layout.doubt:
        findings.append(Finding("layout", True, layout.doubt))
    listings = [listing for part in parts.values() for listing in part.classes.values()]
    unusable = [f"{entry.path} ({entry.detail})" for listing in listings for entry in listing.unusable]
    if unusable:
        findings.append(
            Finding("unreadable", True, f"{counted(len(unusable), 'file')} cannot be read", tuple(unusable))
        )
    counts = {
        name: {label: len(listing.images) for label, listing in part.classes.items()} for name, part in parts.items()
    }
    every = sorted({label for split in counts.values() for label in split})
    if len(every) < 2:
        findings.append(Finding("layout", True, _one_class(every[0], parts["train"])))
    findings += absent_classes(counts)
    images = [
        Member(name, label, file, partial(examine_file, Path(file)))
        for name, part in parts.items()
        for label, listing in part.classes.items()
        for file, _ in listing.images
    ]
    return images, counts


def _left_out(parts: Mapping[str, Part]) -> list[Finding]:
    """Name the files that are no images by their ending: those of cameras first, as a finding of their own."""
    others = [
        entry
        for part in parts.values()
        for listing in (*part.classes.values(), part.beside)
        for entry in listing.others
    ]
    camera = tuple(entry.path for entry in others if entry.detail in _CAMERA)
    rest = tuple(entry.path for entry in others if entry.detail not in _CAMERA)
    findings = []
    if camera:
        count = counted(len(camera), "raw photo or video is", "raw photos or videos are")
        findings.append(
            Finding("left-out", False, f"{count} left out: convert to JPEG or PNG what is to count", camera)
        )
    if rest:
        count = counted(len(rest), "other file is", "other files are")
        findings.append(Finding("left-out", False, f"{count} left out, no images by their endings", rest))
    return findings


def _one_class(label: str, train: Part) -> str:
    nested, remedy = hidden_classes(train)
    return f"there is one class, {label}{nested}; two are needed" + f": {remedy[:1].lower()}{remedy[1:]}" * bool(remedy)


def _examine(images: Sequence[Member], workers: int, progress: Progress | None) -> list[Examination]:
    def one(image: Member) -> Examination:
        examination = image.examine()
        return examination if len(images) <= NEAR_LIMIT else dataclasses.replace(examination, thumbnail=None)

    results: list[Examination] = []
    for result in in_order(images, one, workers, in_flight=_IN_FLIGHT):
        results.append(result)
        if progress is not None and (len(results) % _STEP == 0 or len(results) == len(images)):
            progress(len(results), len(images))
    return results
