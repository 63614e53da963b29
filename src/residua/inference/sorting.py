"""Sort image files into folders by class: nothing is overwritten, and a log undoes it."""

from __future__ import annotations

import contextlib
import filecmp
import itertools
import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO, TypedDict

from residua._base.errors import Damaged, InputError
from residua._base.files import check_local, sha256_file
from residua._base.json_file import parse_json
from residua.inference.answers.names import Way
from residua.weights.prediction import LabelPrediction, Prediction

UNKNOWN, UNSURE, UNLABELLED = "unknown", "unsure", "no label"
"""The folders of images that are like no class, of those whose class is too little probable, and of those that have
none of several labels."""
_UNSAFE = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')


class _Line(TypedDict):
    """What was done with a file; written before it is done.

    Attributes:
        way: "copy", "link" or "move".
        source: where the file stood.
        target: where it stands.
        sha256: of the bytes of a copy; "" for others.
    """

    way: str
    source: str
    target: str
    sha256: str


def verdict(answer: Prediction, threshold: float | None) -> str | None:
    """Return `UNKNOWN` or `UNSURE` where an answer is none, else None.

    Args:
        answer: of an image.
        threshold: the least probability of the first class; None for no such rule.
    """
    if answer.unknown:
        return UNKNOWN
    return UNSURE if threshold is not None and answer.probabilities[0] < threshold else None


@dataclass
class Sorter:
    """Puts files into folders by class, below one folder; a file with several labels into the folder of each.

    Attributes:
        folder: below which they are put.
        way: "copy", "link" (a symbolic link) or "move".
        threshold: see `verdict`.
        log: the file of what was done; None before the first.
        count: files that were put.
        present: files that stood there already, byte for byte.
    """

    folder: Path
    way: Way = "copy"
    threshold: float | None = None
    log: Path | None = None
    count: int = 0
    present: int = 0
    _names: dict[str, str] = field(default_factory=dict)
    _stream: TextIO | None = None

    @classmethod
    def open(cls, folder: Path, way: Way, threshold: float | None, paths: Sequence[Path | str]) -> Sorter:
        """Return a sorter; nothing is written yet.

        Raises:
            InputError: the folder is a file, or stands in one of `paths`, which would be sorted again.
        """
        check_local("sort_into", folder)
        if folder.exists() and not folder.is_dir():
            raise InputError(f"sort_into={folder}, which is a file", "a folder", "Give another folder")
        inside = folder.resolve()
        for path in map(Path, paths):
            if path.is_dir() and inside.is_relative_to(path.resolve()):
                raise InputError(
                    f"sort_into={folder}, which stands in {path}, a folder to sort",
                    "a folder outside of the images",
                    "Give another folder",
                )
        return cls(folder, way, threshold)

    def put(self, answer: Prediction) -> Path:
        """Put the file of an answer into its folder; return where it stands.

        Raises:
            OSError: it cannot be written or read.
        """
        if isinstance(answer, LabelPrediction):
            return self._put_labels(answer)
        label = verdict(answer, self.threshold)
        return self._put_into(Path(answer.path).absolute(), label or self._folder_of(answer.labels[0]))

    def _put_labels(self, answer: LabelPrediction) -> Path:
        """Put a file into the folder of each of its labels; return the first place.

        Raises:
            InputError: files are to be moved, or only what is sure.
        """
        if self.way == "move" or self.threshold is not None:
            option = "sort='move'" if self.way == "move" else f"threshold={self.threshold}"
            raise InputError(
                f"{option} of a run whose images may have several labels",
                "a copy or a link in the folder of each label, by the thresholds of the run",
                "Use sort='copy' or sort='link', without threshold",
            )
        source = Path(answer.path).absolute()
        places = [self._put_into(source, self._folder_of(label, UNLABELLED)) for label in answer.labels]
        return places[0] if places else self._put_into(source, UNLABELLED)

    def _put_into(self, source: Path, name: str) -> Path:
        folder = self.folder.absolute() / name
        folder.mkdir(parents=True, exist_ok=True)
        digest = sha256_file(source) if self.way == "copy" else ""
        for number in itertools.count(1):
            target = folder / (source.name if number == 1 else f"{source.stem}-{number}{source.suffix}")
            if self._is_there(source, target):
                self.present += 1
                return target
            if os.path.lexists(target):
                continue
            self._write(_Line(way=self.way, source=str(source), target=str(target), sha256=digest))
            with contextlib.suppress(FileExistsError):
                _PUTS[self.way](source, target)
                self.count += 1
                return target
        raise AssertionError

    def close(self) -> None:
        """Close the log."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _is_there(self, source: Path, target: Path) -> bool:
        """Return whether an earlier process put the file there, so that a command can be repeated."""
        if self.way == "link":
            return target.is_symlink() and os.readlink(target) == str(source)
        return self.way == "copy" and target.is_file() and filecmp.cmp(source, target, shallow=False)

    def _folder_of(self, label: str, *also: str) -> str:
        """Return a folder's name for a class; no two classes share one, and none is one of `also`."""
        if label not in self._names:
            plain = _UNSAFE.sub("_", label)[:100].strip(" .") or "_"
            names = (plain if number == 1 else f"{plain}-{number}" for number in itertools.count(1))
            taken = {UNKNOWN, UNSURE, *also, *self._names.values()}
            self._names[label] = next(name for name in names if name not in taken)
        return self._names[label]

    def _write(self, line: _Line) -> None:
        while self._stream is None:
            numbers = itertools.count(1)
            self.log = next(p for n in numbers if not os.path.lexists(p := self.folder / f"sorted-{n}.jsonl"))
            with contextlib.suppress(FileExistsError):
                self._stream = self.log.open("x", encoding="utf-8")
        self._stream.write(json.dumps(line) + "\n")
        # Before the file is touched: what a kill interrupts can be undone.
        self._stream.flush()


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as content, target.open("xb") as copy:
        try:
            shutil.copyfileobj(content, copy)
        except BaseException:
            target.unlink()
            raise
    shutil.copystat(source, target)


