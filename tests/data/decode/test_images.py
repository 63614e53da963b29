"""Every kind of image becomes the same RGB uint8; what is no image is refused with its reason."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.BmpImagePlugin import BmpImageFile

from data.pictures import encoded, picture
from residua.data.decode import FORMATS, MAX_PIXELS, BadImage, EncodedImage, decode, decode_bytes, open_image, size_of


def giant_png(width: int, height: int) -> bytes:
    """Return a PNG whose header states width × height and whose pixels are missing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def test_jpeg_equals_pillow() -> None:
    data = encoded(picture(1, 61, 47), "JPEG", quality=90)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(image.convert("RGB")).astype(int)
    # Two builds of libjpeg-turbo may round a few values differently.
    assert np.abs(decode(data).astype(int) - expected).max() <= 2
    assert decode(data).shape == (61, 47, 3)
    assert decode(data).dtype == np.uint8


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "PPM", "GIF", "WEBP"])
def test_lossless_formats_give_the_pixels(form: str) -> None:
    image = picture(2).quantize(64).convert("RGB")
    options = {"lossless": True} if form == "WEBP" else {}
    assert np.array_equal(decode(encoded(image, form, **options)), np.asarray(image))


@pytest.mark.parametrize("form", sorted(set(FORMATS.values()) - {"AVIF", "HEIF", "JXL"}))
def test_every_format_of_the_table_opens(form: str) -> None:
    assert decode(encoded(picture(2), form)).shape == (24, 32, 3)


@pytest.mark.parametrize("form", ["EPS", "PDF", "ICO", "PCX", "SGI", "ICNS"])
def test_other_formats_are_not_even_tried(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(picture(2), form)
    monkeypatch.setattr("subprocess.Popen", lambda *arguments, **options: pytest.fail("an interpreter was called"))
    monkeypatch.setattr(Image, "open", lambda *arguments, **options: pytest.fail("Pillow was left to choose"))
    with pytest.raises(BadImage, match="which is not read") as refused:
        decode(data, min_side=8)
    assert form in refused.value.reason


def test_several_pictures_in_one_jpeg() -> None:
    data = encoded(picture(1), "MPO", save_all=True, append_images=[picture(2)])
    assert np.array_equal(decode(data), decode(encoded(picture(1), "JPEG")))
    with open_image(data) as image:
        assert image.format == "MPO"


@pytest.mark.parametrize("form", ["GIF", "WEBP", "TIFF", "AVIF"])
def test_of_several_frames_the_first_counts(form: str) -> None:
    options = {"WEBP": {"lossless": True}, "AVIF": {"quality": 100}}.get(form, {})
    first = picture(1).quantize(64).convert("RGB")
    data = encoded(first, form, save_all=True, append_images=[picture(2), picture(3)], **options)
    with open_image(data) as image:
        assert getattr(image, "n_frames", 3) == 3
    assert np.abs(decode(data).astype(int) - np.asarray(first)).mean() <= (0 if form != "AVIF" else 8)


def test_a_first_frame_that_leaves_part_of_the_canvas_free() -> None:
    frame = picture(1, 8, 8).quantize(16)
    data = bytearray(encoded(frame, "GIF"))
    # A canvas of 20 × 10 pixels, and the frame moved to (6, 1).
    data[6:10] = struct.pack("<HH", 20, 10)
    place = data.index(b"\x2c")
    data[place + 1 : place + 5] = struct.pack("<HH", 6, 1)
    pixels = decode(bytes(data))
    assert pixels.shape == (10, 20, 3)
    assert np.array_equal(pixels[1:9, 6:14], np.asarray(frame.convert("RGB")))


def test_grey_is_repeated() -> None:
    grey = picture(3).convert("L")
    for form in ("PNG", "JPEG"):
        pixels = decode(encoded(grey, form))
        assert np.array_equal(pixels[..., 0], pixels[..., 1])
        assert np.array_equal(pixels[..., 0], pixels[..., 2])
    assert np.array_equal(decode(encoded(grey, "PNG"))[..., 0], np.asarray(grey))


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_16_bit_grey_keeps_its_upper_byte(form: str) -> None:
    values = np.arange(0, 65536, 64, dtype=np.uint16).reshape(32, 32)
    pixels = decode(encoded(Image.fromarray(values), form))
    assert np.array_equal(pixels[..., 1], (values >> 8).astype(np.uint8))


def test_one_bit_becomes_black_and_white() -> None:
    assert set(np.unique(decode(encoded(picture(4).convert("1"), "PNG")))) == {0, 255}


def test_transparency_is_laid_over_white() -> None:
    image = picture(5).convert("RGBA")
    alpha = np.zeros((24, 32), np.uint8)
    alpha[:, 16:] = 255
    image.putalpha(Image.fromarray(alpha))
    pixels = decode(encoded(image, "PNG"))
    assert (pixels[:, :16] == 255).all()
    assert np.array_equal(pixels[:, 16:], np.asarray(picture(5))[:, 16:])
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    assert (decode(encoded(palette, "PNG")) == (40, 50, 60)).all()
    assert (decode(encoded(palette, "PNG", transparency=1)) == 255).all()


def test_cmyk_jpeg_equals_pillow() -> None:
    data = encoded(picture(6).convert("CMYK"), "JPEG")
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "CMYK"
        assert np.array_equal(decode(data), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_orientation_is_applied(orientation: int, form: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(7), form, exif=exif)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image)).astype(int)
    assert EncodedImage(data).orientation == orientation
    assert decode(data).shape == expected.shape
    assert np.abs(decode(data).astype(int) - expected).max() <= 2


