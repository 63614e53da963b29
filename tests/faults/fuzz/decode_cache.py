"""Damage to the decode cache: its files are changed, cut, exchanged, replaced by other things."""

from __future__ import annotations

import hashlib
import io
import os
import random
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from faults.fuzz.mutate import damaged
from residua._base import cache as caching
from residua.data.decode import decode
from residua.data.decoded import cache
from residua.data.image_source import FileImages
from residua.data.preprocess.resize import apply_uint8
from residua.specs.preprocess import PreprocessSpec

SPEC = PreprocessSpec(6, 6)
COUNT = 4


class Victims:
    """Two sets of small images of equal sizes, what they are, and a sound cache of both."""

    def __init__(self, folder: Path) -> None:
        self.sound, self.root = folder / "sound", folder / "cache"
        self.sets: list[list[Path]] = []
        generator = np.random.default_rng(0)
        for name in "ab":
            (folder / name).mkdir(parents=True)
            self.sets.append([folder / name / f"{number}.png" for number in range(COUNT)])
            for file in self.sets[-1]:
                Image.fromarray(generator.integers(0, 256, (8, 9, 3), dtype=np.uint8)).save(file)
        self.sets[0][1].write_bytes(b"no image")
        os.environ["RESIDUA_CACHE"] = str(self.root)
        self.truth = [self._truth(files) for files in self.sets]
        assert self.differences() == []
        shutil.copytree(self.root, self.sound)

    def restore(self) -> list[Path]:
        """Make the cache sound again, and return its entries."""
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self.sound, self.root)
        caching._warned.clear()
        return sorted(path for path in (self.root / "decoded").iterdir() if path.suffix != ".lock")

    def differences(self) -> list[str]:
        """Open both sets through the cache, and return what is not as it is."""
        wrong: list[str] = []
        for number, files in enumerate(self.sets):
            fixed, ragged, digests, bad = self.truth[number]
            images = FileImages(files)
            held = [("fixed", cache.fixed(images, SPEC, 1), fixed), ("ragged", cache.ragged(images, 1), ragged)]
            for kind, entry, truth in held:
                if entry is None:  # the cache cannot be used, and images are decoded
                    continue
                if sorted(entry.bad) != bad:
                    wrong.append(f"{kind} {number}: bad images {sorted(entry.bad)}")
                for image, pixels in enumerate(truth):
                    if image not in bad and not np.array_equal(entry.image(image), pixels):
                        wrong.append(f"{kind} {number}: pixels of image {image}")
            if [each.tobytes() for each in cache.contents(images, 1)] != digests:
                wrong.append(f"contents {number}")
            if sorted(cache.examined(images, 1)) != bad:
                wrong.append(f"examined {number}")
        return wrong

    def _truth(self, files: list[Path]) -> tuple[list[Any], list[Any], list[bytes], list[int]]:
        bad = [number for number, file in enumerate(files) if file.read_bytes() == b"no image"]
        whole = [np.zeros(0) if number in bad else decode(file) for number, file in enumerate(files)]
        small = [np.zeros(0) if number in bad else apply_uint8(each, SPEC) for number, each in enumerate(whole)]
        return small, whole, [hashlib.sha256(file.read_bytes()).digest() for file in files], bad


def attack(victims: Victims, count: int, seed: int) -> Iterator[tuple[int, str]]:
    """Damage the cache `count` times, and yield the number of each damage after which something was wrong."""
    for number in range(count):
        chance = random.Random(f"{seed}/{number}")
        entries = victims.restore()
        entry = chance.choice(entries)
        how = chance.choice((_bytes, _bytes, _arrays, _exchange, _replace))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                how(entry, entries, chance)
                # Twice: the second run finds what the first made again.
                for _ in range(2):
                    for words in victims.differences():
                        yield number, f"{how.__name__}: {words}"
            except Exception as error:  # whatever it is, it would end a command
                yield number, f"{how.__name__}: {type(error).__name__}: {error}"


def _file(entry: Path, chance: random.Random) -> Path:
    return chance.choice(sorted(entry.iterdir())) if entry.is_dir() else entry


def _index(entry: Path) -> Path:
    return entry / "index" if entry.is_dir() else entry


def _bytes(entry: Path, entries: list[Path], chance: random.Random) -> None:
    """Flip, cut, insert bytes of one file."""
    file = _file(entry, chance)
    others = [_index(each).read_bytes() for each in entries[:2]]
    file.write_bytes(next(damaged([file.read_bytes(), *others], chance.randrange(1 << 30))))


def _arrays(entry: Path, entries: list[Path], chance: random.Random) -> None:
    """Write an index of other types or shapes, its checksum right."""
    path = _index(entry)
    with np.load(io.BytesIO(path.read_bytes()[32:])) as stored:
        arrays = {name: stored[name] for name in stored.files}
    name = chance.choice(sorted(arrays))
    array = arrays[name]
    changes = [
        lambda: array.astype(np.float64) if array.dtype.kind in "iu" else array.astype("S"),
        lambda: array[:-1] if array.ndim else array[None],
        lambda: np.concatenate([array, array]) if array.ndim else np.array("0" * 32),
        lambda: array[..., None],
        lambda: np.zeros(0, array.dtype),
        lambda: -array.astype(np.int64) - 1 if array.dtype.kind in "iu" else np.array(7),
        lambda: np.array(["x"] * 3),
    ]
    if chance.randrange(8) == 0:
        del arrays[name]
    else:
        arrays[name] = chance.choice(changes)()
    stream = io.BytesIO()
    (np.savez_compressed if chance.randrange(2) else np.savez)(stream, **arrays)
    content = stream.getvalue() if chance.randrange(8) else b"no arrays"
    path.write_bytes(hashlib.sha256(content).digest() + content)


def _exchange(entry: Path, entries: list[Path], chance: random.Random) -> None:
    """Exchange two files or entries, or let two entries be one."""
    other = chance.choice([each for each in entries if each != entry])
    match chance.randrange(4):
        case 0:
            one, two = _file(entry, chance), _file(other, chance)
            left, right = one.read_bytes(), two.read_bytes()
            one.write_bytes(right)
            two.write_bytes(left)
        case 1:
            beside = entry.with_name("beside")
            entry.rename(beside)
            other.rename(entry)
            beside.rename(other)
        case 2:
            _remove(entry)
            entry.symlink_to(other)
        case 3:
            _remove(entry)
            (shutil.copytree if other.is_dir() else shutil.copy)(other, entry)


def _replace(entry: Path, entries: list[Path], chance: random.Random) -> None:
    """Put something else in the place of a file, an entry or a lock."""
    lock = entry.with_name(f"{entry.name}.lock")
    place = chance.choice([entry, _file(entry, chance), lock])
    _remove(place)
    match chance.randrange(6):
        case 0:
            place.mkdir()
        case 1:
            os.mkfifo(place)
        case 2:
            place.write_bytes(b"")
        case 3:
            place.symlink_to(place)
        case 4:
            place.symlink_to("/nowhere/at/all")
        case _:
            place.write_bytes(chance.randbytes(chance.randrange(200)))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
