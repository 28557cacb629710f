#!/usr/bin/env python3
"""Writes an ONNX file with one MBConv block, the second of EfficientNet-B0's second stage, as PyTorch
exports it: SiLU as Sigmoid and Mul, squeeze and excitation as pool and two convolutions, batch norms
in the convolutions already. Weights are made up. Needs Python alone.

    examples/mbconv.py FILE.onnx
"""

import random
import struct
import sys

FLOAT, INT64 = 1, 7


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + bytes([n]))


def field(number, value):
    """One field of a protobuf message: an integer, or text or bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def value_info(name, dims):
    shape = b"".join(field(1, field(1, d)) for d in dims)
    return field(1, name) + field(2, field(1, field(1, FLOAT) + field(2, shape)))


class Block:
    def __init__(self):
        self.nodes, self.weights, self.random = b"", b"", random.Random(2)

    def node(self, op, inputs, name, attributes=b""):
        parts = b"".join(field(1, i) for i in inputs) + field(2, name) + field(3, name) + field(4, op)
        self.nodes += field(1, parts + attributes)
        return name

    def constant(self, name, dims):
        count = 1
        for d in dims:
            count *= d
        scale = (3 / (count / dims[0])) ** 0.5
        values = struct.pack(f"<{count}f", *(self.random.uniform(-scale, scale) for _ in range(count)))
        self.weights += field(5, b"".join(field(1, d) for d in dims) + field(2, FLOAT) + field(8, name)
                              + field(9, values))
        return name

    def conv(self, x, name, channels, of, kernel=1, group=1):
        attributes = b""
        for key, values in (("kernel_shape", [kernel] * 2), ("pads", [kernel // 2] * 4), ("group", group)):
            if isinstance(values, int):
                attribute = field(1, key) + field(3, values) + field(20, 2)
            else:
                attribute = field(1, key) + b"".join(field(8, v) for v in values) + field(20, 7)
            attributes += field(5, attribute)
        inputs = [x, self.constant(name + ".weight", [channels, of // group, kernel, kernel]),
                  self.constant(name + ".bias", [channels])]
        return self.node("Conv", inputs, name, attributes)

    def silu(self, x):
        return self.node("Mul", [x, self.node("Sigmoid", [x], x + "/sigmoid")], x + "/silu")


def main(path):
    b = Block()
    expanded = b.silu(b.conv("x", "expand", 144, 24))
    filtered = b.silu(b.conv(expanded, "depthwise", 144, 144, kernel=3, group=144))
    squeezed = b.silu(b.conv(b.node("GlobalAveragePool", [filtered], "se/pool"), "se/squeeze", 6, 144))
    gate = b.node("Sigmoid", [b.conv(squeezed, "se/excite", 144, 6)], "se/gate")
    projected = b.conv(b.node("Mul", [filtered, gate], "se/scale"), "project", 24, 144)
    b.node("Add", [projected, "x"], "y")
    graph = b.nodes + field(2, "mbconv") + b.weights
    graph += field(11, value_info("x", [1, 24, 56, 56])) + field(12, value_info("y", [1, 24, 56, 56]))
    with open(path, "wb") as f:
        f.write(field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 17)))


if __name__ == "__main__":
    main(sys.argv[1])
