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
import subprocess
import sys
import tempfile
import time
import unittest

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
    def refuse(self, model, codes):
        """Compiles a model. codes: the exit codes it may end with; None: any but a crash."""
        with tempfile.TemporaryDirectory(prefix="effnetc-bad-") as folder:
            code, text, seconds, peak = measure(
                [TOOLS["effnetc"], "compile", str(model), "-o", "out"], folder
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
