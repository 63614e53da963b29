"""Pickles of arrays: read as NumPy reads them; code, damage and claims of size are refused."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from residua._base.errors import InputError
from residua.data.sources.array_pickle import unpickle

WITNESS = "residua-was-here"  # in the folder that a test works in


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {WITNESS}",)


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps({b"data": Evil()}),
        f"cos\nsystem\n(S'touch {WITNESS}'\ntR.".encode(),
        b"cbuiltins\neval\n(S'1+1'\ntR.",
        b"cnumpy\nload\n(S'x.npy'\ntR.",
        b"cnumpy.core.multiarray\nfromfile\n(S'x'\ntR.",
        pickle.dumps(np.array([Evil()], dtype=object)),
    ],
)
def test_a_pickle_that_asks_for_code_is_refused(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"asks for|numbers"):
        unpickle(content)
    assert list(tmp_path.iterdir()) == []


def test_arrays_of_both_numpy_generations_are_read() -> None:
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    for protocol in (2, 4):
        assert np.array_equal(unpickle(pickle.dumps(values, protocol)), values)
    renamed = pickle.dumps(values, 2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert np.array_equal(unpickle(renamed), values)


@pytest.mark.parametrize("content", [b"", b"\x80\x02", b"garbage", pickle.dumps([1, 2])[:-3]])
def test_a_damaged_pickle_is_refused(content: bytes) -> None:
    with pytest.raises(InputError, match="damaged pickle"):
        unpickle(content)


@pytest.mark.parametrize(
    "content",
    [
        b"cnumpy\nndarray\n((I4000000000\nltR.",
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I4000000000\ntS'b'\ntR.",
        b"cnumpy\ndtype\n(S'S2000000000'\nI0\nI1\ntR.",
        b"\x80\x02" + b"]" * 30_000_000 + b".",
        b"\x80\x02(" + b"}q\x00h\x00" * 4_000_000 + b"l.",
    ],
    ids=["array", "reconstructed", "type", "lists", "dictionaries"],
)
def test_claims_of_size_take_no_memory(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(content)
    code = (
        "import resource, sys\n"
        "from residua._base.errors import InputError\n"
        "from residua.data.sources.array_pickle import unpickle\n"
        "data = open(sys.argv[1], 'rb').read()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: unpickle(data)\n"
        "except InputError: pass\n"
        "else: raise SystemExit('read')\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "p")], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200
