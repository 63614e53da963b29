"""Files of embeddings: NumPy's .npy with a JSON file of paths beside it, or one parquet file."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TypedDict, cast

import numpy as np

from residua._base.errors import Damaged, InputError
from residua._base.files import atomic_path
from residua._base.json_file import parse_json
from residua.inference.answers.parquet import require_parquet
from residua.inference.answers.rows import text
from residua.inference.embedding.embed import EmbeddedImage, Vectors
from residua.inference.image_files import BadFile

SUFFIXES = (".npy", ".parquet")
"""The endings of a file of embeddings."""
_ROWS = 4096
_BEGINS, _PATHS_BEGIN, _ENDS = b'{"embeddings": ', b'"paths": [', b"]}"
_KEY = b"residua"


class Header(TypedDict):
    """What made the vectors, and which files have none.

    Attributes:
        residua: the version that wrote the file.
        network: the name of the network.
        weights_sha256: of its weights.
        point: the end point that was read.
        normalised: whether each row has length 1.
        dimensions: D, the length of each vector.
        bad: path and reason of each file without a vector.
    """

    residua: str
    network: str
    weights_sha256: str
    point: str
    normalised: bool
    dimensions: int
    bad: list[dict[str, str]]


@dataclass(frozen=True)
class VectorsFile:
    """A file of embeddings, opened.

    Attributes:
        path: the file.
        header: what made it.
        count: N, its rows.
    """

    path: Path
    header: Header
    count: int

    def blocks(self) -> Iterator[tuple[list[str], Vectors]]:
        """Yield paths and vectors, float32 (B, D), of some thousand rows at a time."""
        if self.path.suffix.lower() == ".npy":
            lines, vectors = _path_lines(self.path), _array(self.path)
            for start in range(0, self.count, _ROWS):
                paths = [parse_json(line, str, paths_file(self.path)) for line in islice(lines, _ROWS)]
                yield paths, np.array(vectors[start : start + _ROWS])
            return
        _, parquet = require_parquet()
        for batch in parquet.ParquetFile(self.path).iter_batches(batch_size=_ROWS):
            flat = batch.column("embedding").values.to_numpy()
            yield batch.column("path").to_pylist(), flat.reshape(len(batch), self.header["dimensions"])


def line_of(item: EmbeddedImage | BadFile) -> str:
    """Return an image as a line of a file that is being written, without the line's end."""
    if isinstance(item, BadFile):
        return json.dumps({"path": item.path, "reason": item.reason})
    return json.dumps({"path": item.path, "vector": base64.b64encode(item.vector.astype("<f4").tobytes()).decode()})


def paths_file(out: Path) -> Path:
    """Return the file of paths beside an .npy file."""
    return out.with_suffix(".paths.json")


def write_vectors(lines: Path, out: Path, header: Header) -> Header:
    """Write `out` from a file of `line_of`s in bounded memory, and return its header, completed.

    Raises:
        InputError: no image has a vector.
    """
    bad = [{"path": text(line["path"]), "reason": text(line["reason"])} for line in _lines(lines) if "reason" in line]
    first = next(_good(lines), None)
    if first is None:
        raise InputError("no image that gives an embedding", "image files that decode completely", "Give others")
    header = {**header, "dimensions": len(first[1]), "bad": bad}
    (_write_npy if out.suffix.lower() == ".npy" else _write_parquet)(lines, out, header)
    return header


def open_vectors(path: Path) -> VectorsFile:
    """Open a file that `embed_to` wrote.

    Raises:
        Damaged: it is none, or was changed since.
    """
    try:
        if path.suffix.lower() == ".npy":
            header, vectors = _header_beside(path), _array(path)
            count = sum(1 for _ in _path_lines(path))
            shape, kind = vectors.shape, vectors.dtype
        else:
            _, parquet = require_parquet()
            file = parquet.ParquetFile(path)
            metadata = file.schema_arrow.metadata or {}
            header = parse_json(metadata.get(_KEY, b"{}"), Header, path)
            count = file.metadata.num_rows
            column = file.schema_arrow.field("embedding").type
            shape, kind = (count, column.list_size), column.value_type.to_pandas_dtype()
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise error if isinstance(error, InputError) else Damaged(path, f"it holds no embeddings ({error})") from None
    if shape != (count, header["dimensions"]) or kind != np.float32:
        raise Damaged(path, f"{count} paths and vectors of {shape}, {np.dtype(kind)}")
    return VectorsFile(path, header, count)


