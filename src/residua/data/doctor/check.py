"""The data-set doctor: every file is decoded, and what is wrong or odd is named."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from residua._base.files import check_name
from residua._base.words import some
from residua.data.ahead import in_order
from residua.data.doctor.duplicates import exact_groups, near_pairs
from residua.data.doctor.inspect import Examined, examine_file, examine_pixels
from residua.data.loader import default_workers
from residua.data.open import EMBEDDED, open_dataset
from residua.data.sources.cifar import open_cifar
from residua.data.sources.folders import Listing, left_out, list_classes, split_folders

Progress = Callable[[int, int], None]
"""Called with (images examined, images in all)."""

NEAR_LIMIT = 100_000
IMBALANCE = 10.0
_STEP = 64  # images between two calls of a progress function
_IN_FLIGHT = 1024


@dataclass(frozen=True)
class Finding:
    """One kind of trouble.

    Attributes:
        kind: "empty", "truncated", "corrupt", "unreadable", "layout", "absent-class",
            "duplicate-across-splits", "duplicate-across-classes", "duplicate", "near-duplicate-across-splits",
            "near-duplicate", "extension", "mode", "size", "imbalance" or "not-examined".
        mend: the data should not be used before this is mended.
        message: a sentence.
        files: the files concerned; for duplicates, groups of equal images.
    """

    kind: str
    mend: bool
    message: str
    files: tuple[str, ...] | tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class CheckReport:
    """What `check` found.

    Attributes:
        given: the data, as named by the user.
        classes: every class of any split, sorted.
        counts: split -> class -> images.
        images: how many were examined.
        modes: colour mode -> images, of those that decode.
        sizes: "least", "median" and "greatest" (height, width), by area; empty when nothing decodes.
        findings: what is wrong first, then what is odd.
    """

    given: str
    classes: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    images: int
    modes: dict[str, int]
    sizes: dict[str, tuple[int, int]]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Nothing must be mended."""
        return not any(finding.mend for finding in self.findings)

    def to_json(self) -> str:
        """Return one JSON document with the fields, and "ok"."""
        return json.dumps({"ok": self.ok, **dataclasses.asdict(self)}, ensure_ascii=False, indent=2)

    def to_text(self) -> str:
        """Return the report for people, a line a finding and a line a file, at most 20 files each."""
        lines = [f"{self.given}: {self.images} images, {len(self.classes)} classes"]
        lines += [f"  {split}: {sum(counts.values())}" for split, counts in self.counts.items()]
        for finding in self.findings:
            lines.append(f"{'MEND' if finding.mend else 'note'}  {finding.kind}: {finding.message}")
            shown = [" = ".join(each) if isinstance(each, tuple) else each for each in finding.files[:20]]
            lines += [f"        {each}" for each in shown]
            if len(finding.files) > 20:
                lines.append(f"        and {len(finding.files) - 20} more")
        lines.append("Nothing must be mended." if self.ok else "Something must be mended: see MEND.")
        return "\n".join(lines)


@dataclass(frozen=True)
class _Image:
    split: str
    label: str
    name: str
    run: Callable[[], Examined]


def check(
    data: str | Path,
    *,
    data_dir: Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> CheckReport:
    """Examine a data set: decode every image, compare all with all.

    Exact duplicates have equal pixels, whatever the file format. Near duplicates look alike at 16 × 16
    pixels after their mean colour is removed; they are looked for among at most 100,000 images.

    Args:
        data: as for `open_dataset`.
        data_dir: where CIFAR archives are.
        workers: threads; None: one a processor.
        progress: told how far it is.

    Raises:
        InputError: there is nothing to examine: no such folder, no class folders, a loop of links.
    """
    check_name("data", data)
    findings: list[Finding] = []
    if str(data) in EMBEDDED:
        images, counts = _of_arrays(str(data), data_dir)
    else:
        images, counts = _of_folder(Path(data), findings)
    results = _examine(images, default_workers() if workers is None else workers, progress)
    findings += _broken(images, results)
    findings += _duplicates(images, results)
    findings += _odd(images, results)
    findings += _balance(counts)
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
        tuple(sorted(findings, key=lambda finding: not finding.mend)),
    )


