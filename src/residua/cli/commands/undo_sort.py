"""`residua undo-sort`: one call of `undo_sort`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from residua._base.words import counted
from residua.cli.show import Switch, note, print_json, say


def undo_sort(log: Path, /, *, json: Switch = False) -> int:
    """Undo what predict --sort-into did: copies and links are removed, moved files go back.

    What was changed since is left alone and named, and the exit code is 1. The log is removed with the last of its
    files, and so are folders that are empty then.

    Parameters
    ----------
    log
        The file sorted-N.jsonl in the folder of sorted files.
    json
        Print one JSON document: the files undone, and those kept, each with its reason.
    """
    from residua.inference.sorting import undo_sort as undo

    done = undo(log)
    if json:
        print_json(asdict(done))
    else:
        for path, reason in done.kept:
            note(f"residua: {path}: {reason}")
        say(f"{counted(done.undone, 'file')} undone")
    return 1 if done.kept else 0
