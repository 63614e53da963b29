"""A table of labels as the user names it, and its columns as they are settled."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from residua._base.errors import InputError, did_you_mean
from residua._base.files import check_local
from residua._base.words import quoted, some

ROLES = ("path", "label", "split", "group", "labels")
"""What a column may state of an image."""

# Names of columns that need not be named, in the order of preference, in lower case and without signs.
_USUAL = {
    "path": (
        *("path", "filepath", "imagepath", "file", "filename", "imagefile", "imagename", "image", "img"),
        *("imageid", "imgid", "photo", "id"),
    ),
    "label": ("label", "class", "classname", "category", "target"),
    "split": ("split", "part", "subset", "partition"),
    "group": ("group", "groupid"),
}
SEPARATOR = ";"
"""Stands between several labels of one image, and between the columns that state a label each."""

TRUTH = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
"""What a cell of a column that states one label may hold, in lower case, and whether the image then has the label."""

# Columns that tell of images which belong together, and are no groups until somebody calls them so.
_LIKE_GROUPS = ("patient", "patientid", "subject", "subjectid", "product", "productid", "burst", "burstid", "sequence")


ColumnNames = str | Sequence[str] | Mapping[str, str] | None
"""Names of columns by role: "path=id,label=breed", ("path=id", "label=breed") or {"path": "id", "label": "breed"}."""


@dataclass(frozen=True)
class LabelTable:
    """A table with a row per image, `path,label[,split][,group]`, as the user names it.

    A column that is not named, "", is recognised by a usual name, such as `image_id` or `class`.

    Attributes:
        file: a CSV file in UTF-8, or a parquet file (extra `shards`).
        path: the column of the images' paths, relative to the data or to the table, with or without their endings.
        label: the column of the classes.
        split: the column of the parts: train, val or test, or their other usual names.
        group: the column of what belongs together (a patient, a product): no group crosses parts.
        labels: in place of `label`, columns that hold 1 where an image has the label of that name, else 0: "cat;dog".
    """

    file: str | Path
    path: str = ""
    label: str = ""
    split: str = ""
    group: str = ""
    labels: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return the fields, as JSON values; `labels` where it is named."""
        fields = {**asdict(self), "file": str(self.file)}
        return {key: value for key, value in fields.items() if key != "labels" or value}

    @property
    def columns(self) -> dict[str, str]:
        """The columns that are named, by role."""
        return {role: getattr(self, role) for role in ROLES if getattr(self, role)}


def label_table(labels: str | Path | None, columns: ColumnNames = None, group: str | None = None) -> LabelTable | None:
    """Return the table that `labels`, `columns` and `groups` of a public function name; None without labels.

    Raises:
        InputError: columns or a group without a table; a role that there is not; a path that is none.
    """
    named = _by_role(columns)
    if group is not None:
        if named.get("group", group) != group:
            raise InputError(
                f"groups={group!r} and columns='group={named['group']}'", "one column of groups", "Leave one out"
            )
        named["group"] = group
    if labels is None:
        if named:
            raise InputError(
                f"columns='{','.join(f'{role}={column}' for role, column in named.items())}' without labels",
                "the table that has these columns",
                "Name it: labels=FILE.csv",
            )
        return None
    check_local("labels", labels)
    return LabelTable(labels, **named)


def _by_role(columns: ColumnNames) -> dict[str, str]:
    wanted = "ROLE=NAME, with the role path, label, labels, split or group"
    if columns is None:
        return {}
    if isinstance(columns, str):
        columns = columns.split(",")
    pairs = columns.items() if isinstance(columns, Mapping) else [_pair(entry, wanted) for entry in columns]
    named: dict[str, str] = {}
    for role, column in pairs:
        if role not in ROLES or not isinstance(column, str) or not column:
            raise InputError(
                f"columns={f'{role}={column}'!r}", wanted, did_you_mean(str(role), ROLES) or "Use columns='label=NAME'"
            )
        if named.setdefault(role, column) != column:
            raise InputError(f"columns={f'{role}={named[role]},{role}={column}'!r}", wanted, "Name each role once")
    return named


def _pair(entry: object, wanted: str) -> tuple[str, str]:
    role, sign, column = entry.partition("=") if isinstance(entry, str) else ("", "", "")
    if not sign:
        raise InputError(f"columns={quoted(entry)}", wanted, "For example columns='label=breed'")
    return role.strip(), column.strip()


@dataclass(frozen=True)
class Columns:
    """Which column states what.

    Attributes:
        path: the name of the column of paths.
        label: of labels.
        split: of parts, "" for none.
        group: of groups, "" for none.
        labels: the names of columns of 0 and 1, a label each, with ";" between them; "" where `label` states them.
        notes: what was recognised and what was left out, sentences.
    """

    path: str
    label: str
    split: str = ""
    group: str = ""
    labels: str = ""
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, str]:
        """Return role -> column of those that there are."""
        return {role: getattr(self, role) for role in ROLES if getattr(self, role)}


