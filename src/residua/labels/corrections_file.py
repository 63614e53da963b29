"""The corrections that somebody decides on: a CSV file with a row per doubted label."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from residua._base.files import write_text
from residua.labels.doubt import Doubts

COLUMNS = ("path", "label", "given", "suggested", "given_probability", "suggested_probability", "network_had_seen_it")


def write_corrections(path: Path, doubts: Doubts) -> None:
    """Write a row per doubt, the most doubtful first: `label` is what the image is to have, at first the suggestion.

    Corrections that the run was trained with follow, unless they are doubted: a run on this file takes them all.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for each in doubts.doubts:
        probabilities = (f"{each.given_probability:.6f}", f"{each.suggested_probability:.6f}")
        seen = "no" if each.unseen else "yes"
        writer.writerow([each.path, each.suggested, each.given, each.suggested, *probabilities, seen])
    doubted = {each.path for each in doubts.doubts}
    for name, label in doubts.corrections.items():
        if name not in doubted:
            writer.writerow([name, label, "", "", "", "", ""])
    write_text(path, text.getvalue())
