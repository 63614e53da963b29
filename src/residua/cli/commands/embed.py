"""`residua embed`: one call of `embed_to`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from residua._base.console import progress_bar
from residua._base.errors import InputError
from residua._base.public import public_address
from residua._base.words import counted
from residua.cli.show import Switch, answered, note, print_json


def embed(
    run: str,
    /,
    *paths: Path,
    out: Path | None = None,
    point: str = "penultimate",
    no_normalise: Switch = False,
    batch_size: int = 64,
    device: str | None = None,
    json: Switch = False,
) -> int:
    """Write what a trained run holds of each image, as one vector per image, to a file.

    An .npy file is float32 with a row per image; NAME.paths.json beside it lists the files in the order of the rows. A
    parquet file has the columns path and embedding. The same command goes on after a kill. Files that cannot be read
    are named on stderr and have no row, and the exit code is 1.

    Parameters
    ----------
    run
        The folder of a trained run, or one on the Hub: hf://ORG/REPO.
    paths
        Image files and folders.
    out
        A new file ending in .npy or .parquet (extra shards); required.
    point
        The end point to read: penultimate (what the classifier reads), or one such as layer3. A map becomes its mean.
    no_normalise
        Keep the length of each vector; left out: vectors have length 1, so that a product of two is their cosine.
    batch_size
        Images per forward pass.
    device
        "cpu", "cuda" or "cuda:N"; left out: the GPU where there is one.
    json
        Print one JSON document: what was written.
    """
    from residua.inference.answers.journal import partial_of
    from residua.inference.embedding.embed_to import embed_to

    example = f"For example: residua embed {public_address(run)} PHOTOS --out photos.npy"
    if not paths:
        raise InputError("no image", "image files or folders", example)
    if out is None:
        raise InputError("no --out", "the file to write, ending in .npy or .parquet", example)
    try:
        with progress_bar("Embedding", "images") as progress:
            written = embed_to(
                run,
                paths,
                out,
                point=point,
                normalise=not no_normalise,
                batch_size=batch_size,
                device=device,
                progress=progress,
            )
    except KeyboardInterrupt:
        note(f"residua: the vectors so far stand in {partial_of(out)}; the same command goes on from there")
        raise
    for each in written.bad:
        note(f"residua: {each.path}: {each.reason}")
    if json:
        print_json(asdict(written))
    else:
        beside = f", the paths in {written.paths_file}" if written.paths_file else ""
        note(f"Written: {out}, {counted(written.rows, 'vector')} of {written.dimensions} numbers{beside}")
    return answered(written.rows, len(written.bad))
