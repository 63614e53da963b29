"""The content of the files of a data set, as digests."""

from __future__ import annotations

from pathlib import Path

from residua.data.dataset import Split
from residua.data.decode.workers import default_workers
from residua.data.decoded import cache
from residua.data.image_source import ImageSource
from residua.data.shards.packed import PackedImages


def content_digests(split: Split, root: Path | str = "", workers: int | None = None) -> dict[str, str]:
    """Return the SHA-256 of the content of each file of a split: name -> 64 hexadecimal digits.

    After a `Loader` of the same split was opened this costs one look at each file's times: decoding took the hashes.
    Else every file is read. A file that cannot be read has "". Images that come from no file give nothing:
    `Dataset.hash` covers their pixels.

    Args:
        split: the images.
        root: names are relative to this folder where a file is inside it (`Dataset.location`), with "/" between
            folders: a data set that was moved keeps them.
        workers: threads; None: one per processor.
    """
    if not has_files(split.images):
        return {}
    digests = cache.contents(split.images, default_workers() if workers is None else workers)
    return {
        file_name(split.where(index), root): digest.tobytes().hex() if digest.any() else ""
        for index, digest in enumerate(digests)
    }


def has_files(images: ImageSource) -> bool:
    """Return whether images come from files of their own; not those whose shards have hashes in an index."""
    return images.pixels is None and not isinstance(images, PackedImages)


def file_name(where: str, root: Path | str) -> str:
    """Return the name of a file relative to `root` where it is inside, with "/" between folders."""
    path = Path(where)
    return (path.relative_to(root) if str(root) and path.is_relative_to(root) else path).as_posix()
