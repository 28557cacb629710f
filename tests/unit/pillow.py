#!/usr/bin/env python3
"""Writes pillow.def: what Pillow makes of pictures of odd sizes, as hashes, for test_resize.c.

    tests/unit/pillow.py [--check]

Needs Pillow and numpy. Versions differ in which axis they filter first (rt_order): the two passes
are called one by one here, and what the installed version does in one call must be one of both.
--check compares the file instead of writing it.
"""

import pathlib
import random
import sys

import numpy
import PIL
from PIL import Image

FILTERS = {"BILINEAR": Image.BILINEAR, "BICUBIC": Image.BICUBIC, "BOX": Image.BOX,
           "HAMMING": Image.HAMMING, "LANCZOS": Image.LANCZOS}
FILE = pathlib.Path(__file__).with_name("pillow.def")


def picture(width, height):
    """The upper bytes of a linear congruential sequence from 1 on; numpy's uint32 wraps."""
    n = width * height * 3
    powers = numpy.multiply.accumulate(numpy.full(n, 1664525, numpy.uint32), dtype=numpy.uint32)
    sums = numpy.cumsum(numpy.concatenate([[1], powers[:-1]]).astype(numpy.uint32), dtype=numpy.uint32)
    state = powers + numpy.uint32(1013904223) * sums
    return Image.fromarray((state >> 24).astype(numpy.uint8).reshape(height, width, 3), "RGB")


def fnv1a(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = ((h ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return h


def resize(image, size, how, pillow13):
    """Image.resize with one axis first, then the other one."""
    down, aside = image.height - size[1], image.width - size[0]
    columns_first = pillow13 and down > 0 and down > 2 * aside
    middle = (image.width, size[1]) if columns_first else (size[0], image.height)
    out = image.resize(middle, how).resize(size, how)
    version = tuple(int(n) for n in PIL.__version__.split(".")[:2])
    if version < (12, 3) and not pillow13 or version >= (13, 0) and pillow13:
        if out.tobytes() != image.resize(size, how).tobytes():
            sys.exit(f"pillow.py: Pillow {PIL.__version__} has another order than rt_order says")
    return out


def fit(image, size, shorter, how, pillow13):
    """torchvision's Resize(shorter) and CenterCrop(size)."""
    w, h = image.size
    new = (shorter, int(shorter * h / w)) if w <= h else (int(shorter * w / h), shorter)
    image = resize(image, new, how, pillow13)
    w, h = image.size
    padded = Image.new("RGB", (max(w, size), max(h, size)))
    padded.paste(image, ((padded.width - w) // 2, (padded.height - h) // 2))
    left, top = (int(round((n - size) / 2.0)) for n in padded.size)
    return padded.crop((left, top, left + size, top + size))


def sizes(rng):
    """Of a picture and of what it becomes: small and large, near and far, odd."""
    side = lambda: rng.choice([rng.randint(1, 9), rng.randint(10, 99), rng.randint(100, 420)]) | 1
    return side(), side(), min(side(), 199), min(side(), 199)


def hashes(make):
    return ", ".join(f"0x{fnv1a(make(pillow13).tobytes()):016x}" for pillow13 in (False, True))


def rows():
    rng = random.Random(8)
    for i in range(200):
        name = list(FILTERS)[i % len(FILTERS)]
        in_w, in_h, w, h = sizes(rng)
        image = picture(in_w, in_h)
        both = hashes(lambda pillow13: resize(image, (w, h), FILTERS[name], pillow13))
        yield f"RESIZE({in_w}, {in_h}, {w}, {h}, RT_{name}, {both})\n"
    for i in range(40):
        name = list(FILTERS)[i % 2]
        in_w, in_h = rng.randint(9, 250), rng.randint(9, 250)
        size = rng.randint(5, 90)
        shorter = max(1, size + rng.randint(-3, 30))
        image = picture(in_w, in_h)
        both = hashes(lambda pillow13: fit(image, size, shorter, FILTERS[name], pillow13))
        yield f"FIT({in_w}, {in_h}, {size}, {shorter}, RT_{name}, {both})\n"


def main(arguments):
    text = "".join([
        "/* pillow.def: FNV-1a (64 bits) of the bytes of Pillow's results; written by pillow.py.\n",
        " *\n",
        " * RESIZE(width, height, new width, new height, filter, hash, hash): Image.resize, rows first and\n",
        " *   in the order of version 13\n",
        " * FIT(width, height, size, shorter side, filter, hash, hash): torchvision's Resize, CenterCrop */\n",
        *rows()])
    if "--check" in arguments:
        return text != FILE.read_text(encoding="utf-8")
    FILE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
