"""Write src/residua/specs/counts.json: parameters and MACs of every listed network, counted on the networks."""

import json
from pathlib import Path

from residua.anatomy import cost
from residua.specs.catalog import get_spec, list_models

TARGET = Path(__file__).parents[1] / "src/residua/specs/counts.json"


def main() -> None:
    rows = {}
    for name in list_models():
        counted = cost(get_spec(name))
        rows[name] = [counted.params, counted.macs]
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items())
    TARGET.write_text(f"{{\n{lines}\n}}\n")
    print(f"{len(rows)} networks counted into {TARGET}")


if __name__ == "__main__":
    main()
