"""Write the digits that ship with the package, from scikit-learn's copy.

python tools/digits_file.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

OUT = Path(__file__).parents[1] / "src/residua/data/sources/digits.npz"


def main() -> None:
    digits = load_digits()
    table = np.column_stack([digits.data, digits.target])
    whole = table.astype(np.uint8)
    assert (whole == table).all(), "the digits are whole numbers of 0..16"
    np.savez_compressed(OUT, table=whole)
    print(f"{OUT}: {OUT.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
