"""The words of files of answers: stated here alone, and without torch."""

from __future__ import annotations

from typing import Literal

OnBad = Literal["record", "skip"]
"""What becomes of a file that gives no answer: a row with an error, or none."""
SUFFIXES = (".jsonl", ".csv", ".parquet")
"""The endings of a file of answers."""
Way = Literal["copy", "link", "move"]
"""How a file is put into the folder of its class."""
EVERY_FRAME = 30
"""Of a video, one frame of so many is answered: about one per second."""
