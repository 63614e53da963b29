"""Locks between processes, also where the file system has none."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from residua._base import lock
from residua._base.errors import InputError
from residua._base.lock import exclusive, if_free, waiting


def test_one_holds_and_the_others_wait(tmp_path: Path) -> None:
    path, order = tmp_path / "a.lock", []

    def second() -> None:
        with waiting(path):
            order.append("second")

    with waiting(path):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.1)
        order.append("first")
        with if_free(path) as free:
            assert not free
    thread.join()
    assert order == ["first", "second"]
    with if_free(path) as free:
        assert free


def test_a_lock_file_that_was_removed_while_waiting_is_made_again(tmp_path: Path) -> None:
    path, held = tmp_path / "a.lock", threading.Event()

    def second() -> None:
        with waiting(path):
            held.set()
            time.sleep(0.2)

    with waiting(path):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.1)
        path.unlink()
    assert held.wait(5)
    with if_free(path) as free:
        assert not free, "a third process got a lock beside the second's"
    thread.join()


def test_who_holds_a_folder_is_named(tmp_path: Path) -> None:
    with exclusive(tmp_path):
        with pytest.raises(InputError, match=rf"id {os.getpid()}\)"), exclusive(tmp_path):
            pass
        (tmp_path / ".lock").write_bytes("é\0".encode("utf-16"))
        with pytest.raises(InputError, match=r"id unknown\)"), exclusive(tmp_path):
            pass


def _hold(folder: Path, held: Any) -> None:
    with exclusive(folder):
        held.set()
        time.sleep(60)


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    held = context.Event()
    process = context.Process(target=_hold, args=(tmp_path, held))
    process.start()
    assert held.wait(60)
    with pytest.raises(InputError, match=f"id {process.pid}"), exclusive(tmp_path):
        pass
    process.kill()
    process.join()
    with exclusive(tmp_path):
        pass


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL])
def test_a_file_system_without_locks_is_used_and_named_once(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(lock, "_warned", set())
    with pytest.warns(UserWarning, match=f"{tmp_path} has no locks") as said, exclusive(tmp_path):
        pass
    with waiting(tmp_path / "a.lock"), if_free(tmp_path / "b.lock") as free:
        assert free
    assert len(said) == 1


def test_other_refusals_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", refuse)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)), waiting(tmp_path / "a.lock"):
        pass
    assert len(os.listdir("/proc/self/fd")) == before
