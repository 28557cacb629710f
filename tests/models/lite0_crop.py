#!/usr/bin/env python3
"""Cuts one of the crops of the shared models out of its picture, as their README.md says.

    lite0_crop.py SHARED N INPUT.npy REFERENCE.npy

INPUT is what Lite0 takes, REFERENCE what ONNX Runtime's int8 model gives for it. Needs numpy.
"""
import json
import pathlib
import sys

import numpy


def main():
    shared, number = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    sys.path.insert(0, str(shared))
    import picture
    crop = json.loads((shared / "real/refs/crops.json").read_text())[number]
    image = picture.read_ppm(shared / "pictures" / f"{crop['picture']}.ppm")
    top, left, side = crop["top"], crop["left"], crop["side"]
    x = picture.resize(image[top:top + side, left:left + side], 224, 224)
    x = (x[:, ::-1] if crop["flip"] else x).astype(numpy.float32)
    x = (x - numpy.float32(127)) / numpy.float32(128)
    numpy.save(sys.argv[3], numpy.ascontiguousarray(x.transpose(2, 0, 1)[None]))
    logits = numpy.load(shared / "real/refs/lite0_int8_crops.out.npy")[number]
    numpy.save(sys.argv[4], logits[None].astype(numpy.float32))


if __name__ == "__main__":
    main()
