"""Small files of every mode, depth, photometric interpretation and alpha, with the 8-bit pixels that each must give."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageCms

from data.decode.handmade import Samples, bmp, chunk, packed, png, tga, tiff
from data.pictures import picture

TRUTH = np.asarray(picture(3, 9, 14)).astype(np.int64)
GREY = np.asarray(picture(3, 9, 14).convert("L")).astype(np.int64)[..., None]
ALPHA = np.zeros_like(GREY)
ALPHA[:, 3:8], ALPHA[:, 8:] = 128, 255
PALETTE = np.asarray([[250, 10, 20], [30, 240, 50], [60, 70, 230], [90, 90, 0]], np.int64)
INDICES = np.arange(9 * 14, dtype=np.int64).reshape(9, 14, 1) % 4
LOOKED_UP = PALETTE[INDICES[..., 0]]
Case = tuple[str, bytes, Samples, float]
"""Name, file, the pixels that it must give, and the largest difference of one value."""


def deep(samples: Samples, bits: int) -> Samples:
    """Scale 0..255 to 0..2^bits - 1."""
    return np.rint(samples * ((1 << bits) - 1) / 255).astype(np.int64)


def shallow(samples: Samples, bits: int) -> Samples:
    """Return what is left of 0..255 in `bits` bits, as 0..255."""
    return np.rint(deep(samples, bits) * 255 / ((1 << bits) - 1)).astype(np.int64)


def over_white(colours: Samples, alpha: Samples = ALPHA) -> Samples:
    return np.rint((colours * alpha + 255 * (255 - alpha)) / 255).astype(np.int64)


def rgb(grey: Samples) -> Samples:
    return np.repeat(grey, 3, axis=2) if grey.shape[2] == 1 else grey


def with_alpha(samples: Samples) -> Samples:
    return np.concatenate([samples, ALPHA], axis=2)


def png_cases() -> Iterator[Case]:
    for interlaced in (False, True):
        tail = ", interlaced" if interlaced else ""
        for bits in (1, 2, 4, 8, 16):
            grey = deep(GREY, bits)
            yield f"grey {bits}{tail}", png(grey, bits, 0, interlaced=interlaced), rgb(shallow(GREY, bits)), 0
            key = int(grey[4, 7, 0])
            keyed = np.where(grey == key, 255, shallow(GREY, bits))
            data = png(grey, bits, 0, chunk(b"tRNS", key.to_bytes(2, "big")), interlaced=interlaced)
            yield f"grey {bits} with a transparent value{tail}", data, rgb(keyed), 0
        for bits in (8, 16):
            yield f"rgb {bits}{tail}", png(deep(TRUTH, bits), bits, 2, interlaced=interlaced), TRUTH, 0
            key = b"".join(int(value).to_bytes(2, "big") for value in deep(TRUTH, bits)[4, 7])
            keyed = np.where((TRUTH[4, 7] == TRUTH).all(2, keepdims=True), 255, TRUTH)
            data = png(deep(TRUTH, bits), bits, 2, chunk(b"tRNS", key), interlaced=interlaced)
            yield f"rgb {bits} with a transparent colour{tail}", data, keyed, 0
            data = png(deep(with_alpha(GREY), bits), bits, 4, interlaced=interlaced)
            yield f"grey and alpha {bits}{tail}", data, rgb(over_white(GREY)), 1
            data = png(deep(with_alpha(TRUTH), bits), bits, 6, interlaced=interlaced)
            yield f"rgb and alpha {bits}{tail}", data, over_white(TRUTH), 1
        for bits in (2, 4, 8):
            plte = chunk(b"PLTE", PALETTE.astype(np.uint8).tobytes())
            yield f"palette {bits}{tail}", png(INDICES, bits, 3, plte, interlaced=interlaced), LOOKED_UP, 0
            trns = chunk(b"tRNS", bytes([255, 0, 128]))
            seen = over_white(LOOKED_UP, np.asarray([255, 0, 128, 255])[INDICES])
            yield f"palette {bits} with alpha{tail}", png(INDICES, bits, 3, plte + trns, interlaced=interlaced), seen, 1
    ones = np.asarray([[1, 2, 3], [250, 240, 230]])[INDICES[..., 0] % 2]
    plte = chunk(b"PLTE", bytes([1, 2, 3, 250, 240, 230]))
    yield "palette 1", png(INDICES % 2, 1, 3, plte), ones, 0
    for bits in (8, 10, 12):
        low = deep(GREY, bits)
        yield f"{bits} bits unscaled in 16 by sBIT", png(low, 16, 0, chunk(b"sBIT", bytes([bits]))), rgb(GREY), 0
        high = low << 16 - bits
        yield f"{bits} bits scaled to 16 by sBIT", png(high, 16, 0, chunk(b"sBIT", bytes([bits]))), rgb(GREY), 0
        dark = low >> 8 << 16 - bits
        yield f"dark, {bits} bits scaled", png(dark, 16, 0, chunk(b"sBIT", bytes([bits]))), rgb(dark >> 8), 0
        sbit = chunk(b"sBIT", bytes([bits] * 3))
        low = deep(TRUTH, bits)
        key = chunk(b"tRNS", b"".join(int(value).to_bytes(2, "big") for value in low[4, 7]))
        keyed = np.where((TRUTH[4, 7] == TRUTH).all(2, keepdims=True), 255, TRUTH)
        for interlaced in (False, True):
            tail = f", {bits} bits{', interlaced' * interlaced}"
            yield f"rgb unscaled{tail}", png(low, 16, 2, sbit, interlaced=interlaced), TRUTH, 0
            yield f"rgb scaled{tail}", png(low << 16 - bits, 16, 2, sbit, interlaced=interlaced), TRUTH, 0
            data = png(low, 16, 2, sbit + key, interlaced=interlaced)
            yield f"rgb unscaled with a transparent colour{tail}", data, keyed, 0
            for colour, samples in ((4, GREY), (6, TRUTH)):
                four = chunk(b"sBIT", bytes([bits] * (colour - 2)))
                seen = rgb(over_white(samples))
                both = deep(with_alpha(samples), bits)
                data = png(both, 16, colour, four, interlaced=interlaced)
                yield f"colour type {colour} unscaled{tail}", data, seen, 1
                data = png(both << 16 - bits, 16, colour, four, interlaced=interlaced)
                yield f"colour type {colour} scaled{tail}", data, seen, 1
                full = np.concatenate([deep(samples, bits), deep(ALPHA, 16)], axis=2)
                apart = chunk(b"sBIT", bytes([bits] * (colour - 3) + [16]))
                data = png(full, 16, colour, apart, interlaced=interlaced)
                yield f"colour type {colour} unscaled but for alpha{tail}", data, seen, 1


def tiff_cases() -> Iterator[Case]:
    ramp = {"order": "<"}, {"order": ">"}, {"rows_per_strip": 4}, {"deflate": True}, {"order": ">", "deflate": True}
    for how in ramp:
        tail = "".join(f", {name}={value}" for name, value in how.items())
        for bits in (1, 2, 4, 8, 12, 16):
            for photometric in (0, 1):
                grey = deep(GREY, bits)
                stored = grey if photometric else (1 << bits) - 1 - grey
                data = tiff(stored, bits, photometric, **how)
                yield f"grey {bits}, photometric {photometric}{tail}", data, rgb(shallow(GREY, bits)), 0
        for bits in (8, 16):
            yield f"rgb {bits}{tail}", tiff(deep(TRUTH, bits), bits, 2, **how), TRUTH, 0
            planar = tiff(deep(TRUTH, bits), bits, 2, planar=True, **how)
            yield f"rgb {bits} planar{tail}", planar, TRUTH, 0
            for extra, seen in ((0, TRUTH), (1, None), (2, over_white(TRUTH))):
                colours = TRUTH
                if extra == 1:
                    colours = np.rint(TRUTH * ALPHA / 255).astype(np.int64)
                    seen = over_white(TRUTH)
                four = deep(with_alpha(colours), bits)
                data = tiff(four, bits, 2, tags={338: (3, [extra])}, **how)
                yield f"rgb {bits} and extra samples {extra}{tail}", data, seen, 2
            cmyk = np.concatenate([255 - TRUTH, np.zeros_like(GREY)], axis=2)
            yield f"cmyk {bits}{tail}", tiff(deep(cmyk, bits), bits, 5, **how), TRUTH, 0
        for bits in (2, 4, 8):
            table = np.zeros((3, 1 << bits), np.int64)
            table[:, :4] = PALETTE.T * 257
            tags = {320: (3, table.ravel().tolist())}
            yield f"palette {bits}{tail}", tiff(INDICES, bits, 3, tags=tags, **how), LOOKED_UP, 0
        for extra, seen in ((0, GREY), (2, over_white(GREY))):
            data = tiff(with_alpha(GREY), 8, 1, tags={338: (3, [extra])}, **how)
            yield f"grey and extra sample {extra}{tail}", data, rgb(seen), 1
        premultiplied = np.concatenate([np.rint(GREY * ALPHA / 255).astype(np.int64), ALPHA], axis=2)
        data = tiff(premultiplied, 8, 1, tags={338: (3, [1])}, **how)
        yield f"grey and associated alpha{tail}", data, rgb(over_white(GREY)), 2
        for top in (8, 10, 12, 14):
            most = {281: (3, [(1 << top) - 1])}
            yield f"rgb, {top} bits in 16{tail}", tiff(deep(TRUTH, top), 16, 2, tags=most, **how), TRUTH, 0
            cmyk = np.concatenate([255 - TRUTH, np.zeros_like(GREY)], axis=2)
            yield f"cmyk, {top} bits in 16{tail}", tiff(deep(cmyk, top), 16, 5, tags=most, **how), TRUTH, 0
            for extra, colours, seen in (
                (0, TRUTH, TRUTH),
                (1, np.rint(TRUTH * ALPHA / 255).astype(np.int64), over_white(TRUTH)),
                (2, TRUTH, over_white(TRUTH)),
            ):
                data = tiff(deep(with_alpha(colours), top), 16, 2, tags={338: (3, [extra]), **most}, **how)
                yield f"rgb, {top} bits in 16, extra samples {extra}{tail}", data, seen, 2
            full = np.concatenate([deep(TRUTH, top), deep(ALPHA, 16)], axis=2)
            data = tiff(full, 16, 2, tags={338: (3, [2]), **most}, **how)
            yield f"rgb, {top} bits in 16, alpha of 16{tail}", data, over_white(TRUTH), 1
    for bits in (1, 2, 4, 8):
        data = tiff(deep(GREY, bits), bits, 1, reversed_bits=True)
        yield f"grey {bits}, lowest bit first", data, rgb(shallow(GREY, bits)), 0
    for top in (10, 12, 14):
        tags = {281: (3, [(1 << top) - 1])}
        yield f"{top} bits in 16 by MaxSampleValue", tiff(deep(GREY, top), 16, 1, tags=tags), rgb(GREY), 0
        inverted = (1 << top) - 1 - deep(GREY, top)
        yield f"{top} bits in 16, white is zero", tiff(inverted, 16, 0, tags=tags), rgb(GREY), 0
    measured = tiff(deep(GREY, 16), 16, 1, tags={281: (3, [60_001])})
    yield "MaxSampleValue that was measured is no range", measured, rgb(GREY), 0
    signed = tiff(deep(GREY, 15), 16, 1, tags={339: (3, [2])})
    yield "signed 16 bits", signed, rgb(GREY), 0
    yield "unsigned 32 bits of 16", tiff(deep(GREY, 16), 32, 1), rgb(GREY), 0
    for order in "<>":
        content = (GREY / 255).astype(f"{order}f4").tobytes()
        tags = {339: (3, [3]), 340: (11, [0.0]), 341: (11, [1.0])}
        data = tiff(GREY, 32, 1, order=order, tags=tags, content=content)
        yield f"floating point of a declared range, {order}", data, rgb(GREY), 0
        data = tiff(GREY, 32, 0, order=order, tags=tags, content=(1 - GREY / 255).astype(f"{order}f4").tobytes())
        yield f"floating point, white is zero, {order}", data, rgb(GREY), 0
    # Of saturated colours, 8 bits of LAB keep less.
    muted = TRUTH // 2 + 64
    lab = ImageCms.applyTransform(
        Image.fromarray(muted.astype(np.uint8)),
        ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"),
    )
    stream = io.BytesIO()
    lab.save(stream, "TIFF")
    yield "lab", stream.getvalue(), muted, 6
    ycc = np.asarray(Image.fromarray(TRUTH.astype(np.uint8)).convert("YCbCr")).astype(np.int64)
    yield "YCbCr", tiff(ycc, 8, 6, tags={530: (3, [1, 1])}), TRUTH, 3


def bmp_cases() -> Iterator[Case]:
    def rows(samples: Samples, bits: int) -> list[bytes]:
        return [packed(samples[y : y + 1], bits) for y in range(len(samples))]

    bgr = TRUTH[..., ::-1]
    for top_down in (False, True):
        tail = ", top down" if top_down else ""
        yield f"rgb 24{tail}", bmp(rows(bgr, 8), 14, 24, top_down=top_down), TRUTH, 0
        unused = np.concatenate([bgr, np.zeros_like(GREY)], axis=2)
        full = np.concatenate([bgr, np.full_like(GREY, 255)], axis=2)
        masks = (0xFF0000, 0xFF00, 0xFF)
        for name, four in (("zero", unused), ("full", full)):
            yield f"rgb 32, fourth byte {name}{tail}", bmp(rows(four, 8), 14, 32, top_down=top_down), TRUTH, 0
            for header in (108, 124):
                for alpha in (0, 0xFF000000):
                    data = bmp(rows(four, 8), 14, 32, header=header, masks=(*masks, alpha), top_down=top_down)
                    yield f"rgb 32, header {header}, mask {alpha:x}, fourth byte {name}{tail}", data, TRUTH, 0
        four = np.concatenate([bgr, ALPHA], axis=2)
        data = bmp(rows(four, 8), 14, 32, header=124, masks=(*masks, 0xFF000000), top_down=top_down)
        yield f"rgb and alpha{tail}", data, over_white(TRUTH), 1
        four = np.concatenate([TRUTH, ALPHA], axis=2)
        data = bmp(rows(four, 8), 14, 32, header=108, masks=(0xFF, 0xFF00, 0xFF0000, 0xFF000000), top_down=top_down)
        yield f"red first, and alpha{tail}", data, over_white(TRUTH), 1
        for place in (0, 1):
            shifted = tuple(0xFF << 8 * (place + c) for c in range(3))
            for filling in (0, 255):
                four = np.insert(TRUTH, 3 if place == 0 else 0, filling, axis=2)
                for header in (40, 52, 56, 108, 124):
                    with_masks = (*shifted, 0) if header >= 56 else shifted
                    data = bmp(rows(four, 8), 14, 32, header=header, masks=with_masks, top_down=top_down)
                    yield f"red at byte {place}, header {header}, unused byte {filling}{tail}", data, TRUTH, 0
        four = np.concatenate([ALPHA, TRUTH], axis=2)
        data = bmp(rows(four, 8), 14, 32, header=124, masks=(0xFF00, 0xFF0000, 0xFF000000, 0xFF), top_down=top_down)
        yield f"alpha first{tail}", data, over_white(TRUTH), 1
        r, g, b = (deep(TRUTH[..., c], 5) for c in range(3))
        five = [row.astype("<u2").tobytes() for row in r << 10 | g << 5 | b]
        yield f"rgb 5, 5, 5{tail}", bmp(five, 14, 16, top_down=top_down), shallow(TRUTH, 5), 4
        six = [row.astype("<u2").tobytes() for row in r << 11 | deep(TRUTH[..., 1], 6) << 5 | b]
        data = bmp(six, 14, 16, header=108, masks=(0xF800, 0x7E0, 0x1F, 0), top_down=top_down)
        yield f"rgb 5, 6, 5{tail}", data, TRUTH, 8
        table = b"".join(bytes([*entry[::-1], 0]) for entry in PALETTE.tolist())
        for bits in (4, 8):
            data = bmp(rows(INDICES, bits), 14, bits, palette=table, top_down=top_down)
            yield f"palette {bits}{tail}", data, LOOKED_UP, 0
        data = bmp(rows(INDICES % 2, 1), 14, 1, palette=table[:8], top_down=top_down)
        yield f"palette 1{tail}", data, PALETTE[INDICES[..., 0] % 2], 0
    grey = b"".join(bytes([v, v, v, 0]) for v in range(256))
    yield "grey 8", bmp(rows(GREY, 8), 14, 8, palette=grey), rgb(GREY), 0
    table = b"".join(bytes(entry[::-1]) for entry in [*PALETTE.tolist(), *[[0, 0, 0]] * 252])
    yield "palette 8 of OS/2", bmp(rows(INDICES, 8), 14, 8, header=12, palette=table), LOOKED_UP, 0
    table = b"".join(bytes([*entry[::-1], 0]) for entry in PALETTE.tolist())
    runs = b"".join(b"".join(bytes([1, i]) for i in row) + b"\0\0" for row in INDICES[::-1, :, 0].tolist()) + b"\0\1"
    yield "run lengths", bmp([b""] * 9, 14, 8, palette=table, compression=1, body=runs), LOOKED_UP, 0


def tga_cases() -> Iterator[Case]:
    def rows(samples: Samples) -> list[bytes]:
        return [row.astype(np.uint8).tobytes() for row in samples]

    bgr = TRUTH[..., ::-1]
    unused = np.concatenate([bgr, np.zeros_like(GREY)], axis=2)
    noise = np.concatenate([bgr, ALPHA], axis=2)
    for kind in (2, 10):
        for origin in (0x20, 0):
            for turned in (False, True):
                how = {"origin": origin, "right_to_left": turned}
                tail = f", kind {kind}, origin {origin}{', right to left' * turned}"
                yield f"rgb 24{tail}", tga(rows(bgr), 14, 24, kind, **how), TRUTH, 0
                for attributes in (0, 8):
                    data = tga(rows(unused), 14, 32, kind, attributes=attributes, **how)
                    yield f"rgb 32, fourth byte zero, {attributes} bits of alpha{tail}", data, TRUTH, 0
                yield f"rgb 32, no bits of alpha{tail}", tga(rows(noise), 14, 32, kind, **how), TRUTH, 0
                data = tga(rows(noise), 14, 32, kind, attributes=8, **how)
                yield f"rgb and alpha{tail}", data, over_white(TRUTH), 1
                yield f"grey 8{tail}", tga(rows(GREY), 14, 8, kind + 1, **how), rgb(GREY), 0
                data = tga(rows(with_alpha(GREY)), 14, 16, kind + 1, attributes=8, **how)
                yield f"grey and alpha{tail}", data, rgb(over_white(GREY)), 1
                r, g, b = (deep(TRUTH[..., c], 5) for c in range(3))
                five = [row.astype("<u2").tobytes() for row in r << 10 | g << 5 | b]
                yield f"rgb 5, 5, 5{tail}", tga(five, 14, 16, kind, **how), shallow(TRUTH, 5), 4
                for bits, table in (
                    (24, b"".join(bytes(entry[::-1]) for entry in PALETTE.tolist())),
                    (32, b"".join(bytes([*entry[::-1], 0]) for entry in PALETTE.tolist())),
                ):
                    data = tga(rows(INDICES), 14, 8, kind - 1, colour_map=table, map_bits=bits, **how)
                    yield f"palette of {bits} bits{tail}", data, LOOKED_UP, 0


def pnm_cases() -> Iterator[Case]:
    for maximum in (1, 15, 100, 255, 1023, 4095, 65535):
        wide = maximum > 255
        for plain, binary, samples, seen in (("P2", "P5", GREY, rgb(GREY)), ("P3", "P6", TRUTH, TRUTH)):
            values = np.rint(samples * maximum / 255).astype(np.int64)
            seen = seen if wide else rgb(np.rint(values * 255 / maximum).astype(np.int64))
            head = f"14 9\n{maximum}\n"
            text = "\n".join(" ".join(map(str, row)) for row in values.reshape(9, -1).tolist())
            yield f"{plain}, {maximum}", f"{plain}\n# a comment\n{head}{text}\n".encode(), seen, 1
            body = values.astype(">u2" if wide else "u1").tobytes()
            yield f"{binary}, {maximum}", f"{binary} {head}".encode() + body, seen, 1
    ones = (GREY > 127).astype(np.int64)
    text = "\n".join("".join(map(str, row)) for row in (1 - ones[..., 0]).tolist())
    yield "P1", f"P1\n14 9\n{text}\n".encode(), rgb(ones * 255), 0
    yield "P4", b"P4\n14 9\n" + packed(1 - ones, 1), rgb(ones * 255), 0


CASES = {
    f"{form}: {name}": (data, seen, allowed)
    for form, cases in (
        ("PNG", png_cases()), ("TIFF", tiff_cases()), ("BMP", bmp_cases()), ("TGA", tga_cases()), ("PNM", pnm_cases()),
    )
    for name, data, seen, allowed in cases
}  # fmt: skip
