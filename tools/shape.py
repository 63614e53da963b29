"""Print the shape of the package: modules per folder, import circles, the longest import chain.

python tools/shape.py [FOLDER]
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

Graph = Mapping[str, frozenset[str]]
SOURCE = Path(__file__).resolve().parents[1] / "src" / "residua"


def modules(source: Path) -> dict[str, Path]:
    """Return dotted name -> file of every module of a package; a package's own file has the name of its folder."""
    found = {}
    for path in sorted(source.rglob("*.py")):
        parts = (source.name, *path.relative_to(source).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(source: Path) -> Graph:
    """Return module -> modules of the package that it imports: at its head, inside functions, and for types.

    The root's own table of names is left out: it offers what stands below, and nothing may use it.
    """
    known = modules(source)
    return {name: _imported(path, known) - {name} for name, path in known.items() if name != source.name}


def circles(graph: Graph) -> list[tuple[str, ...]]:
    """Return the groups of modules that reach each other, each in order of name (Tarjan 1972)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(name: str) -> None:
        order[name] = lowest[name] = len(order)
        stack.append(name)
        for other in sorted(graph.get(name, ())):
            if other not in order:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in stack:
                lowest[name] = min(lowest[name], order[other])
        if lowest[name] == order[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                found.append(tuple(sorted(group)))

    for name in graph:
        if name not in order:
            visit(name)
    return sorted(found)


def longest_chain(graph: Graph) -> list[str]:
    """Return the longest row of modules of which each imports the next, top first. There must be no circle."""
    chains: dict[str, list[str]] = {}

    def chain(name: str) -> list[str]:
        if name not in chains:
            below = [chain(other) for other in sorted(graph.get(name, ()))]
            chains[name] = [name, *max(below, key=len, default=[])]
        return chains[name]

    return max((chain(name) for name in graph), key=len)


def per_folder(source: Path) -> Counter[str]:
    """Return folder -> number of modules that stand in it; `__init__` is none."""
    return Counter(
        path.parent.relative_to(source.parent).as_posix()
        for path in modules(source).values()
        if path.name != "__init__.py"
    )


def _imported(path: Path, known: Mapping[str, Path]) -> frozenset[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from a.b import c` names the module a.b.c where there is one, else what a.b holds.
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (names & known.keys()) | ({node.module} if names - known.keys() else set())
    return frozenset(found & known.keys())


def main() -> int:
    """Print the table; return 1 where modules import each other in a circle."""
    source = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else SOURCE
    graph = imports(source)
    for folder, count in sorted(per_folder(source).items()):
        print(f"{count:4}  {folder}")
    print(f"{len(graph)} modules")
    found = circles(graph)
    print(f"{len(found)} circles")
    for group in found:
        print("      " + " ↔ ".join(group))
    if not found:
        chain = longest_chain(graph)
        print(f"longest import chain, {len(chain)} modules: " + " → ".join(chain))
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