def _array(path: Path) -> Vectors:
    return cast(Vectors, np.lib.format.open_memmap(path, mode="r"))


def _header_beside(path: Path) -> Header:
    """Return the header of a file of paths: its first line, but for the beginning and the comma."""
    beside = paths_file(path)
    with _opened(beside) as stream:
        first = stream.readline().rstrip()
    if not (first.startswith(_BEGINS) and first.endswith(b",")):
        raise Damaged(beside, "its first line is no header of embeddings")
    return parse_json(first[len(_BEGINS) : -1], Header, beside)


def _path_lines(path: Path) -> Iterator[bytes]:
    """Yield the paths of a file of paths, each as JSON, in bounded memory: every one stands on a line of its own."""
    beside = paths_file(path)
    with _opened(beside) as stream:
        stream.readline()
        if stream.readline().strip() != _PATHS_BEGIN:
            raise Damaged(beside, "its second line does not begin the paths")
        for line in stream:
            if (text := line.strip()) == _ENDS:
                return
            yield text.removesuffix(b",")
    raise Damaged(beside, "it ends before its last line")


def _opened(path: Path) -> BinaryIO:
    """Open a file to read, which must be a regular one.

    Raises:
        Damaged: it is none, or cannot be read.
    """
    if not path.is_file():
        raise Damaged(path, "there is no such file", absent=True)
    return path.open("rb")


def _write_npy(lines: Path, out: Path, header: Header) -> None:
    with atomic_path(paths_file(out)) as beside, beside.open("w", encoding="utf-8") as stream:
        # `_path_lines` reads these lines one by one.
        stream.write(f"{_BEGINS.decode()}{json.dumps(header, ensure_ascii=False)},\n{_PATHS_BEGIN.decode()}")
        for number, (path, _) in enumerate(_good(lines)):
            stream.write(("," if number else "") + "\n" + json.dumps(text(path), ensure_ascii=False))
        stream.write(f"\n{_ENDS.decode()}\n")
    with atomic_path(out) as beside, beside.open("wb") as content:
        count = 0
        _npy_header(content, count, header["dimensions"])
        start = content.tell()
        for _, vector in _good(lines):
            content.write(vector.astype("<f4").tobytes())
            count += 1
        # NumPy leaves room for a longer first number: files grow in place.
        content.seek(0)
        _npy_header(content, count, header["dimensions"])
        assert content.tell() == start


def _npy_header(stream: Any, count: int, dimensions: int) -> None:
    described = {"descr": "<f4", "fortran_order": False, "shape": (count, dimensions)}
    np.lib.format.write_array_header_1_0(stream, described)


def _write_parquet(lines: Path, out: Path, header: Header) -> None:
    pyarrow, parquet = require_parquet()
    vector = pyarrow.list_(pyarrow.float32(), header["dimensions"])
    schema = pyarrow.schema([("path", pyarrow.string()), ("embedding", vector)], metadata={_KEY: json.dumps(header)})
    rows = _good(lines)
    with atomic_path(out) as beside, parquet.ParquetWriter(beside, schema, compression="zstd") as writer:
        while group := list(islice(rows, _ROWS)):
            flat = pyarrow.array(np.concatenate([values for _, values in group]))
            columns = [[text(path) for path, _ in group], pyarrow.FixedSizeListArray.from_arrays(flat, type=vector)]
            writer.write_table(pyarrow.table(columns, schema=schema))


def _good(lines: Path) -> Iterator[tuple[str, Vectors]]:
    for line in _lines(lines):
        if "vector" in line:
            yield line["path"], np.frombuffer(base64.b64decode(line["vector"]), "<f4")


def _lines(lines: Path) -> Iterable[Mapping[str, str]]:
    with lines.open(encoding="utf-8") as stream:
        yield from map(json.loads, stream)
