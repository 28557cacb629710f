#!/usr/bin/env python3
"""Broken and hostile models: each ends in an error, quickly, in little memory, and leaves nothing.

A few are made here. Those of the shared folder (EFFNETC_MODELS, or ../shared/models beside the
source tree) are skipped, with a message, where it is missing; its bad.json says which must be
refused.
"""
import argparse
import json
import os
import pathlib
import resource
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import zlib

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SHARED = pathlib.Path(os.environ.get("EFFNETC_MODELS", SOURCE.parent / "shared" / "models"))
sys.path.insert(0, str(SOURCE / "tests" / "cli"))
import onnx_bytes as onnx  # noqa: E402

BAD_MODEL, UNSUPPORTED, IO = 2, 3, 74
CRASHES = (70, 127)  # an internal error; not started. Signals are negative
MAX_SECONDS, MAX_BYTES = 1.0, 200 << 20
TOOLS = {}  # effnetc: path from the command line; sanitized: it is slower and larger then


def measure(command, cwd):
    """Exit code, messages, seconds of processor time, peak resident bytes of one process. The peak
    counts this interpreter too, whose memory the process has until it starts the command."""
    with tempfile.TemporaryFile() as err:
        p = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=err, stderr=err)
        deadline = time.monotonic() + 60
        while True:
            pid, status, usage = os.wait4(p.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                p.kill()
            time.sleep(0.002)
        p.returncode = os.waitstatus_to_exitcode(status)
        err.seek(0)
        text = err.read().decode(errors="replace")
    return p.returncode, text, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


class BadTest(unittest.TestCase):
    def refuse(self, model, codes, command=("compile", "-o", "out")):
        """Compiles a model. codes: the exit codes it may end with; None: any but a crash."""
        with tempfile.TemporaryDirectory(prefix="effnetc-bad-") as folder:
            code, text, seconds, peak = measure(
                [TOOLS["effnetc"], command[0], str(model), *command[1:]], folder
            )
            left = sorted(os.listdir(folder))
        name = pathlib.Path(model).name
        print("%-28s exit %2d  %5.3f s  %4d MB" % (name, code, seconds, peak >> 20))
        self.assertGreaterEqual(code, 0, text)
        self.assertNotIn(code, CRASHES, text)
        if codes is not None:
            self.assertIn(code, codes, text)
        if code:
            self.assertIn("error:", text)
            self.assertEqual(left, [], "something was left behind")
        if not TOOLS["sanitized"]:
            self.assertLess(seconds, MAX_SECONDS)
            self.assertLess(peak, MAX_BYTES)
        return text


X = onnx.value_info("x", [1, 2, 4, 4])
Y = onnx.value_info("y", ["n"])


def identity(**changes):
    parts = dict(nodes=[onnx.node("Identity", ["x"], ["y"])], inputs=[X], outputs=[Y])
    return onnx.model(**{**parts, **changes})


def tensor(name, elements, dtype=onnx.FLOAT):
    return onnx.field(1, elements) + onnx.field(2, dtype) + onnx.field(8, name)


def int64s(name, values):
    raw = b"".join(v.to_bytes(8, "little", signed=True) for v in values)
    return tensor(name, len(values), onnx.INT64) + onnx.field(9, raw)


def axis(n):
    return onnx.field(1, "axis") + onnx.field(3, n) + onnx.field(20, 2)


def heavy_constants():
    """40 matrices that are convolutions of constants: 2^24 multiply-accumulates each, from 2 kB."""
    n, taps = 4097, 4096
    one = onnx.tensor("", [1], [1])
    ones = [onnx.field(1, "value") + onnx.field(5, one) + onnx.field(20, 4)]
    nodes = [
        onnx.node("ConstantOfShape", ["sx"], ["c"], attributes=ones),
        onnx.node("ConstantOfShape", ["sw"], ["w"], attributes=ones),
    ]
    for i in range(40):
        nodes += [
            onnx.node("Conv", ["c", "w"], ["d%d" % i]),
            onnx.node("Reshape", ["d%d" % i, "s"], ["m%d" % i]),
            onnx.node("MatMul", ["x", "m%d" % i], ["y" if i == 0 else "y%d" % i]),
        ]
    sizes = [("sx", [1, 1, n + taps - 1, 1]), ("sw", [1, 1, taps, 1]), ("s", [n, 1])]
    return onnx.model(
        nodes, [onnx.value_info("x", [1, n])], [Y], [int64s(name, dims) for name, dims in sizes]
    )


def doubling():
    """Each node doubles a constant: 64 of them ask for 2^66 elements."""
    nodes = [onnx.node("ConstantOfShape", ["s"], ["c0"])]
    nodes += [
        onnx.node("Concat", ["c%d" % i] * 2, ["c%d" % (i + 1)], attributes=[axis(0)])
        for i in range(64)
    ]
    return identity(
        nodes=nodes + [onnx.node("Add", ["x", "c64"], ["y"])], initializers=[int64s("s", [4])]
    )


def long_chain():
    """100,000 nodes, last one first, none of which has an importer."""
    n = 100000
    nodes = [onnx.node("Nope", ["v%d" % i], ["v%d" % (i + 1)]) for i in range(n)]
    nodes = [onnx.node("Identity", ["v%d" % n], ["y"])] + nodes[::-1]
    return identity(nodes=nodes, inputs=[onnx.value_info("v0", [1])])


def nested():
    """Graphs within attributes of nodes within graphs, 2,000 deep."""
    data = b""
    for _ in range(2000):
        data = onnx.field(1, onnx.field(5, onnx.field(6, data)))
    return onnx.field(1, 8) + onnx.field(7, data)


# ---- subgraphs and functions ---------------------------------------------------------------------


def function(name, nodes, inputs=("a",), outputs=("b",)):
    return (
        onnx.field(1, name)
        + b"".join(onnx.field(4, i) for i in inputs)
        + b"".join(onnx.field(5, o) for o in outputs)
        + b"".join(onnx.field(7, n) for n in nodes)
        + onnx.field(9, onnx.field(2, 17))
        + onnx.field(10, "local")
    )


def calling(functions, nodes=None):
    """A model whose graph calls F0, or has these nodes, with its functions."""
    nodes = nodes or [call("F0", "x", "y")]
    return identity(nodes=nodes) + b"".join(onnx.field(25, f) for f in functions)


def call(name, x, y):
    return onnx.node(name, [x], [y], domain="local")


def chain_of_functions(n, times):
    """Each calls the next one so many times."""
    out = []
    for i in range(n):
        inner = [call("F%d" % (i + 1), "v%d" % k, "v%d" % (k + 1)) for k in range(times)]
        if i + 1 == n:
            inner = [onnx.node("Relu", ["v0"], ["v%d" % times])]
        out.append(function("F%d" % i, inner, ["v0"], ["v%d" % times]))
    return calling(out)


def long_names_in_a_function():
    """Names of a megabyte, in a function that is called a thousand times."""
    long = "n" * 1000000
    inner = [onnx.node("Relu", ["a"], [long], name=long), onnx.node("Relu", [long], ["b"])]
    calls = [call("F0", "x", "v%d" % i) for i in range(1000)] + [call("F0", "x", "y")]
    return calling([function("F0", inner)], calls)


def large_constants_in_a_function():
    """A megabyte of numbers in a form that takes a copy, in a function that is called a lot."""
    value = onnx.field(1, "value_floats") + onnx.field(7, bytes(1 << 20)) + onnx.field(20, 6)
    inner = [onnx.node("Constant", [], ["c"], attributes=[value]), onnx.node("Relu", ["a"], ["b"])]
    calls = [call("F0", "x", "v%d" % i) for i in range(20000)] + [call("F0", "x", "y")]
    return calling([function("F0", inner)], calls)


def many_functions():
    relu = [onnx.node("Relu", ["a"], ["b"])]
    return calling([function("F%d" % i, relu) for i in range(100000)])


def graph(nodes, inputs=(), outputs=("out",), initializers=()):
    return (
        b"".join(onnx.field(1, n) for n in nodes)
        + b"".join(onnx.field(5, t) for t in initializers)
        + b"".join(onnx.field(11, onnx.value_info(i, [])) for i in inputs)
        + b"".join(onnx.field(12, onnx.value_info(o, ["n"])) for o in outputs)
    )


def graph_attribute(name, g):
    return onnx.field(1, name) + onnx.field(6, g) + onnx.field(20, 5)


def if_node(yes, no, outputs):
    branches = [graph_attribute("then_branch", yes), graph_attribute("else_branch", no)]
    return onnx.node("If", ["c"], outputs, attributes=branches)


def nested_ifs(depth):
    """An If within an If, over and over, each with many names."""
    leaf = graph([onnx.node("Relu", ["x"], ["out"])])
    g = leaf
    for level in range(depth):
        more = [onnx.node("Relu", ["x"], ["n%d" % i]) for i in range(2000)]
        g = graph(more + [if_node(g, leaf, ["out"])])
    return identity(nodes=[if_node(g, leaf, ["y"])], initializers=[truth("c")])


def truth(name):
    return onnx.field(2, 9) + onnx.field(8, name) + onnx.field(9, b"\1")


def endless_loop():
    body = graph([onnx.node("Relu", ["v"], ["w"])], ["i", "go", "v"], ["go", "w"])
    node = onnx.node("Loop", ["", "c", "x"], ["y"], attributes=[graph_attribute("body", body)])
    return identity(nodes=[node], initializers=[truth("c")])


def growing_loop():
    """What is carried doubles in each of many iterations."""
    double = onnx.node("Concat", ["v", "v"], ["w"], attributes=[axis(0)])
    body = graph([double], ["i", "go", "v"], ["go", "w"])
    node = onnx.node("Loop", ["", "c", "x"], ["y"], attributes=[graph_attribute("body", body)])
    return identity(nodes=[node], initializers=[truth("c")])


def growing_sequence():
    """A sequence of up to 40,000, each made of the one before."""
    nodes = [onnx.node("SequenceEmpty", [], ["s0"])]
    nodes += [
        onnx.node("SequenceInsert", ["s%d" % i, "x"], ["s%d" % (i + 1)]) for i in range(40000)
    ]
    return identity(nodes=nodes + [onnx.node("Relu", ["x"], ["y"])])


def many_inputs(op, n):
    return identity(nodes=[onnx.node(op, ["x"] * n, ["y"], attributes=[axis(0)] * (op == "Concat"))])


# ---- numbers that importers make -----------------------------------------------------------------


def many_of(op, inputs, initializers, attributes=()):
    """Forty nodes that each ask for millions of numbers."""
    nodes = [onnx.node(op, inputs, ["y%d" % i], attributes=attributes) for i in range(40)]
    return onnx.model(
        nodes + [onnx.node("Add", ["x", "y39"], ["y"])],
        [onnx.value_info("x", [1, 1])],
        [Y],
        initializers,
    )


def many_ranges():
    at = [onnx.field(2, onnx.INT64) + onnx.field(8, n) + onnx.field(9, v.to_bytes(8, "little"))
          for n, v in (("from", 0), ("to", 8000000), ("by", 1))]
    return many_of("Range", ["from", "to", "by"], at)


def text(name, value):
    return onnx.field(1, name) + onnx.field(4, value) + onnx.field(20, 3)


def same_identifiers(n):
    """Names of inputs, each of which becomes "__" in C."""
    odd = [chr(0x100 + i) for i in range(200)]
    names = [odd[i // 200] + odd[i % 200] for i in range(n)]
    return identity(
        nodes=[onnx.node("Relu", [names[0]], ["y"])],
        inputs=[onnx.value_info(name, [1]) for name in names],
    )


def unread_inputs(n):
    return identity(inputs=[X] + [onnx.value_info("i%d" % i, [1]) for i in range(n)])


def chain(op, n):
    names = ["x"] + ["v%d" % i for i in range(n - 1)] + ["y"]
    return identity(nodes=[onnx.node(op, [names[i]], [names[i + 1]]) for i in range(n)])


def one_channel():
    """A constant of 16 MB, which in blocks of 16 channels would have 256."""
    zeros = onnx.node("ConstantOfShape", ["s"], ["c"])
    pool = onnx.node("MaxPool", ["c"], ["p"], attributes=[onnx.ints("kernel_shape", [63, 63])])
    return identity(
        nodes=[zeros, pool, onnx.node("Add", ["p", "x"], ["y"])],
        inputs=[onnx.value_info("x", [1, 1, 1, 1])],
        initializers=[int64s("s", [1, 1, 2047, 2047])],
    )


MADE = {  # name: bytes, exit code
    "no_bytes": (b"", BAD_MODEL),
    "zeros": (bytes(4096), BAD_MODEL),
    "half": (identity()[: len(identity()) // 2], BAD_MODEL),
    "unknown_operator": (identity(nodes=[onnx.node("Nope", ["x"], ["y"])]), UNSUPPORTED),
    "nested": (nested(), BAD_MODEL),
    "short_weights": (
        identity(
            nodes=[onnx.node("Add", ["x", "w"], ["y"])],
            initializers=[tensor("w", 1 << 40) + onnx.field(9, b"abcd")],
        ),
        BAD_MODEL,
    ),
    "empty_messages": (onnx.field(1, 8) + onnx.field(7, onnx.field(1, b"") * 2000000), BAD_MODEL),
    "heavy_constants": (heavy_constants(), 0),  # left to run time
    "doubling": (doubling(), None),
    "long_chain": (long_chain(), UNSUPPORTED),
    "functions_that_double": (chain_of_functions(60, 2), UNSUPPORTED),
    "functions_200_deep": (chain_of_functions(200, 1), UNSUPPORTED),
    "function_calls_itself": (calling([function("F0", [call("F0", "a", "b")])]), BAD_MODEL),
    "function_without_output": (calling([function("F0", [])]), BAD_MODEL),
    "function_twice": (calling([function("F0", [])] * 2), BAD_MODEL),
    "long_names_in_a_function": (long_names_in_a_function(), UNSUPPORTED),
    "large_constants_in_a_function": (large_constants_in_a_function(), 0),
    "many_functions": (many_functions(), 0),
    "nested_ifs": (nested_ifs(8), 0),
    "nested_ifs_with_many_names": (nested_ifs(15), UNSUPPORTED),
    "nested_ifs_too_deep": (nested_ifs(30), BAD_MODEL),
    "endless_loop": (endless_loop(), UNSUPPORTED),
    "growing_loop": (growing_loop(), BAD_MODEL),
    "growing_sequence": (growing_sequence(), UNSUPPORTED),
    "sum_of_many": (many_inputs("Sum", 100000), UNSUPPORTED),
    "concat_of_many": (many_inputs("Concat", 30000), 0),
    "many_ranges": (many_ranges(), UNSUPPORTED),
    "many_pads": (
        many_of("Pad", ["x", "by"], [int64s("by", [0, 0, 0, 8000000])], [text("mode", "edge")]),
        UNSUPPORTED,
    ),
    "many_resizes": (
        many_of("Resize", ["x", "", "", "to"], [int64s("to", [1, 500000])], [text("mode", "cubic")]),
        UNSUPPORTED,
    ),
    "same_identifiers": (same_identifiers(5000), 0),
    "unread_inputs": (unread_inputs(12000), 0),
    "one_channel": (one_channel(), 0),
    "chain_of_relus": (chain("Relu", 5000), 0),
}


class Made(BadTest):
    def test_all(self):
        for name, (data, code) in MADE.items():
            with self.subTest(name), tempfile.TemporaryDirectory(prefix="effnetc-bad-") as folder:
                model = pathlib.Path(folder) / (name + ".onnx")
                model.write_bytes(data)
                self.refuse(model, None if code is None else [code])

    def test_external_data_out_of_the_folder(self):
        entry = onnx.field(1, "location") + onnx.field(2, "../secret")
        weight = tensor("w", 1) + onnx.field(13, entry) + onnx.field(14, 1)
        with tempfile.TemporaryDirectory(prefix="effnetc-bad-") as folder:
            inner = pathlib.Path(folder) / "inner"
            inner.mkdir()
            (inner.parent / "secret").write_bytes(b"abcd")
            model = inner / "m.onnx"
            model.write_bytes(
                identity(nodes=[onnx.node("Add", ["x", "w"], ["y"])], initializers=[weight])
            )
            self.assertIn("inside the model's folder", self.refuse(model, [BAD_MODEL]))

    def test_good_models_pass_the_same_check(self):
        """The check can tell: a sound model ends with 0 and leaves its files."""
        with tempfile.TemporaryDirectory(prefix="effnetc-bad-") as folder:
            model = pathlib.Path(folder) / "good.onnx"
            model.write_bytes(identity(nodes=[onnx.node("Relu", ["x"], ["y"])]))
            self.refuse(model, [0])
            with self.assertRaises(AssertionError):
                self.refuse(model, [BAD_MODEL, UNSUPPORTED])


def many_scales(n):
    """Integers that n scales make numbers of, and n scales that make integers of a bounded value and
    of a sum."""
    scales = ["%.10g" % (1 + i / 1024) for i in range(1, n + 1)]
    lines = ["  const @s%d : f32[] = [%s]" % (i, s) for i, s in enumerate(scales)]
    lines += [
        "  %q = quantize %x, @s0 : u8[4]",
        "  %r = relu %x : f32[4]",
        "  %sum = add %x, %x : f32[4]",
    ]
    results = []
    for i, scale in enumerate(scales):
        lines += [
            "  %%d%d = dequantize %%q, @s%d : f32[4]" % (i, i),
            "  %%f%d = fake_quant %%r {divide=%s} : f32[4]" % (i, scale),
            "  %%g%d = fake_quant %%sum {divide=%s} : f32[4]" % (i, scale),
        ]
        results += ["%%%s%d" % (kind, i) for kind in "dfg"]
    lines += ["  return " + ", ".join('%s "%s"' % (r, r[1:]) for r in results), "}"]
    types = ", ".join(["f32[4]"] * len(results))
    return "\n".join(["graph @g(%%x: f32[4]) -> (%s) {" % types, *lines]) + "\n"


class Passes(BadTest):
    def test_many_readers_of_one_value(self):
        with tempfile.TemporaryDirectory(prefix="effnetc-bad-") as folder:
            model = pathlib.Path(folder) / "many_scales.ir"
            model.write_text(many_scales(5000))
            self.refuse(model, [0], ("opt", "--passes=fuse-quantize,fuse-requantize"))


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_with(*chunks):
    """8 x 8 pixels, and what stands before them."""
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))
    pixels = png_chunk(b"IDAT", zlib.compress(bytes(8 * 25)))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + pixels + png_chunk(b"IEND", b"")


MEAN = b"""graph @g(%x: f32[1,3,8,8]) -> f32[1,3] {
  %y = reduce_mean %x {axes=[2, 3], keepdims=false} : f32[1,3]
  return %y
}
"""


class Given(BadTest):
    """What a model is given is held to the same."""

    def give(self, name, data, codes):
        with tempfile.TemporaryDirectory(prefix="effnetc-bad-") as folder:
            pathlib.Path(folder, "m.ir").write_bytes(MEAN)
            pathlib.Path(folder, name).write_bytes(data)
            given = ["a.ppm", "--labels=" + name] if name.startswith("labels") else [name]
            pathlib.Path(folder, "a.ppm").write_bytes(b"P6 8 8 255\n" + bytes(192))
            run = [TOOLS["effnetc"], "run", "m.ir", *given, "--backend=interp", "--mean=0"]
            code, text, seconds, peak = measure(run, folder)
        self.assertIn(code, codes, text)
        if not TOOLS["sanitized"]:
            self.assertLess(seconds, MAX_SECONDS)
            self.assertLess(peak, MAX_BYTES)

    def test_compressed_texts(self):
        text = png_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(7900000), 1))
        self.give("a.png", png_with(text * 50), [0])

    def test_labels(self):
        self.give("labels.json", b"[" + b"[]," * 4000000 + b"[]]", [UNSUPPORTED, BAD_MODEL])
        self.give("labels.txt", bytes(1000), [BAD_MODEL])


class Shared(BadTest):
    def test_all(self):
        if not (SHARED / "bad" / "bad.json").exists():
            self.skipTest(f"{SHARED}/bad is missing: set EFFNETC_MODELS to the models' folder")
        entries = json.loads((SHARED / "bad" / "bad.json").read_text())
        self.assertGreater(len(entries), 0)
        for entry in entries:
            with self.subTest(entry["file"]):
                codes = [BAD_MODEL, UNSUPPORTED] if entry["expect"] == "reject" else None
                self.refuse(SHARED / entry["file"], codes)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--effnetc", required=True)
    arguments, rest = parser.parse_known_args()
    TOOLS["effnetc"] = arguments.effnetc
    TOOLS["sanitized"] = b"__asan_init" in pathlib.Path(arguments.effnetc).read_bytes()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
