"""A messy set of photos, made by a seed from CIFAR-10 as JPEG: what a team has on Monday.

Five classes, one of which is 2% of the images; bursts of one to three near copies, which are a group; sides from 24 to
80 pixels; JPEG, PNG, BMP and GIF in grey, with a palette, with transparency; 5% of the labels wrong. Beside them stand
clean later photos, photos of three classes that nobody labelled, and an inbox of both kinds.
"""

from __future__ import annotations

import csv
import io
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

KNOWN = ("airplane", "automobile", "deer", "frog", "ship")
RARE = "ship"
UNKNOWN = ("cat", "horse", "truck")
RARE_SHARE, FLIPPED = 0.02, 0.05
FORMS = (("jpg", "RGB"), ("jpg", "L"), ("png", "RGB"), ("png", "RGBA"), ("png", "P"), ("bmp", "RGB"), ("gif", "P"))


@dataclass(frozen=True)
class MessySet:
    """Where everything lies.

    Attributes:
        photos: a folder of files without class folders.
        labels: labels.csv with path, label, group; 5% of the labels are wrong.
        truth: path -> the right label.
        later: photos with `later_labels`, all of them right.
        later_labels: its table.
        others: photos of the three unknown classes.
        inbox: photos of both kinds, without labels.
    """

    photos: Path
    labels: Path
    truth: dict[str, str]
    later: Path
    later_labels: Path
    others: Path
    inbox: Path

    @property
    def wrong(self) -> dict[str, str]:
        """The paths with a wrong label, and that label."""
        with self.labels.open(newline="") as stream:
            given = {row["path"]: row["label"] for row in csv.DictReader(stream)}
        return {path: label for path, label in given.items() if label != self.truth[path]}


def sources(archive: Path, counts: dict[tuple[str, str], int]) -> dict[tuple[str, str], list[bytes]]:
    """Return the first files of each (part, class) in the archive."""
    read: dict[tuple[str, str], list[bytes]] = {key: [] for key in counts}
    with tarfile.open(archive) as opened:
        for member in opened:
            key = tuple(member.name.split("/")[:2])
            if member.isfile() and len(read.get(key, ())) < counts.get(key, 0):  # type: ignore[call-overload]
                read[key].append(opened.extractfile(member).read())  # type: ignore[index,union-attr]
    return read


def write_photo(path: Path, image: Image.Image, random: np.random.Generator) -> str:
    """Write an image in one of the forms, at one of the sizes; return the name of the file."""
    ending, mode = FORMS[random.integers(len(FORMS))]
    side = int(random.integers(24, 81))
    form = image.resize((side, round(side * random.uniform(0.8, 1.25))), Image.Resampling.BICUBIC)
    if mode == "RGBA":
        form = form.convert("RGBA")
        form.putalpha(255)
    elif mode != "RGB":
        form = form.convert(mode)
    file = path.with_suffix(f".{ending}")
    form.save(file)
    return file.name


def burst(image: Image.Image, count: int, random: np.random.Generator) -> Iterable[Image.Image]:
    """Yield the image and near copies: moved by a pixel or two, a little brighter or darker."""
    yield image
    for _ in range(count - 1):
        moved = image.transform(
            image.size, Image.Transform.AFFINE, (1, 0, random.integers(-2, 3), 0, 1, random.integers(-2, 3))
        )
        yield ImageEnhance.Brightness(moved).enhance(random.uniform(0.85, 1.15))


def make_messy_set(archive: Path, folder: Path, images: int, later: int, seed: int) -> MessySet:
    """Write the set.

    Args:
        archive: cifar10-jpeg.tar.gz.
        folder: to write to.
        images: labelled photos, about.
        later: later photos, unknown ones, and photos in the inbox: so many each.
        seed: decides everything.
    """
    random = np.random.default_rng(seed)
    rare = max(round(RARE_SHARE * images), 6)
    wanted = {name: rare if name == RARE else (images - rare) // (len(KNOWN) - 1) for name in KNOWN}
    counts = {("train", name): count for name, count in wanted.items()}
    counts |= {("test", name): later // len(KNOWN) + later // 2 // len(KNOWN) for name in KNOWN}
    counts |= {("test", name): later // len(UNKNOWN) + later // 2 // len(UNKNOWN) for name in UNKNOWN}
    files = sources(archive, counts)
    places = [folder / name for name in ("photos", "later", "others", "inbox")]
    for each in places:
        each.mkdir(parents=True)
    photos, later_folder, others, inbox = places
    truth: dict[str, str] = {}
    rows: list[list[str]] = []
    for name in KNOWN:
        left = wanted[name]
        for group, data in enumerate(files["train", name], 1):
            if left <= 0:
                break
            size = min(int(random.integers(1, 4)), left)
            for image in burst(Image.open(io.BytesIO(data)).convert("RGB"), size, random):
                # Names state nothing: the table does.
                path = write_photo(photos / f"{len(rows):05}", image, random)
                truth[path] = name
                rows.append([path, name, f"{name}-{group}"])
            left -= size
    for at in random.permutation(len(rows))[: round(FLIPPED * len(rows))]:
        rows[at][1] = str(random.choice([name for name in KNOWN if name != rows[at][1]]))
    _write_table(folder / "labels.csv", ("path", "label", "group"), rows)
    clean: list[list[str]] = []
    for name in (*KNOWN, *UNKNOWN):
        for number, data in enumerate(files["test", name]):
            image = Image.open(io.BytesIO(data)).convert("RGB")
            kept = number < later // len(KNOWN if name in KNOWN else UNKNOWN)
            where = (later_folder if name in KNOWN else others) if kept else inbox
            path = write_photo(where / f"{name}-{number:04}", image, random)
            if where == later_folder:
                clean.append([path, name])
    _write_table(folder / "later.csv", ("path", "label"), clean)
    return MessySet(photos, folder / "labels.csv", truth, later_folder, folder / "later.csv", others, inbox)


def review(doubts: Path, messy: MessySet) -> tuple[int, int]:
    """Do what a person does with doubts.csv: delete the rows in which the given label is right, correct the others.

    Return the numbers of rows before and after.
    """
    with doubts.open(newline="") as stream:
        reader = csv.DictReader(stream)
        names, rows = list(reader.fieldnames or ()), list(reader)
    wrong = messy.wrong
    kept = [row | {"label": messy.truth[row["path"]]} for row in rows if row["path"] in wrong]
    with doubts.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, names)
        writer.writeheader()
        writer.writerows(kept)
    return len(rows), len(kept)


def _write_table(path: Path, names: tuple[str, ...], rows: list[list[str]]) -> None:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([names, *rows])
