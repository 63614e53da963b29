"""The checkpoint reader on files that are damaged, hostile or incomplete: an error each time, and never much memory."""

from __future__ import annotations

import contextlib
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from residua._base.errors import InputError
from residua.weights.files import snappy, wire
from residua.weights.files.crc32c import crc32c, masked
from residua.weights.files.format_error import FormatError
from residua.weights.files.tf_checkpoint import read_checkpoint
from weights.files import tables

VALUES = {
    "net/conv/weights": np.arange(24, dtype=np.float32).reshape(2, 3, 4) - 7,
    "net/conv/biases": np.array([1.5, -2.5], np.float32),
    "net/none": np.zeros((0, 3), np.float32),
    "net/scale": np.array(3.0, np.float32),
}


def _bitwise(data: bytes) -> int:
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def test_crc32c() -> None:
    # RFC 3720, appendix B.4.
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(bytes([255] * 32)) == 0x62A8AB43
    data = np.random.default_rng(0).bytes(512 * 21 + 3)
    for size in (0, 1, 511, 512, 513, 1024, 1535, 512 * 20, len(data)):
        assert crc32c(data[:size]) == _bitwise(data[:size])
    assert masked(0) == 0xA282EAD8


@given(st.lists(st.binary(max_size=40), max_size=30))
def test_snappy_returns_what_was_compressed(pieces: list[bytes]) -> None:
    data = b"".join(piece * (1 + len(piece) % 9) for piece in pieces)
    assert snappy.decompress(memoryview(tables.snappy(data))) == data


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_snappy_survives_anything(data: bytes) -> None:
    with contextlib.suppress(FormatError):
        assert len(snappy.decompress(memoryview(data))) <= 64 * len(data)


@settings(max_examples=300)
@given(st.binary(max_size=100))
def test_records_survive_anything(data: bytes) -> None:
    with contextlib.suppress(FormatError):
        assert all(number >= 0 for number, _ in wire.fields(memoryview(data)))


def _equal(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray] = VALUES) -> bool:
    return found.keys() == wanted.keys() and all(
        found[name].shape == wanted[name].shape and np.array_equal(found[name], wanted[name]) for name in wanted
    )


@pytest.mark.parametrize("compress", [False, True])
def test_v1(compress: bool, tmp_path: Path) -> None:
    (tmp_path / "it.ckpt").write_bytes(tables.v1(VALUES, compress))
    assert _equal(read_checkpoint(tmp_path / "it.ckpt"))


def test_v2(tmp_path: Path) -> None:
    tables.v2(tmp_path / "it.ckpt", VALUES)
    for name in ("it.ckpt", "it.ckpt.index", "it.ckpt.data-00000-of-00001"):
        assert _equal(read_checkpoint(tmp_path / name))


def _files(form: str, folder: Path) -> list[Path]:
    if form.startswith("v1"):
        (folder / "it.ckpt").write_bytes(tables.v1(VALUES, form == "v1 compressed"))
        return [folder / "it.ckpt"]
    tables.v2(folder / "it.ckpt", VALUES)
    return sorted(folder.iterdir())


@pytest.mark.parametrize("form", ["v1", "v1 compressed", "v2"])
def test_every_flipped_byte_and_every_truncation(form: str, tmp_path: Path) -> None:
    """Each gives the error, or, in bytes that say nothing, what was written."""
    survived = total = 0
    for path in _files(form, tmp_path):
        whole = path.read_bytes()
        damaged = [
            whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :] for place in range(len(whole))
        ]
        damaged += [whole[:size] for size in range(len(whole))]
        for content in damaged:
            path.write_bytes(content)
            total += 1
            with contextlib.suppress(InputError):
                assert _equal(read_checkpoint(tmp_path / "it.ckpt"))
                survived += 1
        path.write_bytes(whole)
    # Unused: the block of other blocks and the padding of the footer.
    assert survived < 60 < total


def _refused(path: Path, match: str) -> None:
    tracemalloc.start()
    with pytest.raises(InputError, match=match):
        read_checkpoint(path)
    # Most of it is the report of the error.
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()


HUGE = 1 << 40


@pytest.mark.parametrize("sides", [(0, 1 << 60, 1 << 60), (1 << 62, 0), (0, 1 << 59), (1 << 61, 1 << 61, 1 << 61)])
def test_shapes_that_no_array_has(sides: tuple[int, ...], tmp_path: Path) -> None:
    kind = tables.field(1, b"w") + tables.field(2, tables.shape(*sides)) + tables.field(3, 9)
    saved = tables.field(1, b"w") + tables.field(3, tables.field(5, b""))
    described = (b"", tables.field(1, tables.field(1, kind)))
    (tmp_path / "v1.ckpt").write_bytes(tables.table([[described], [(b"\0w", tables.field(2, saved))]]))
    with contextlib.suppress(InputError):
        assert read_checkpoint(tmp_path / "v1.ckpt")["w"].size == 0


