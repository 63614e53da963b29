"""Docstrings of functions begin with a verb in the imperative; no sentence of a docstring or an error is long."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import residua

SOURCE = Path(residua.__file__).parent
FILES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))
MOST_WORDS = 25
# A docstring that begins with another verb extends the list: each entry is the imperative.
VERBS = """
account add allow analyse answer apply ask assert attach augment average begin bind book build call carry change
check choose classify clear close collect colour combine compare compute connect convert convolve copy count create
crop cut decide decode decompress delete describe digest do download draw drop embed encode end ensure erase escape
estimate
evaluate examine exchange expand explain export extract fetch fill find fit flatten fold follow forget format fuse
gather generate give go group guess handle hash have hold ignore import include initialise insert install join keep
label lay lead leave let limit link list load locate look lower make map mark match measure merge mix move multiply
name normalise note number offer open order pack pad pair parse pass pause perform pick place plot point predict
prepare print process profile publish put quantise raise randomise rank read rebuild receive reckon record reduce
refuse register release remove rename render reorder repeat replace report request require reset resize resolve
restore resume return round run sample save scale score search see seed select send serve set settle share shorten
show shuffle simulate skip slice sort split spread start state stop store strip sum swap synchronise take tell test
time trace train transform translate try turn undo unfreeze unpack unwrap update upload use validate verify wait
walk warn whiten withdraw word wrap write yield
"""
# Attributes by another name: a noun names what they hold.
PROPERTIES = {"property", "cached_property"}
MESSAGES = {"InputError", "refuse", "Damaged", "FormatError", "BadImage"}
ENTRY = re.compile(r"^[\w., *]+:\s")
SECTION = re.compile(r"(Args|Attributes|Raises|Returns|Yields):$")


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            marks = {getattr(mark, "id", getattr(mark, "attr", "")) for mark in node.decorator_list}
            if not marks & PROPERTIES:
                yield node


def _paragraphs(doc: str) -> Iterator[str]:
    """Yield what is read without a pause: a paragraph, an item of a list, of a section's entry each alternative."""
    lines: list[str] = []
    section = entry = False
    for line in [*inspect.cleandoc(doc).splitlines(), ""]:
        text, indent = line.strip(), len(line) - len(line.lstrip())
        heading = SECTION.match(text)
        section = bool(heading) or (section and (not text or indent > 0))
        code = text.startswith((">>>", "|")) or (indent >= 4 and not section)
        begins = section and indent == 4
        if lines and (not text or heading or code or begins or text.startswith("- ")):
            # Errors and choices are lists: each of them counts alone.
            yield from ENTRY.sub("", " ".join(lines)).split("; ") if entry else [" ".join(lines)]
            lines = []
        if text and not heading and not code:
            entry = begins or (entry and bool(lines))
            lines.append(text)


def _sentences(text: str) -> list[str]:
    """Split text where a sentence ends; what stands between backticks is one word."""
    plain = re.sub(r"`[^`]*`", "X", re.sub(r"\b(e\.g|i\.e|vs|al|etc)\.", r"\1", text))
    return re.split(r'(?<=[.!?])[")]?\s+', plain)


def _words(sentence: str) -> int:
    return sum(any(letter.isalpha() for letter in word) for word in sentence.split())


def _long(text: str) -> list[str]:
    return [each for each in _sentences(text) if _words(each) > MOST_WORDS]


def _text(node: ast.expr) -> str:
    """Return the text of a string, with one word for each value that is filled in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


@pytest.mark.parametrize("file", FILES)
def test_functions_begin_with_a_verb(file: str) -> None:
    for node in _functions(ast.parse((SOURCE / file).read_text(encoding="utf-8"))):
        first = (ast.get_docstring(node) or "return").split()[0].rstrip(",.:;").lower()
        assert first in VERBS.split(), (
            f"{file}:{node.lineno} {node.name} begins with {first!r}: begin with a verb, as in VERBS"
        )


@pytest.mark.parametrize("file", FILES)
def test_sentences_are_short(file: str) -> None:
    tree = ast.parse((SOURCE / file).read_text(encoding="utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    long = []
    for node in ast.walk(tree):
        if isinstance(node, documented):
            doc = ast.get_docstring(node, clean=False) or ""
            long += [each for paragraph in _paragraphs(doc) for each in _long(paragraph)]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in MESSAGES:
            parts = [*node.args, *(keyword.value for keyword in node.keywords)]
            long += [each for part in parts for each in _long(_text(part))]
    assert not long, f"{file}: more than {MOST_WORDS} words: " + " | ".join(long)


def test_long_sentences_are_found() -> None:
    long = " ".join(["word"] * 26)
    doc = f"""Return it.

    {long}. One more.

    Args:
        a: {long}
            and more; {long}.
        b: short; {"word; " * 30}

        >>> {long}
    """
    found = [each for paragraph in _paragraphs(doc) for each in _long(paragraph)]
    assert [_words(each) for each in found] == [26, 28, 26]
    assert _long(f"{' '.join(['word'] * 25)}. And 3 − 4 = 5 in the end.") == []
    assert _text(ast.parse("f'{a} words of {b!r}'", mode="eval").body) == "X words of X"