def test_orientation_out_of_range_is_ignored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 77
    assert decode(encoded(picture(7), "JPEG", exif=exif)).shape == (24, 32, 3)


@pytest.mark.parametrize("orientation", [1, 6])
def test_reduced_scale_keeps_the_shorter_side(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(8, 400, 600), "JPEG", exif=exif)
    whole, part = decode(data), decode(data, min_side=90)
    assert 90 <= min(part.shape[:2]) < 200
    assert part.shape[0] / part.shape[1] == pytest.approx(whole.shape[0] / whole.shape[1], rel=0.02)
    wide = decode_bytes(data, min_size=(10, 290))
    assert wide.shape[1] >= 290
    assert min(decode(data, min_side=350).shape[:2]) == 400


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_truncated_is_refused(form: str, tmp_path: Path) -> None:
    data = encoded(picture(9, 120, 160), form)
    file = tmp_path / f"half.{form.lower()}"
    for share in (0.2, 0.5, 0.9):
        file.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(BadImage, match=r"half\."):
            decode(file)


def test_a_jpeg_without_its_last_bytes_is_refused() -> None:
    data = encoded(picture(9, 120, 160), "JPEG")
    with pytest.raises(BadImage, match="truncated JPEG"):
        decode(data[:-40])


@pytest.mark.parametrize("filling", [b"\x00", b"\xaa", b"\xff"])
@pytest.mark.parametrize("image", ["smooth", "noise"])
def test_a_jpeg_with_a_hole_is_refused(image: str, filling: bytes) -> None:
    image_of = {"smooth": picture(9, 240, 320)}
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8))
    data = bytearray(encoded(image_of.get(image, noise), "JPEG", quality=95))
    middle = len(data) // 2
    data[middle : middle + 200] = filling * 200
    with pytest.raises(BadImage, match="corrupt JPEG"):
        decode(bytes(data))