def settle_columns(table: LabelTable, header: Sequence[str], rows: Iterable[Sequence[str]] = ()) -> Columns:
    """Find the columns: those that are named, then those of usual names.

    Where one of two columns is that of the paths, the other is that of the labels.

    Args:
        table: names the columns.
        header: the columns that there are.
        rows: cells, which only the remedy of an error looks at: columns of 0 and 1 may be labels.

    Raises:
        InputError: a column is missing, named twice or for two purposes.
    """
    name = Path(table.file).name
    if not header or len(set(header)) < len(header) or not all(header):
        raise InputError(
            f"{table.file} with {f'columns {some(header)}' if header else 'nothing'}",
            "a first line that gives each column its own name",
            "Name the columns path, label and, where there are any, split and group",
        )
    columns = {role: _named(table, role, header) or _usual(role, header) for role in ROLES if role != "labels"}
    if table.labels:
        return _of_labels(table, header, columns)
    if not columns["label"] and columns["path"] and len(header) == 2:
        columns["label"] = next(column for column in header if column != columns["path"])
    missing = [role for role in ("path", "label") if not columns[role]]
    if missing:
        flags = [] if "path" in missing else _of_truth(header, rows, set(columns.values()))
        raise InputError(
            f"{table.file} with columns {some(header)}: none is named like {' or '.join(missing)}",
            "a column of paths and a column of labels" + ", or a column of 0 and 1 per label" * bool(flags),
            f"Name {'them' if flags else 'it'}: columns='"
            + (f"labels={SEPARATOR.join(flags)}'" if flags else f"{missing[0]}=NAME'"),
        )
    used = [column for column in columns.values() if column]
    if twice := next((column for column in used if used.count(column) > 1), ""):
        roles = [role for role in ROLES if columns.get(role) == twice]
        raise InputError(
            f"column {twice} of {table.file} as {' and '.join(roles)}", "a column for each", "Name different columns"
        )
    stated = ", ".join(f"{role} from column {column}" for role, column in columns.items() if column)
    notes = [f"{name}: {stated}"]
    like = [column for column in header if column not in used and _plain(column) in _LIKE_GROUPS]
    if like and not columns["group"]:
        notes.append(f"column {like[0]} of {name} keeps no images together, since it is not named as that of groups")
    return Columns(**columns, notes=tuple(notes))


def _of_truth(header: Sequence[str], rows: Iterable[Sequence[str]], used: Container[str]) -> list[str]:
    """Return the columns that hold 0 and 1 alone, empty cells aside, where there are several of them."""
    values: list[set[str]] = [set() for _ in header]
    for row in rows:
        for column, cell in zip(values, row, strict=False):
            column.add(cell.strip().casefold())
    flags = [
        name
        for name, cells in zip(header, values, strict=True)
        if name not in used and set() < cells - {""} <= {*TRUTH}
    ]
    return flags if len(flags) > 1 and not any("," in name or SEPARATOR in name for name in flags) else []


def _of_labels(table: LabelTable, header: Sequence[str], columns: dict[str, str]) -> Columns:
    """Return the columns of a table in which each label has a column of its own."""
    if table.label:
        raise InputError(
            f"columns='label={table.label},labels={table.labels}'",
            "one column of labels, or a column per label",
            "Leave one of the two out",
        )
    names = [name.strip() for name in table.labels.split(SEPARATOR)]
    wanted = f"columns of {table.file}, named once each, with {SEPARATOR!r} between them"
    for name in names:
        _check_column("labels", name, table, header)
        if names.count(name) > 1 or name in (columns["path"], columns["split"], columns["group"]):
            raise InputError(f"columns='labels={table.labels}', with {name} twice", wanted, "Name each column once")
    if not columns["path"]:
        raise InputError(
            f"{table.file} with columns {some(header)}: none is named like path",
            "a column of paths",
            "Name it: columns='path=NAME'",
        )
    stated = [f"{role} from column {columns[role]}" for role in ("path", "split", "group") if columns[role]]
    note = f"{Path(table.file).name}: {', '.join([*stated, f'labels from columns {some(names)}'])}"
    return Columns(**(columns | {"label": ""}), labels=SEPARATOR.join(names), notes=(note,))


def _named(table: LabelTable, role: str, header: Sequence[str]) -> str:
    column: str = getattr(table, role)
    if column:
        _check_column(role, column, table, header)
    return column


def _check_column(role: str, column: str, table: LabelTable, header: Sequence[str]) -> None:
    if column not in header:
        raise InputError(
            f"columns='{role}={column}', which {table.file} does not have",
            f"one of its columns: {some(header, 20)}",
            did_you_mean(column, header),
        )


def _usual(role: str, header: Sequence[str]) -> str:
    plain = {_plain(column): column for column in reversed(header)}
    return next((plain[usual] for usual in _USUAL[role] if usual in plain), "")


def _plain(column: str) -> str:
    return "".join(sign for sign in column.casefold() if sign.isalnum())


def table_of(stated: Any) -> LabelTable | None:
    """Return the table of which `LabelTable.to_dict` made a document, None for none."""
    return LabelTable(**{key: str(stated[key]) for key in ("file", *ROLES) if key in stated}) if stated else None
