"""Reads ONNX models and tensors without any library: just enough of the protobuf wire format."""

import numpy as np

BFLOAT16 = 16  # kept as its bits, in uint16
FLOATS_8 = (17, 18, 19, 20, 24)  # kept as their codes, in uint8
SMALL = {21: (4, "u1"), 22: (4, "i1"), 23: (4, "u1"), 25: (2, "u1"), 26: (2, "i1")}  # bits; kept in a byte each
DTYPES = {1: "f4", 2: "u1", 3: "i1", 4: "u2", 5: "i2", 6: "i4", 7: "i8", 9: "?", 10: "f2", 11: "f8",
          12: "u4", 13: "u8", BFLOAT16: "u2", **{kind: "u1" for kind in FLOATS_8}}
TENSOR_TYPE, SEQUENCE_TYPE, OPTIONAL_TYPE = 1, 4, 9  # fields of TypeProto
MINUS_ZERO = {17: 0x80, 19: 0x80, 23: 0x08}  # codes


def fields(data):
    """The (number, value) of a message's fields: an int, or the bytes of all others."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = varint(data, at)
        else:
            size, at = varint(data, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
            value, at = data[at : at + size], at + size
        yield tag >> 3, value


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def signed(n):
    return n - (1 << 64) if n >> 63 else n


def get(data, number, default=b""):
    """The last field of that number."""
    found = default
    for n, value in fields(data):
        if n == number:
            found = value
    return found


def get_all(data, number):
    return [value for n, value in fields(data) if n == number]


def get_varints(data, number):
    """A repeated integer, packed or not."""
    out = []
    for value in get_all(data, number):
        if isinstance(value, int):
            out.append(signed(value))
            continue
        at = 0
        while at < len(value):
            n, at = varint(value, at)
            out.append(signed(n))
    return out


def tensor(data):
    """The array of a TensorProto; None where its type isn't one of DTYPES."""
    dims, kind = get_varints(data, 1), get(data, 2, 0)
    if kind in SMALL:
        return small_tensor(data, dims, kind)
    if kind not in DTYPES:
        return None
    dtype, raw = np.dtype(DTYPES[kind]), get(data, 9)
    packed = {1: (4, "f4"), 11: (10, "f8")}.get(kind)
    if raw:
        array = np.frombuffer(raw, dtype)
    elif packed:
        array = np.frombuffer(b"".join(get_all(data, packed[0])), packed[1])
    else:
        number = 7 if kind == 7 else 11 if kind in (12, 13) else 5
        array = np.array(get_varints(data, number), "i8")
        bits = kind in (10, BFLOAT16)
        array = array.astype("u2").view(dtype) if bits else array.astype(dtype)
    return array.reshape(dims)


def tensors(data, kind):
    """The TensorProtos of a value, by the field of TypeProto that its type has: itself, those of a
    SequenceProto, or what an OptionalProto has of either."""
    if kind == OPTIONAL_TYPE:
        return get_all(data, 3) or tensors(get(data, 5), SEQUENCE_TYPE)
    return get_all(data, 3) if kind == SEQUENCE_TYPE else [data]


def small_tensor(data, dims, kind):
    """Elements of 2 or 4 bits; the first is in the lowest ones of its byte."""
    (bits, dtype), count = SMALL[kind], int(np.prod(dims, dtype="i8"))
    packed = np.frombuffer(get(data, 9), "u1") if get(data, 9) else np.array(get_varints(data, 5), "u1")
    codes = (packed[:, None] >> np.arange(0, 8, bits, dtype="u1")) & ((1 << bits) - 1)
    codes = codes.reshape(-1)[:count].astype(dtype)
    if dtype == "i1":
        codes = ((codes ^ (1 << bits - 1)) - (1 << bits - 1)).astype(dtype)
    return codes.reshape(dims)


def field(number, value):
    """One field with a length."""
    return write_varint(number << 3 | 2) + write_varint(len(value)) + value


def write_varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + bytes([n]))


class Model:
    """What a test must know of a model: the names and types of its inputs, and its operators."""

    def __init__(self, data):
        graph = get(data, 7)
        self.inputs = [get(v, 1).decode() for v in get_all(graph, 11)]
        self.only_tensors = all(get(get(v, 2), TENSOR_TYPE) for v in get_all(graph, 11))
        self.output_kinds = [next(fields(get(v, 2)))[0] for v in get_all(graph, 12)]
        self.nodes = [(get(n, 7).decode(), get(n, 4).decode()) for n in get_all(graph, 1)]


def with_initializer(data, name, tensor_bytes):
    """The model with input `name` fixed."""
    unnamed = b"".join(piece for n, piece in raw_fields(tensor_bytes) if n != 8)
    initializer = field(5, unnamed + field(8, name.encode()))
    return b"".join(field(7, get(piece, 7) + initializer) if n == 7 else piece
                    for n, piece in raw_fields(data))


def raw_fields(data):
    """The (number, bytes of the whole field) of a message."""
    at = 0
    while at < len(data):
        start = at
        tag, at = varint(data, at)
        if tag & 7 == 0:
            _, at = varint(data, at)
        else:
            size, at = varint(data, at) if tag & 7 == 2 else ({1: 8, 5: 4}[tag & 7], at)
            at += size
        yield tag >> 3, data[start:at]


def float_of_bfloat(bits):
    return (bits.astype("u4") << 16).view("f4")


def data_type(data):
    return get(data, 2, 0)


