"""`residua compare`: one call of `residua.evaluation.compare.compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from residua._base.console import progress_bar
from residua._base.words import counted
from residua.cli.show import Switch, note, percent, print_json, print_table, say
from residua.specs.fields import BadPolicy


def compare(
    run: str,
    /,
    *runs: str,
    data: str | None = None,
    split: Literal["train", "val", "test"] | None = None,
    views: tuple[str, ...] = ("1",),
    no_cache: Switch = False,
    batch_size: int = 256,
    device: str | None = None,
    engine: Literal["eager", "compiled"] = "eager",
    precision: Literal["fp32", "bf16"] = "fp32",
    on_bad: BadPolicy | None = None,
    data_dir: Path | None = None,
    json: Switch = False,
) -> int:
    """Set runs side by side on the same images, and test whether they differ.

    Every pair is compared by McNemar's test, exact where few images differ; p is adjusted for the number of pairs
    (Holm). The difference of top-1 has a paired score interval.

    Parameters
    ----------
    run
        The folder of a trained run; all are scored on its held-out part.
    runs
        Other runs with the same classes; optionally last, DATA to score them on.
    data
        The data to score them on, as `residua train` takes it; left out: the held-out part of the first run.
    split
        The part of the data; left out: test, else val.
    views
        The views of each image, as in `residua evaluate`.
    no_cache
        Read every image file and run the networks even where earlier passes are cached; store nothing.
    batch_size
        Images per forward pass.
    device
        "cpu", "cuda" or "cuda:N"; left out: the GPU where there is one.
    engine
        What computes the logits: eager (torch's own operators) or compiled (torch.compile; the first batch takes
        longer, and a C++ compiler is needed).
    precision
        The number format that it computes in: fp32, or bf16 (fewer bits, faster where the hardware has it).
    on_bad
        refuse images that do not decode, or skip them (left out and counted); left out: as in training.
    data_dir
        Where downloaded archives are kept; left out: $RESIDUA_DATA, else ~/.cache/residua/data.
    json
        Print the comparison as one JSON document.
    """
    from residua.evaluation.compare import compare as score_all
    from residua.weights.named.locate import is_remote

    words = [run, *runs]
    if data is None and len(words) > 2 and not is_remote(words[-1]) and not _is_run(Path(words[-1])):
        data = words.pop()
    with progress_bar("Evaluating", "images") as progress:
        comparison = score_all(
            words,
            data,
            split=split,
            views=",".join(views),
            cache=not no_cache,
            batch_size=batch_size,
            device=device,
            engine=engine,
            precision=precision,
            on_bad=on_bad,
            data_dir=data_dir,
            progress=progress,
        )
    if json:
        print_json(comparison.to_dict())
        return 0
    say(
        f"{comparison.data}, {comparison.split}: {counted(comparison.count, 'image')}, "
        f"{counted(len(comparison.classes), 'class', 'classes')}, views {comparison.views}"
    )
    say(comparison.evaluated)
    for sentence in comparison.notes:
        note(f"Note: {sentence}.")
    say()
    # Of at most five classes the true one is always among the first five.
    top5 = len(comparison.classes) > 5
    print_table(
        (
            "run",
            "network",
            "parameters",
            "MACs",
            "top-1",
            "95% interval",
            *(["top-5"] if top5 else []),
            "loss",
            "ECE",
            "trained",
            "images/s",
        ),
        [
            (
                row.name,
                row.model,
                f"{row.parameters:,}",
                f"{row.macs:,}",
                percent(row.top1),
                " to ".join(map(percent, row.top1_interval)),
                *([percent(row.top5)] if top5 else []),
                f"{row.loss:.4f}",
                percent(row.ece),
                "–" if row.train_seconds is None else f"{row.train_seconds:,.0f} s",
                "–" if row.images_per_second is None else f"{row.images_per_second:,.0f}",
            )
            for row in comparison.runs
        ],
        right=range(2, 11 if top5 else 10),
    )
    say()
    print_table(
        ("pair", "difference", "95% interval", "only 1st", "only 2nd", "p", "adjusted", "McNemar's test"),
        [
            (
                f"{pair.first}, {pair.second}",
                f"{100 * pair.test.difference:+.2f}",
                f"{100 * pair.test.interval[0]:+.2f} to {100 * pair.test.interval[1]:+.2f}",
                str(pair.test.only_first),
                str(pair.test.only_second),
                f"{pair.test.p:.4g}",
                f"{pair.adjusted_p:.4g}",
                pair.test.method,
            )
            for pair in comparison.differences
        ],
        right=range(1, 7),
    )
    say("Differences are in points of top-1, the first run less the second. Adjusted for the number of pairs: Holm.")
    return 0


def _is_run(path: Path) -> bool:
    return path.is_file() or (path / "model.safetensors").exists()