def test_a_jpeg_with_a_few_bytes_after_its_pixels_is_harmless() -> None:
    data = encoded(picture(9), "JPEG")
    assert np.array_equal(decode(data[:-2] + b"\x01\x02" + data[-2:]), decode(data))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"only some text, called .jpg", "not an image"),
        (b"\xff\xd8\xff\xe0 and then nothing", "corrupt JPEG|truncated JPEG"),
        (b"\x89PNG\r\n\x1a\n", "not an image|corrupt"),
        (b"GIF89a", "not an image|corrupt|truncated"),
    ],
)
def test_what_is_no_image_is_refused(content: bytes, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(content)
    with pytest.raises(BadImage, match=reason) as caught:
        decode(file)
    assert caught.value.name == str(file)
    assert caught.value.exit_code == 2


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_noise_never_raises_anything_else() -> None:
    noise = np.random.default_rng(0)
    sound = [encoded(picture(1), form) for form in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP")]
    for trial in range(600):
        data = bytearray(sound[trial % len(sound)])
        for _ in range(4):
            data[noise.integers(len(data))] = noise.integers(256)
        with contextlib.suppress(BadImage):
            assert decode(bytes(data)).dtype == np.uint8


@pytest.mark.parametrize("size", [(20_000, 20_000), (10_001, 10_000), (100_000_001, 1)])
def test_giants_are_refused_from_the_header(size: tuple[int, int]) -> None:
    data = giant_png(*size)
    tracemalloc.start()
    with pytest.raises(BadImage, match="million pixels"):
        decode(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
    assert size[0] * size[1] > MAX_PIXELS


def test_a_giant_jpeg_is_refused_from_the_header() -> None:
    data = bytearray(encoded(picture(1), "JPEG"))
    start = data.index(b"\xff\xc0")
    data[start + 5 : start + 9] = struct.pack(">HH", 20_000, 20_000)
    with pytest.raises(BadImage, match="400 million pixels"):
        decode(bytes(data))
    with pytest.raises(BadImage, match="400 million pixels"):
        size_of(bytes(data))


def test_missing_and_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadImage, match="cannot be read"):
        decode(tmp_path / "gone.jpg")
    (tmp_path / "folder.jpg").mkdir()
    with pytest.raises(BadImage, match="cannot be read"):
        decode(tmp_path / "folder.jpg")


def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "secret.jpg"
    picture(1).save(file)
    file.chmod(0)
    if os.geteuid() != 0:
        with pytest.raises(BadImage, match="cannot be read"):
            decode(file)
        return
    for folder in [tmp_path, *tmp_path.parents][:3]:
        folder.chmod(0o755)
    # The superuser may read everything: the question is put as somebody else.
    code = (
        "import os, sys; from residua.data.decode import BadImage, decode; from pathlib import Path\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "try: decode(Path(sys.argv[1]))\n"
        "except BadImage as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True)
    assert "cannot be read (Permission denied)" in done.stdout


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("frame 0"), SystemError("tile"), AssertionError(), struct.error("unpack"), zlib.error("-3"),
        RecursionError(), ZeroDivisionError(), UnicodeDecodeError("ascii", b"\xff", 0, 1, "no"), NotImplementedError(),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
@pytest.mark.parametrize("where", ["open", "load"])
def test_whatever_a_decoder_raises_is_the_file_s_fault(
    error: Exception, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    data = encoded(picture(1), "BMP")
    decode(data)
    monkeypatch.setattr(BmpImageFile, "_open" if where == "open" else "load", fail)
    with pytest.raises(BadImage, match=r"corrupt .*BMP \("):
        decode(data)


def test_an_interruption_is_no_file_s_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(BmpImageFile, "load", stop)
    with pytest.raises(KeyboardInterrupt):
        decode(encoded(picture(1), "BMP"))


def test_floating_point_pixels_are_refused() -> None:
    data = encoded(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF")
    with pytest.raises(BadImage, match="floating-point"):
        decode(data)


def test_the_error_survives_a_process_boundary() -> None:
    error = pickle.loads(pickle.dumps(BadImage("a.jpg", "empty")))
    assert (error.name, error.reason, str(error)) == ("a.jpg", "empty", str(BadImage("a.jpg", "empty")))
