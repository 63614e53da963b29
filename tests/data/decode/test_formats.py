"""Files are recognised by their content, and what is not read is named for what it is."""

from __future__ import annotations

import io
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.pictures import encoded, picture
from residua.data.decode import FORMATS, BadImage, decode
from residua.data.decode import formats as formats_module
from residua.data.decode.formats import VERSION, check_known, format_of

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(60)


@pytest.mark.parametrize(
    ("data", "said", "remedy"),
    [
        (HEIC, "HEIC", 'pip install "residua[heif]"'),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heixmiaf" + bytes(60), "HEIC", 'pip install "residua[heif]"'),
        (b"\xff\x0a" + bytes(60), "JPEG XL", 'pip install "residua[jxl]"'),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(60), "JPEG XL", 'pip install "residua[jxl]"'),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + bytes(60), "a video", "Convert it"),
        (b"8BPS" + bytes(60), "a Photoshop document", "Convert it"),
        (b"\0\0\1\0\1\0\x10\x10\0\0\1\0\x20\0h\4\0\0\x16\0\0\0", "a Windows icon", "Convert it"),
        (b"\0\0\2\0\1\0\x10\x10\0\0\1\0\x08\0h\4\0\0\x16\0\0\0", "a cursor", "Convert it"),
        (bytes(128) + b"DICM" + bytes(60), "a DICOM image", "Convert it"),
        (b"II*\0" + bytes(60), "TIFF", ""),
        (b"II+\0\x08\0\0\0" + bytes(60), "TIFF", ""),
        (b"\x89PNG\r\n\x1a\n" + bytes(60), "PNG", ""),
        (b"GIF89a" + bytes(3), "GIF", ""),
        (b"RIFF\x10\0\0\0WEBPVP8 " + bytes(10), "WEBP", ""),
        (b"\n <!doctype HTML><title>404", "a web page", ""),
        (b"<?xml version='1.0'?><svg/>", "an XML document", ""),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "a pointer of Git LFS", ""),
        (b"P7\nWIDTH 2", "a PAM image", ""),
        (b"some text", 'not an image (it begins with "some tex")', ""),
        (b"\xca\xfe text", "not an image (it begins with the bytes ca fe 20 74 65 78 74)", ""),
        (bytes(100), "not an image", ""),
    ],
)
def test_the_true_cause_is_named(data: bytes, said: str, remedy: str, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(BadImage) as refused:
        decode(tmp_path / "a.jpg")
    assert said in refused.value.reason
    assert remedy in (refused.value.reason if remedy.startswith("pip") else refused.value.remedy)
    assert ("not an image" in refused.value.reason) == said.startswith("not an image")


def test_an_installed_plugin_reads_its_format(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = types.ModuleType("pillow_heif")
    opened = picture(3)

    def register() -> None:
        Image.register_open("HEIF", lambda stream, name: opened)

    plugin.register_heif_opener = register
    plugin.__spec__ = types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "pillow_heif", plugin)
    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    assert np.array_equal(decode(HEIC), np.asarray(picture(3)))


def test_without_support_in_pillow_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(picture(1), "AVIF")
    monkeypatch.setattr(Image, "OPEN", {})
    monkeypatch.setattr(formats_module, "find_spec", lambda module: None)
    with pytest.raises(BadImage, match=r"an AVIF image, which needs .*pip install -U pillow"):
        decode(data)


@pytest.mark.parametrize("form", sorted(set(FORMATS.values()) - {"HEIF", "JXL"}))
def test_formats_are_recognised(form: str) -> None:
    modes = ("RGB",) if form in ("JPEG2000", "AVIF", "WEBP") else ("RGB", "L")
    for mode in modes:
        data = encoded(picture(1).convert(mode), form)
        assert format_of(data) == check_known(data[:64], "") == form


def test_a_tga_of_each_kind_is_recognised() -> None:
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        for rle in (False, True):
            if mode != "1" or not rle:
                assert format_of(encoded(picture(1).convert(mode), "TGA", rle=rle)) == "TGA"


@pytest.mark.parametrize("text", ["P1", "Pictures of ants", "BM", "II", "MM", "\0\0\0\x18", "label,path\nant,1.jpg\n"])
def test_other_files_are_no_images(text: str) -> None:
    assert format_of(text.encode()) == ""


def test_what_pillow_cannot_read_of_a_tiff_is_described() -> None:
    stream = io.BytesIO()
    picture(1).save(stream, "TIFF")
    data = bytearray(stream.getvalue())
    # BitsPerSample stands outside of the directory: 8, 8, 8 become 5, 5, 5.
    place = bytes(data).index(b"\x08\0\x08\0\x08\0")
    data[place : place + 6] = b"\5\0\5\0\5\0"
    with pytest.raises(
        BadImage, match="a TIFF of 3 × 5 bits, unsigned, RGB, little-endian, compression 1, which is not"
    ):
        decode(bytes(data))


def test_the_version_names_the_decoders() -> None:
    assert VERSION.startswith("3, pillow ")
    assert "simplejpeg" in VERSION


def test_reasons_stay_on_one_line() -> None:
    error = BadImage("a.jpg", "corrupt \x1b[2J\n header " + "x" * 1000)
    assert "\x1b" not in error.reason
    assert "\n" not in error.reason
    assert len(error.reason) <= 201


def test_a_damaged_tiff_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(encoded(picture(1, 64, 64), "TIFF", compression="tiff_lzw"))
    data[200:260] = b"\xff" * 60
    with pytest.raises(BadImage, match="TIFF"):
        decode(bytes(data))
    many = bytearray(encoded(picture(1), "TIFF"))
    place = bytes(many).index(b"\x15\x01\x03\0\1\0\0\0\3\0")  # SamplesPerPixel
    many[place + 8 : place + 10] = b"\0\1"
    with pytest.raises(BadImage, match="TIFF"):
        decode(bytes(many))
    assert capfd.readouterr() == ("", "")
