"""`--set FIELD=VALUE`: edits of a network's spec, alike in every command that builds one."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from residua.cli.lists import EDITS

Edits = Annotated[
    tuple[str, ...],
    Parameter(
        name=EDITS,
        help="FIELD=VALUE: a field of the network's spec, such as shortcut=none or depths=3,4,6,3; lists inside a list "
        "have brackets: 'kernels=[3,1],[3,3]'. May be repeated; residua diff shows the fields.",
    ),
]
"""Annotation of the option; its words are read by `residua.specs.edit_text.read_edits`."""
