"""A picture as the input of a model. Needs numpy for all but read_png."""

import struct
import zlib

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def read_png(data):
    """Width, height and RGB bytes of a PNG of 8 bits a channel, without interlacing."""
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError("no PNG file")
    at, packed, head = 8, b"", None
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        chunk = data[at + 8 : at + 8 + size]
        at += 12 + size
        if kind == b"IHDR":
            head = struct.unpack(">IIBBBBB", chunk)
        elif kind == b"IDAT":
            packed += chunk
    if not head or head[2:] != (8, 2, 0, 0, 0):
        raise ValueError("only PNGs of 8-bit RGB, not interlaced")
    return head[0], head[1], unfilter(zlib.decompress(packed), 3 * head[0], 3)


def unfilter(rows, width, step):
    """The bytes of a picture from PNG's filtered rows of `width` bytes, `step` a pixel."""
    out, above = bytearray(), bytes(width)
    for start in range(0, len(rows), width + 1):
        row = bytearray(rows[start + 1 : start + 1 + width])
        predict = PREDICTORS[rows[start]]
        for i in range(width):
            left = row[i - step] if i >= step else 0
            corner = above[i - step] if i >= step else 0
            row[i] = (row[i] + predict(left, above[i], corner)) & 255
        out += row
        above = bytes(row)
    return bytes(out)


def paeth(a, b, c):
    p = a + b - c
    return min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]


PREDICTORS = [
    lambda a, b, c: 0,
    lambda a, b, c: a,
    lambda a, b, c: b,
    lambda a, b, c: (a + b) // 2,
    paeth,
]


def resize(x, axis, n):
    """Linear, with half-pixel centres."""
    import numpy as np

    at = np.clip((np.arange(n) + 0.5) * x.shape[axis] / n - 0.5, 0, x.shape[axis] - 1)
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, x.shape[axis] - 1)
    part = (at - low).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    return np.take(x, low, axis) * (1 - part) + np.take(x, high, axis) * part


def model_input(path, shape):
    """The picture at `path` as float32 of `shape`, stretched to its size. Models with the channels
    in front get what torchvision's and timm's were trained on, others Keras' 0 to 255. The images of
    a batch differ: each is shifted by some rows."""
    import numpy as np

    with open(path, "rb") as f:
        width, height, rgb = read_png(f.read())
    planar = shape[1] == 3
    h, w = shape[2:] if planar else shape[1:3]
    x = np.frombuffer(rgb, np.uint8).reshape(height, width, 3).astype(np.float64)
    x = resize(resize(x, 0, h), 1, w)
    if planar:
        x = ((x / 255 - MEAN) / STD).transpose(2, 0, 1)
    batch = [np.roll(x, 7 * i, axis=1 if planar else 0) for i in range(shape[0])]
    return np.ascontiguousarray(np.stack(batch), dtype=np.float32)
