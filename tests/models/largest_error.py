#!/usr/bin/env python3
"""Prints how far an output is from its reference.

    largest_error.py OUTPUT.npy REFERENCE.npy STEP

The largest difference over the largest reference value. The reference holds every STEP-th element
of the output, row-major, from the first on. Needs numpy.
"""
import sys

import numpy


def main():
    output, reference, step = sys.argv[1:]
    have = numpy.load(output).ravel()[::int(step)].astype(float)
    want = numpy.load(reference).ravel().astype(float)
    if have.shape != want.shape:
        sys.exit(f"{output} has {have.size} such elements, {reference} has {want.size}")
    print(abs(have - want).max() / abs(want).max())


if __name__ == "__main__":
    main()