def _link(source: Path, target: Path) -> None:
    target.symlink_to(source)


def _move(source: Path, target: Path) -> None:
    """Move a file to a name that does not exist; `rename` would overwrite one."""
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:  # another disk, or a file system without hard links
        _copy(source, target)
    source.unlink()


_PUTS = {"copy": _copy, "link": _link, "move": _move}


@dataclass(frozen=True)
class Reversal:
    """What came of undoing a sort.

    Attributes:
        undone: files that are as they were.
        kept: path and reason of each file that was left alone.
    """

    undone: int
    kept: tuple[tuple[str, str], ...]


def undo_sort(log: Path | str) -> Reversal:
    """Undo what a log states: copies and links are removed, moved files go back.

    What was changed since is left alone. The log is removed where nothing is left of it, and so are empty folders.

    Raises:
        InputError: no such file, or no log of a sort.
    """
    log = Path(log)
    lines = _read(log)
    kept: list[tuple[str, str]] = []
    folders = {log.absolute().parent}
    for line in reversed(lines):
        target = Path(line["target"])
        folders.add(target.parent)
        if reason := _undo(line["way"], Path(line["source"]), target, line["sha256"]):
            kept.append((line["target"], reason))
    if not kept:
        log.unlink()
    for folder in sorted(folders, key=lambda path: -len(path.parts)):
        with contextlib.suppress(OSError):
            folder.rmdir()
    return Reversal(len(lines) - len(kept), tuple(kept))


def _read(log: Path) -> list[_Line]:
    try:
        content = log.read_bytes()
    except OSError as error:
        raise InputError(f"{log} ({error.strerror})", "the log of a sort", "Check its name: sorted-1.jsonl") from None
    # A line that a kill cut off was written before its file was touched.
    whole, _, _ = content.rpartition(b"\n")
    try:
        return [parse_json(line, _Line, log) for line in whole.split(b"\n")] if whole else []
    except Damaged:
        raise InputError(f"{log}, which is no log of a sort", "a file sorted-N.jsonl", "Check its name") from None


def _undo(way: str, source: Path, target: Path, sha256: str) -> str:
    """Undo one line; return why it was left alone, "" where it was not."""
    if not os.path.lexists(target):
        # A kill came before it was put, or it was undone before.
        return "" if os.path.lexists(source) else "it is gone"
    if way == "move":
        if os.path.lexists(source):
            if not os.path.samefile(source, target):
                return f"a file stands at {source}"
            target.unlink()  # a kill came between its two names
            return ""
        source.parent.mkdir(parents=True, exist_ok=True)
        _move(target, source)
        return ""
    if way == "link":
        unchanged = target.is_symlink() and os.readlink(target) == str(source)
    else:
        unchanged = target.is_file() and sha256_file(target) == sha256
    if not unchanged:
        return "it was changed since"
    target.unlink()
    return ""
