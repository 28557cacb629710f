"""Writes small ONNX files without any library: just enough of the protobuf wire format."""

import struct

FLOAT, INT64 = 1, 7


def varint(n):
    out = bytearray()
    n &= (1 << 64) - 1
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def field(number, value):
    """One field: an int as a varint, a str or bytes with its length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value


def tensor(name, dims, values):
    raw = struct.pack("<%df" % len(values), *values)
    return b"".join(field(1, d) for d in dims) + field(2, FLOAT) + field(8, name) + field(9, raw)


def sparse_tensor(name, dims, values, indices):
    """indices: places, or lists of coordinates."""
    flat = [i for row in indices for i in row] if indices and isinstance(indices[0], list) else indices
    shape = [len(indices)] + ([len(indices[0])] if flat is not indices else [])
    places = b"".join(field(1, d) for d in shape) + field(2, INT64)
    places += field(9, struct.pack("<%dq" % len(flat), *flat))
    parts = field(1, tensor(name, [len(values)], values)) + field(2, places)
    return parts + b"".join(field(3, d) for d in dims)


def value_info(name, dims, dtype=FLOAT):
    shape = b"".join(field(1, field(2 if isinstance(d, str) else 1, d)) for d in dims)
    return field(1, name) + field(2, field(1, field(1, dtype) + field(2, shape)))


def ints(name, values):
    return field(1, name) + b"".join(field(8, v) for v in values) + field(20, 7)


def integer(name, value):
    return field(1, name) + field(3, value) + field(20, 2)


def node(op, inputs, outputs, name="", attributes=(), domain=""):
    return (
        b"".join(field(1, i) for i in inputs)
        + b"".join(field(2, o) for o in outputs)
        + field(3, name)
        + field(4, op)
        + b"".join(field(5, a) for a in attributes)
        + (field(7, domain) if domain else b"")
    )


def model(nodes, inputs, outputs, initializers=(), opset=17, sparse=()):
    graph = (
        b"".join(field(1, n) for n in nodes)
        + field(2, "test")
        + b"".join(field(5, t) for t in initializers)
        + b"".join(field(15, t) for t in sparse)
        + b"".join(field(11, i) for i in inputs)
        + b"".join(field(12, o) for o in outputs)
    )
    return field(1, 8) + field(7, graph) + field(8, field(2, opset))


def npy(dims, values, kind="f"):
    """A .npy file of float32 ("f"), float64 ("d") or uint8 ("B")."""
    descr = {"f": "<f4", "d": "<f8", "B": "|u1"}[kind]
    header = "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }" % (
        descr,
        "".join("%d," % d for d in dims),
    )
    header += " " * (-(len(header) + 11) % 64) + "\n"
    return (
        b"\x93NUMPY\x01\x00"
        + struct.pack("<H", len(header))
        + header.encode()
        + struct.pack("<%d%s" % (len(values), kind), *values)
    )


def read_npy(data):
    """The values of a float32 file."""
    start = 10 + struct.unpack("<H", data[8:10])[0]
    return list(struct.unpack("<%df" % ((len(data) - start) // 4), data[start:]))