@pytest.mark.parametrize(
    ("edits", "match"),
    [
        ({"size": HUGE}, "has 1099511627776 bytes where its shape"),
        ({"offset": HUGE}, "stands at bytes 1099511627776"),
        ({"shard": 7}, "shards beyond the 1 that there are"),
        ({"offset": 0}, "stands at bytes 0 to"),
        ({"size": (1 << 64) - 1}, "negative place"),
    ],
)
def test_entries_that_claim_what_is_not_there(edits: dict[str, int], match: str, tmp_path: Path) -> None:
    tables.v2(tmp_path / "it.ckpt", VALUES, **edits)
    _refused(tmp_path / "it.ckpt", match)


def test_shapes_that_claim_what_is_not_there(tmp_path: Path) -> None:
    entry = tables.field(1, 1) + tables.field(2, tables.shape(1 << 30, 1 << 30)) + tables.field(5, 8)
    content = tables.table([[(b"", tables.field(1, 1)), (b"w", entry)]])
    (tmp_path / "it.ckpt.index").write_bytes(content)
    (tmp_path / "it.ckpt.data-00000-of-00001").write_bytes(bytes(8))
    _refused(tmp_path / "it.ckpt", "8 bytes where its shape")
    kind = tables.field(1, b"w") + tables.field(2, tables.shape(HUGE)) + tables.field(3, 1)
    saved = tables.field(1, b"w") + tables.field(3, tables.field(5, bytes(8)))
    described = (b"", tables.field(1, tables.field(1, kind)))
    (tmp_path / "v1.ckpt").write_bytes(tables.table([[described], [(b"\0w", tables.field(2, saved))]]))
    _refused(tmp_path / "v1.ckpt", "2 values where its shape")


def test_blocks_that_are_read_again_and_again(tmp_path: Path) -> None:
    """An index may name one block a million times; keys may grow with each entry."""
    content = tables.block([(b"a", b"")])
    handle = tables.varint(0) + tables.varint(len(content))
    twice = tables.finished(tables.stored(content), [(b"a", handle), (b"b", handle)])
    (tmp_path / "it.ckpt").write_bytes(twice)
    _refused(tmp_path / "it.ckpt", "blocks overlap")
    growing = b"".join(tables.varint(shared) + b"\1\0" + b"k" for shared in range(6000))
    growing += bytes(4) + (1).to_bytes(4, "little")
    handle = tables.varint(0) + tables.varint(len(growing))
    (tmp_path / "it.ckpt").write_bytes(tables.finished(tables.stored(growing), [(b"z", handle)]))
    _refused(tmp_path / "it.ckpt", "runs over its block|no checkpoint")


def test_a_compressed_block_that_would_fill_the_memory(tmp_path: Path) -> None:
    bomb = tables.varint(HUGE) + bytes(20)
    handle = tables.varint(0) + tables.varint(len(bomb))
    (tmp_path / "it.ckpt").write_bytes(tables.finished(tables.stored(bomb, 1), [(b"a", handle)]))
    _refused(tmp_path / "it.ckpt", "claims to hold 1099511627776")
    (tmp_path / "it.ckpt").write_bytes(tables.finished(tables.stored(bomb, 9), [(b"a", handle)]))
    _refused(tmp_path / "it.ckpt", "compressed in way 9")


def _nothing(folder: Path) -> Path:
    return folder / "it.ckpt"


def _another_name(folder: Path) -> Path:
    tables.v2(folder / "model.ckpt-7", VALUES)
    return folder / "model.ckpt-8"


def _no_data(folder: Path) -> Path:
    tables.v2(folder / "it.ckpt", VALUES)
    os.remove(folder / "it.ckpt.data-00000-of-00001")
    return folder / "it.ckpt"


def _half_of_the_shards(folder: Path) -> Path:
    (folder / "it.ckpt-00001-of-00002").write_bytes(tables.v1(VALUES))
    return folder / "it.ckpt"


def _twice(folder: Path) -> Path:
    for shard in range(2):
        (folder / f"it.ckpt-0000{shard}-of-00002").write_bytes(tables.v1(VALUES))
    return folder / "it.ckpt"


def _text(folder: Path) -> Path:
    (folder / "it.ckpt").write_text("model_checkpoint_path: it\n" * 9)
    return folder / "it.ckpt"


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (_nothing, "is no checkpoint"),
        (_another_name, "There are model.ckpt-7.index"),
        (_no_data, "data-00000-of-00001 cannot be read"),
        (_half_of_the_shards, "1 shards, which say that they are of 2"),
        (_twice, "which another shard holds too"),
        (_text, "its last bytes are not those of a table"),
    ],
)
def test_what_is_missing_is_named(make: Callable[[Path], Path], match: str, tmp_path: Path) -> None:
    _refused(make(tmp_path), match)
