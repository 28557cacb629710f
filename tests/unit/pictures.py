"""The pictures of pillow.def, and what they are made into, for pillow.py and the tests that read it."""

import dataclasses

import numpy


def picture(width, height):
    """[height][width][3]: the upper bytes of a linear congruential sequence from 1 on; numpy's uint32
    wraps."""
    n = width * height * 3
    powers = numpy.multiply.accumulate(numpy.full(n, 1664525, numpy.uint32), dtype=numpy.uint32)
    sums = numpy.cumsum(numpy.concatenate([[1], powers[:-1]]).astype(numpy.uint32), dtype=numpy.uint32)
    state = powers + numpy.uint32(1013904223) * sums
    return (state >> 24).astype(numpy.uint8).reshape(height, width, 3)


def fnv1a(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = ((h ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return h


@dataclasses.dataclass
class Kind:
    """How pictures of any size become width x height: options of effnetc, which test_resize.c has as
    members of rt_preprocess."""
    width: int
    height: int
    filter: str
    options: tuple
    mean: tuple = (0, 0, 0)


KINDS = {
    "stretch": Kind(37, 23, "bicubic", ("--fit=stretch",)),
    "crop": Kind(24, 24, "bicubic", ("--crop=0.875",)),
    "resize": Kind(28, 28, "bilinear", ("--resize=32",)),
    "padded": Kind(24, 24, "box", ("--resize=19",)),
    "letterbox": Kind(40, 30, "bilinear", ("--fit=letterbox",), (114, 0, 255)),
}
