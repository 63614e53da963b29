"""The bytes of one shard: a tar file in WebDataset's layout, or a parquet file in Hugging Face's."""

from __future__ import annotations

import dataclasses
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from PIL import Image

from residua._base.packages import package
from residua.data.dataset import Split
from residua.data.decode import FORMATS
from residua.data.image_source import Indices
from residua.data.parquet.row_groups import EXTRA, METADATA

ShardFormat = Literal["tar", "parquet"]
_ROWS_OF_A_GROUP = 100  # as `datasets` writes images: one of them is read at the price of so many


@dataclass(frozen=True)
class ShardPlan:
    """A shard to write.

    Attributes:
        name: of the file.
        split: that its images are of.
        number: of the shard in its part, from 0.
        indices: of its images.
    """

    name: str
    split: Split
    number: int
    indices: Indices

    def named(self, form: ShardFormat, count: int) -> ShardPlan:
        """Return the plan with the name that the format has for the shard, one of `count` of its part."""
        part = self.split.name
        name = f"{part}-{self.number:06d}.tar"
        if form == "parquet":
            # What `datasets` calls the parts.
            part = {"val": "validation"}.get(part, part)
            name = f"{part}-{self.number:05d}-of-{count:05d}.parquet"
        return dataclasses.replace(self, name=name)


Rows = list[tuple[int, int, int]]
"""(offset, size, label) of each image of a tar file."""
Writer = Callable[[ShardPlan, Path], Rows | None]


def writer_of(form: ShardFormat, classes: tuple[str, ...]) -> Writer:
    """Return what writes a shard to a path; the writer of tar files returns where the images stand.

    Raises:
        InputError: pyarrow is needed and not installed.
    """
    if form == "tar":
        return _write_tar
    return partial(_write_parquet, package("pyarrow", EXTRA), package("pyarrow.parquet", EXTRA), classes)


def _write_tar(plan: ShardPlan, path: Path) -> Rows:
    rows: Rows = []
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for index, content, extension, label in _images(plan):
            key = f"{index:09d}"
            rows.append((_add(archive, f"{key}{extension}", content), len(content), label))
            _add(archive, f"{key}.cls", str(label).encode())
    return rows


def _write_parquet(pyarrow: Any, parquet: Any, classes: tuple[str, ...], plan: ShardPlan, path: Path) -> None:
    features = {"image": {"_type": "Image"}, "label": {"names": list(classes), "_type": "ClassLabel"}}
    # Images are compressed already, and few bytes of one recur in another.
    image = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    schema = pyarrow.schema(
        [("image", image), ("label", pyarrow.int64())],
        {METADATA: json.dumps({"info": {"features": features}}).encode()},
    )
    with parquet.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        left = _images(plan)
        while rows := list(islice(left, _ROWS_OF_A_GROUP)):
            images = [{"bytes": content, "path": f"{index:09d}{ending}"} for index, content, ending, _ in rows]
            columns = {"image": images, "label": [label for *_, label in rows]}
            writer.write_table(pyarrow.Table.from_pydict(columns, schema=schema))


def _images(plan: ShardPlan) -> Iterator[tuple[int, bytes, str, int]]:
    """Yield position, encoded bytes, extension and label of each image of a shard."""
    for number in plan.indices:
        index = int(number)
        yield index, *_encoded(plan.split, index), int(plan.split.labels[index])


def _encoded(split: Split, index: int) -> tuple[bytes, str]:
    if split.images.pixels is not None:
        stream = io.BytesIO()
        Image.fromarray(split.images.read(index)).save(stream, "PNG")
        return stream.getvalue(), ".png"
    extension = PurePosixPath(split.where(index)).suffix.lower()
    return split.images.encoded(index), extension if extension in FORMATS else ".img"


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> int:
    """Add a file and return where its content begins, bytes."""
    # Without time and owner: the same data give the same bytes.
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    start = archive.offset + tarfile.BLOCKSIZE
    archive.addfile(entry, io.BytesIO(content))
    return start
