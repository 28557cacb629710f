#!/usr/bin/env python3
"""How far the rows of an array are from those of a reference, in whatever order they come.

    rows_error.py FOUND.npy REFERENCE.npy

Each row of the reference takes the nearest row that no other has taken. Prints the largest
difference over the largest element of the reference, or inf where the shapes differ.
"""
import sys

import numpy as np


def main():
    found, reference = (np.load(path).astype(np.float64) for path in sys.argv[1:3])
    if found.shape != reference.shape:
        print("inf")
        return
    worst, free = 0.0, np.ones(len(found), bool)
    for row in reference:
        distance = np.where(free, np.abs(found - row).max(axis=1), np.inf)
        nearest = int(distance.argmin())
        free[nearest] = False
        worst = max(worst, distance[nearest])
    print(worst / np.abs(reference).max())


if __name__ == "__main__":
    main()