def _of_arrays(name: str, data_dir: Path | None) -> tuple[list[_Image], dict[str, dict[str, int]]]:
    # The official parts, not the ones that training would carve out of them.
    dataset = open_dataset(name, val_fraction=0) if name == "digits" else open_cifar(name, data_dir)
    images, counts = [], {}
    for split in dataset.splits.values():
        labels = [dataset.classes[label] for label in split.labels]
        counts[split.name] = dict(Counter(labels))
        for index, (label, image) in enumerate(zip(labels, map(split.images.read, range(len(split))), strict=True)):
            images.append(_Image(split.name, label, split.where(index), partial(examine_pixels, image)))
    return images, counts


def _of_folder(path: Path, findings: list[Finding]) -> tuple[list[_Image], dict[str, dict[str, int]]]:
    roots = split_folders(path)
    splits: dict[str, dict[str, Listing]] = {name: list_classes(folder) for name, folder in roots.items()}
    if beside := left_out(path, roots):
        findings.append(Finding("layout", False, f"beside train, {some(beside)} are no parts by their names: left out"))
    unlisted = [each for split in splits.values() for listing in split.values() for each in listing.unlisted]
    if unlisted:
        findings.append(Finding("unreadable", True, f"{len(unlisted)} files cannot be read", tuple(unlisted)))
    ignored = sum(listing.ignored for split in splits.values() for listing in split.values())
    if ignored:
        findings.append(Finding("layout", False, f"{ignored} files are no images by their extension: ignored"))
    counts = {name: {label: len(listing.files) for label, listing in split.items()} for name, split in splits.items()}
    every = sorted({label for split in counts.values() for label in split})
    if len(every) < 2:
        findings.append(Finding("layout", True, f"there is one class, {every[0]}; two are needed"))
    for name, split in counts.items():
        absent = [label for label in every if not split.get(label)]
        if absent:
            findings.append(Finding("absent-class", True, f"{name} has no images of {some(absent)}"))
    images = [
        _Image(name, label, file, partial(examine_file, Path(file)))
        for name, split in splits.items()
        for label, listing in split.items()
        for file, _ in listing.files
    ]
    return images, counts


def _examine(images: Sequence[_Image], workers: int, progress: Progress | None) -> list[Examined]:
    def one(image: _Image) -> Examined:
        found = image.run()
        return found if len(images) <= NEAR_LIMIT else dataclasses.replace(found, thumbnail=None)

    results: list[Examined] = []
    for result in in_order(images, one, workers, in_flight=_IN_FLIGHT):
        results.append(result)
        if progress is not None and (len(results) % _STEP == 0 or len(results) == len(images)):
            progress(len(results), len(images))
    return results


def _broken(images: Sequence[_Image], results: Sequence[Examined]) -> Iterator[Finding]:
    kinds: defaultdict[str, list[str]] = defaultdict(list)
    for image, result in zip(images, results, strict=True):
        if result.reason:
            starts = {"empty": "empty", "truncated": "truncated", "cannot be read": "unreadable"}
            kind = next((kind for start, kind in starts.items() if result.reason.startswith(start)), "corrupt")
            kinds[kind].append(f"{image.name} ({result.reason})")
    for kind, files in kinds.items():
        yield Finding(kind, True, f"{len(files)} of {len(images)} images do not decode", tuple(files))


