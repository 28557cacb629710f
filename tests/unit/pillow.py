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

import PIL
from PIL import Image

import pictures

FILTERS = {"BILINEAR": Image.BILINEAR, "BICUBIC": Image.BICUBIC, "BOX": Image.BOX,
           "HAMMING": Image.HAMMING, "LANCZOS": Image.LANCZOS}
FILE = pathlib.Path(__file__).with_name("pillow.def")


def picture(width, height):
    return Image.fromarray(pictures.picture(width, height), "RGB")


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


def crop(image, kind, part, how, pillow13):
    """A centred square, as the EfficientNet authors cut it."""
    w, h = image.size
    side = int(min(w, h) * part)
    left, top = (w - side + 1) // 2, (h - side + 1) // 2
    return resize(image.crop((left, top, left + side, top + side)), (kind.width, kind.height), how, pillow13)


def letterbox(image, kind, how, pillow13):
    scale = min(kind.width / image.width, kind.height / image.height)
    size = max(int(image.width * scale), 1), max(int(image.height * scale), 1)
    out = Image.new("RGB", (kind.width, kind.height), kind.mean)
    out.paste(resize(image, size, how, pillow13), (0, 0))
    return out


def any_size(image, kind, pillow13):
    """What one of pictures.KINDS makes of a picture."""
    how = FILTERS[kind.filter.upper()]
    option, value = kind.options[0][2:].split("=")
    if option == "crop":
        return crop(image, kind, float(value), how, pillow13)
    if option == "resize":
        return fit(image, kind.width, int(value), how, pillow13)
    if value == "letterbox":
        return letterbox(image, kind, how, pillow13)
    return resize(image, (kind.width, kind.height), how, pillow13)


def sizes(rng):
    """Of a picture and of what it becomes: small and large, near and far, odd."""
    side = lambda: rng.choice([rng.randint(1, 9), rng.randint(10, 99), rng.randint(100, 420)]) | 1
    return side(), side(), min(side(), 199), min(side(), 199)


def hashes(make):
    return ", ".join(f"0x{pictures.fnv1a(make(pillow13).tobytes()):016x}" for pillow13 in (False, True))


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
    for name, kind in pictures.KINDS.items():
        for in_w, in_h in [*((sizes(rng)[:2]) for _ in range(20)), (2, 300), (300, 2), (57, 400), (400, 57)]:
            in_w, in_h = max(in_w, 2), max(in_h, 2)
            both = hashes(lambda pillow13: any_size(picture(in_w, in_h), kind, pillow13))
            yield f"ANY({name}, {in_w}, {in_h}, {both})\n"


def main(arguments):
    text = "".join([
        "/* pillow.def: FNV-1a (64 bits) of the bytes of Pillow's results; written by pillow.py.\n",
        " *\n",
        " * RESIZE(width, height, new width, new height, filter, hash, hash): Image.resize, rows first and\n",
        " *   in the order of version 13\n",
        " * FIT(width, height, size, shorter side, filter, hash, hash): torchvision's Resize, CenterCrop\n",
        " * ANY(kind, width, height, hash, hash): one of the kinds of pictures.py */\n",
        *rows()])
    if "--check" in arguments:
        return text != FILE.read_text(encoding="utf-8")
    FILE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
