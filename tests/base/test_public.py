"""What travels names files without the folders of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from residua._base.public import public_name, public_path, public_text, public_within


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
def test_absolute_paths_become_their_public_path(text: str, wanted: str) -> None:
    assert public_text(text, ["/mnt/disk one/photos", None]) == wanted


def test_a_path_is_as_typed_or_its_public_path() -> None:
    assert public_path("photos/a") == "photos/a"
    assert public_path("/srv/photos") == "photos"
    assert public_path("https://ann:pw@host/a.tar?X-Amz-Signature=1") == "https://host/a.tar"
    assert public_name("photos/a") == "a"
    assert public_name("digits") == "digits"
    assert public_name(".") == Path.cwd().name
    assert public_name("https://ann:pw@host/a.tar?X-Amz-Signature=1") == "https://host/a.tar"
    assert public_name("") == ""
    assert public_name("timm:resnet18.a1_in1k") == "timm:resnet18.a1_in1k"


def test_files_are_named_relative_to_their_folder() -> None:
    note = "/srv/photos/cat/1.jpg and /srv/photos, not /srv/photos2/a.jpg or x/srv/photos"
    wanted = "cat/1.jpg and photos, not /srv/photos2/a.jpg or x/srv/photos"
    assert public_within(note, ("/srv/photos", ""), "photos") == wanted
    assert public_within(note, ("", "/"), "photos") == note
