"""`residua similar`: one call of `similar`, and its page."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from residua._base.console import progress_bar
from residua._base.errors import InputError
from residua._base.public import public_address
from residua._base.words import counted
from residua.cli.show import Switch, check_target, note, print_json, say


def similar(
    run: str,
    query: Path,
    /,
    *photos: Path,
    out: Path | None = None,
    count: int = 12,
    point: str = "penultimate",
    batch_size: int = 64,
    device: str | None = None,
    json: Switch = False,
) -> int:
    """Find the images most like a query, as a trained run sees them: by the cosine of their features, exactly.

    Files that cannot be read are named on stderr, the others go on, and the exit code is 1.

    Parameters
    ----------
    run
        The folder of a trained run, or one on the Hub: hf://ORG/REPO.
    query
        An image file, or a folder of some.
    photos
        Image files and folders to search, or one file that residua embed wrote with this run.
    out
        A page to write, ending in .html: each query beside its neighbours.
    count
        Neighbours per query.
    point
        The end point to read: penultimate (what the classifier reads), or one such as layer3. A map becomes its mean.
    batch_size
        Images per forward pass.
    device
        "cpu", "cuda" or "cuda:N"; left out: the GPU where there is one.
    json
        Print one JSON document: the queries with their neighbours.
    """
    from residua.evaluation.run_data import open_run
    from residua.inference.embedding.similar import similar as compare
    from residua.inference.embedding.similar_page import write_similar_page

    if not photos:
        raise InputError(
            "no images to search",
            "image files or folders, or a file that residua embed wrote",
            f"For example: residua similar {public_address(run)} query.jpg PHOTOS --out similar.html",
        )
    check_target(out, ".html")
    opened = open_run(run, [query, *photos], multilabel=True)
    with progress_bar("Comparing", "images") as progress:
        comparison = compare(
            opened,
            query,
            photos[0] if len(photos) == 1 else photos,
            count=count,
            point=point,
            batch_size=batch_size,
            device=device,
            progress=progress,
        )
    for each in comparison.bad:
        note(f"residua: {each.path}: {each.reason}")
    if out is not None:
        write_similar_page(out, opened, comparison)
        note(f"Wrote {out}")
    if json:
        print_json(asdict(comparison))
    else:
        for answer in comparison.queries:
            say(f"{answer.path}, of {counted(comparison.images, 'image')}:")
            for near in answer.neighbours:
                say(f"  {near.cosine:.4f}  {near.path}")
    return 1 if comparison.bad else 0