def _duplicates(images: Sequence[_Image], results: Sequence[Examined]) -> Iterator[Finding]:
    groups: defaultdict[str, list[tuple[str, ...]]] = defaultdict(list)
    exact = exact_groups([result.digest for result in results])
    for group in exact:
        members = [images[index] for index in group]
        crossing = len({member.split for member in members}) > 1
        kind = "duplicate-across-splits" if crossing else "duplicate"
        if len({member.label for member in members}) > 1:
            kind = "duplicate-across-classes"
        groups[kind].append(tuple(member.name for member in members))
    said = {
        "duplicate-across-classes": "equal images stand in different classes",
        "duplicate-across-splits": "equal images stand in different parts, so a score would flatter",
        "duplicate": "equal images stand in one part",
    }
    for kind, sentence in said.items():
        if groups[kind]:
            message = f"{len(groups[kind])} groups of {sentence}"
            yield Finding(kind, kind != "duplicate", message, tuple(groups[kind]))
    if len(images) > NEAR_LIMIT:
        message = f"near duplicates are looked for among at most {NEAR_LIMIT:,} images"
        yield Finding("not-examined", False, message)
        return
    yield from _near_duplicates(images, results, exact)


def _near_duplicates(
    images: Sequence[_Image], results: Sequence[Examined], exact: Sequence[tuple[int, ...]]
) -> Iterator[Finding]:
    # Of equal images the first stands for all: n of them would be n²/2 pairs.
    parts = {group[0]: {images[index].split for index in group} for group in exact}
    repeated = {index for group in exact for index in group[1:]}
    good = [i for i, result in enumerate(results) if result.thumbnail is not None and i not in repeated]
    if not good:
        return
    pairs: defaultdict[str, list[tuple[str, ...]]] = defaultdict(list)
    for places in near_pairs(np.stack([each for i in good if (each := results[i].thumbnail) is not None])):
        both = [good[place] for place in places]
        crossing = len(set[str]().union(*(parts.get(index, {images[index].split}) for index in both))) > 1
        kind = "near-duplicate-across-splits" if crossing else "near-duplicate"
        pairs[kind].append(tuple(images[index].name for index in both))
    said = {
        "near-duplicate-across-splits": "images in different parts look alike, so a score may flatter",
        "near-duplicate": "images in one part look alike",
    }
    for kind, sentence in said.items():
        if pairs[kind]:
            yield Finding(kind, False, f"{len(pairs[kind])} pairs of {sentence}", tuple(pairs[kind]))


def _odd(images: Sequence[_Image], results: Sequence[Examined]) -> Iterator[Finding]:
    pairs = [(image.name, result) for image, result in zip(images, results, strict=True) if not result.reason]
    lies = [f"{name} (is {result.format})" for name, result in pairs if result.mislabelled]
    if lies:
        yield Finding("extension", False, f"{len(lies)} files are of another format than they say", tuple(lies))
    usual = Counter(result.mode for _, result in pairs).most_common(1)
    modes = [f"{name} ({result.mode})" for name, result in pairs if result.mode != usual[0][0]]
    if modes:
        message = f"{len(modes)} images are not {usual[0][0]} like the others; they are converted to RGB"
        yield Finding("mode", False, message, tuple(modes))
    if not pairs:
        return
    sides = np.array([result.size for _, result in pairs])
    shorter, longer = sides.min(1), sides.max(1)
    odd = (shorter * 8 < np.median(shorter)) | (longer > 5 * shorter)
    if odd.any():
        names = tuple(f"{pairs[i][0]} ({sides[i, 1]} × {sides[i, 0]})" for i in np.flatnonzero(odd))
        yield Finding("size", False, f"{len(names)} images are much smaller or narrower than the others", names)


def _balance(counts: dict[str, dict[str, int]]) -> Iterator[Finding]:
    for split, classes in counts.items():
        present = {label: count for label, count in classes.items() if count}
        if not present:
            continue
        most, least = max(present, key=present.__getitem__), min(present, key=present.__getitem__)
        if present[most] >= IMBALANCE * present[least]:
            message = f"{split} has {present[most]} of {most} and {present[least]} of {least}"
            yield Finding("imbalance", False, message)
