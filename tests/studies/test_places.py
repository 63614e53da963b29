"""What travels names files without the folders of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from residua.studies.places import last_part, name_of, without_places


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("/home/ann/photos/cat/1.jpg is corrupt", "1.jpg is corrupt"),
        ("no folder /srv/data/", "no folder …"),
        ("see (/tmp/x/logs/a.txt)", "see (a.txt)"),
        ("runs/a and ../b/c", "runs/a and ../b/c"),
        ("12 images/s, yes/no, 1/2", "12 images/s, yes/no, 1/2"),
        ("https://host/path/file.tar", "https://host/path/file.tar"),
        ("'/mnt/disk one/photos/cat/1.jpg' is corrupt", "'photos/cat/1.jpg' is corrupt"),
    ],
)
def test_absolute_paths_become_their_last_part(text: str, wanted: str) -> None:
    assert without_places(text, ["/mnt/disk one/photos", None]) == wanted


def test_a_path_is_as_typed_or_its_last_part() -> None:
    assert last_part("photos/a") == "photos/a"
    assert last_part("/srv/photos") == "photos"
    assert last_part("https://ann:pw@host/a.tar?X-Amz-Signature=1") == "https://host/a.tar"
    assert name_of("photos/a") == "a"
    assert name_of("digits") == "digits"
    assert name_of(".") == Path.cwd().name
    assert name_of("https://ann:pw@host/a.tar?X-Amz-Signature=1") == "https://host/a.tar"
