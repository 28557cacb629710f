#!/usr/bin/env python3
"""Prints how far outputs are from their references, a line each.

    largest_error.py (OUTPUT.npy REFERENCE.npy STEP)...

The largest difference over the largest reference value. A reference holds every STEP-th element of
its output, row-major, from the first on. Needs numpy.
"""
import sys

import numpy


def largest_error(output, reference, step):
    have = numpy.load(output).ravel()[::int(step)].astype(float)
    want = numpy.load(reference).ravel().astype(float)
    if have.shape != want.shape:
        sys.exit(f"{output} has {have.size} such elements, {reference} has {want.size}")
    return abs(have - want).max() / abs(want).max()


def main():
    arguments = iter(sys.argv[1:])
    for output, reference, step in zip(arguments, arguments, arguments, strict=True):
        print(largest_error(output, reference, step))


if __name__ == "__main__":
    main()
