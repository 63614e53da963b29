"""The budget counts what each decoder takes: the peak of a process's memory beside what was leased."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# In a process of its own, whose peak can be reset: encode, then decode while the leases are noted.
PROGRAM = """
import json, os, sys
from pathlib import Path
import numpy as np
from PIL import Image
from residua.data.decode.budget import BUDGET
from residua.data.decode.images import decode_bytes

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])

tile = np.random.default_rng(0).integers(90, 120, (60, 80, 3), dtype=np.uint8)
image = Image.fromarray(np.tile(tile, (40, 40, 1)))  # 3200 x 2400
alpha = image.convert("RGBA")
alpha.putalpha(200)
turned = Image.Exif()
turned[274] = 6
forms = {
    "JPEG": (image, {}),
    "JPEG progressive": (image, {"progressive": True, "subsampling": 0}),
    "JPEG CMYK": (image.convert("CMYK"), {}),
    "JPEG CMYK progressive": (image.convert("CMYK"), {"progressive": True}),
    "PNG": (image, {"compress_level": 1}),
    "PNG alpha": (alpha, {"compress_level": 1}),
    "PNG turned": (image, {"compress_level": 1, "exif": turned}),
    "WEBP": (image, {"quality": 50, "method": 0}),
    "WEBP lossless": (image, {"lossless": True, "quality": 0, "method": 0}),
    "WEBP alpha": (alpha, {"quality": 50, "method": 0}),
    "AVIF": (image, {"speed": 10}),
    "TIFF": (image, {}),
    "TIFF lzw": (image, {"compression": "tiff_lzw"}),
    "BMP": (image, {}),
    "GIF": (image.quantize(16), {}),
}
leased, take = [], BUDGET._take
BUDGET._take = lambda size: (leased.append(size), take(size))
folder = Path(sys.argv[1])

def encode(number, source, form, options):
    for part, each in (("small", source.crop((0, 0, 64, 64))), ("large", source)):
        each.save(folder / f"{number}.{part}", form, **options)

def decode(number, name):
    decode_bytes((folder / f"{number}.small").read_bytes())  # its module and tables are loaded
    data = (folder / f"{number}.large").read_bytes()
    leased.clear()
    Path("/proc/self/clear_refs").write_text("5")
    before = peak()
    decode_bytes(data)
    print(json.dumps([name, peak() - before, sum(leased)]), flush=True)

def in_child(work, *arguments):
    # Of its own each, so that nothing is decoded into memory that was freed before.
    child = os.fork()
    if child == 0:
        try:
            work(*arguments)
        except (KeyError, OSError):  # this Pillow writes no AVIF
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

for number, (name, (source, options)) in enumerate(forms.items()):
    if in_child(encode, number, source, name.split()[0], options):
        assert in_child(decode, number, name)
"""


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the peak of a process cannot be reset")
def test_what_is_leased_covers_what_is_taken(tmp_path: Path) -> None:
    source = str(Path(__file__).parents[3] / "src")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": source}
    words = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) >= 14
    # A conversion works in bands: up to 25 MB with alpha, whatever the size.
    band = 28 << 20
    uncounted = [row for row in rows if row[1] > row[2] + band]
    assert uncounted == []
    # Nor is so much counted that others would wait for nothing.
    assert [row for row in rows if row[2] > 2 * row[1]] == []
