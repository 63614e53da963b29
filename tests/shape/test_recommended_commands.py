"""Every command line that a message, a help text, a recipe or a page recommends is one that the parser takes."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import CycloptsError, MissingArgumentError

import residua
from residua._base.errors import InputError
from residua.cli.app import build_app
from residua.cli.flags import COMMAND, as_flags, options_of
from residua.cli.lists import spread

ROOT = Path(residua.__file__).parents[2]
SOURCE = Path(residua.__file__).parent
APP = build_app()
COMMANDS = [name for name in APP if not name.startswith("-")]
OPTIONS = {name: options_of(APP, name) for name in COMMANDS}
FIELD = re.compile(r"(?<![\w'\"./-])([a-z][a-z_0-9]*)=('[^'\n]*'|\[[^\]\n]*\]|\([^)\n]*\)|[\w.,/:-]*\w)")
# Words before the options that a command cannot do without.
BASE = {"train": ["digits", "--out", "x"], "evaluate": ["a"], "compare": ["a", "b"], "convert": ["f", "--out", "x"]}
BASE |= {"inspect": ["resnet18"], "diff": ["resnet18"], "explain": ["a"], "predict": ["a"], "check": ["digits"]}
BASE |= {"study": ["lesion", "digits"], "serve": ["a"], "conform": ["http://a"]}


def _text(node: ast.AST) -> str:
    """Return a string with a word for each value that is filled in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) if isinstance(part, ast.Constant) else "VALUE" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _strings(path: Path) -> Iterator[tuple[int, str]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if id(node) not in inner and isinstance(node, ast.Constant | ast.JoinedStr):
            yield node.lineno, _text(node)


def _in_source() -> Iterator[tuple[str, str]]:
    for path in sorted(SOURCE.rglob("*.py")):
        for line, text in _strings(path):
            for found in re.finditer(COMMAND, text):
                yield f"{path.relative_to(SOURCE)}:{line}", found[0].rstrip(".,:")


def _in_pages() -> Iterator[tuple[str, str]]:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    pages += [*(ROOT / "docs/how").glob("*.md"), *(SOURCE / "recipes").glob("*.toml")]
    for path in pages:
        text = path.read_text(encoding="utf-8").replace("\\\n", " ")
        for number, line in enumerate(text.splitlines(), 1):
            whole = re.match(r"^(?:\$ |# | {4}|)(residua [a-z].*)$", line)
            shown = [whole[1]] if whole else re.findall(r"`(residua [a-z][^`]*)`", line)
            for command in shown:
                yield f"{path.relative_to(ROOT)}:{number}", command


def _in_remedies() -> Iterator[tuple[str, str]]:
    """Yield the fields with a value in the remedies of errors: they are shown as flags."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "InputError":
                for remedy in node.args[2:]:
                    for part in ast.walk(remedy):
                        for found in FIELD.finditer(_text(part) if isinstance(part, ast.Constant) else ""):
                            yield f"{path.relative_to(SOURCE)}:{node.lineno}", found[0]


def _refusal(words: list[str]) -> str:
    """Return why the parser refuses a command, "" where it takes it or lacks only what the text left out."""
    try:
        APP.parse_args(spread(APP, words), exit_on_error=False, print_error=False)
    except MissingArgumentError:
        return ""
    except (CycloptsError, InputError) as error:
        return " ".join(str(error).split())
    return ""


def _words(command: str) -> list[str]:
    # What the shell takes for itself, and the … of a longer list.
    command = re.split(r"\s(?:\||>|<|&&|#)\s", f"{command} ")[0].replace("…", "")
    return [word for word in shlex.split(command, comments=False)[1:] if word not in ("\\", "&")]


def _of_numbers(words: list[str]) -> list[str]:
    return [re.sub(r"\b(?:VALUE|[A-Z]{1,5})\b", "1", word) for word in words]


RECOMMENDED = sorted({*_in_source(), *_in_pages()})


def test_there_are_commands_to_try() -> None:
    assert len([where for where, _ in RECOMMENDED if ".py:" in where]) > 60
    assert len([where for where, _ in RECOMMENDED if ".md:" in where]) > 20


@pytest.mark.parametrize(("where", "command"), RECOMMENDED, ids=lambda value: str(value)[:60])
def test_a_recommended_command_is_one(where: str, command: str) -> None:
    words = _words(command)
    if words[0] not in COMMANDS:
        assert "--" not in command, f"{where}: no command {command!r}"
        return
    refusal = _refusal(words) and _refusal(_of_numbers(words))
    # Without an option it may be prose: "residua train takes it".
    assert not refusal or not any(word.startswith("-") for word in words), f"{where}: {command}: {refusal}"


@pytest.mark.parametrize(("where", "field"), sorted({*_in_remedies()}), ids=lambda value: str(value)[:60])
def test_a_recommended_option_is_one(where: str, field: str) -> None:
    """What an error recommends is taken by a command that shows it as a flag; other commands show it as it is."""
    refusals = {}
    for command in COMMANDS:
        shown = as_flags(field, OPTIONS[command])
        if shown.startswith("--"):
            refusals[command] = _refusal([command, *BASE.get(command, []), *shlex.split(shown)])
            if not refusals[command]:
                return
    assert not refusals, f"{where}: {field}: {refusals}"


def test_what_cannot_be_parsed_is_noticed() -> None:
    assert _refusal(["train", "digits", "--out", "x", "--milestone", "6"])
    assert _refusal(["train", "digits", "--out", "x", "--milestones", "60,x"])
    assert not _refusal(["train", "digits", "--milestones", "60,120"])
