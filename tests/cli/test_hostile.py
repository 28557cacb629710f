#!/usr/bin/env python3
"""The command where what it is given, or what is around it, is not as it should be.

EFFNETC_COMMAND is the built command. tests/models/test_bad.py has models."""

import json
import os
import resource
import struct
import subprocess
import unittest

import onnx_bytes as onnx
from command import BUDGET, COMMAND, IO, OK, USAGE, CommandTest

# Without control characters no terminal is driven, and no table is torn.
HOSTILE = 'a"b\\*/\n\x1b[31m\x9b</script>é'
X = onnx.value_info("x", [1, 2, 4, 4])
Y = onnx.value_info("y", [1, 2, 4, 4])


def model(**changes):
    parts = dict(nodes=[onnx.node("Relu", ["x"], ["y"])], inputs=[X], outputs=[Y])
    return onnx.model(**{**parts, **changes})


def int64s(name, values):
    raw = struct.pack("<%dq" % len(values), *values)
    return onnx.field(1, len(values)) + onnx.field(2, onnx.INT64) + onnx.field(8, name) + onnx.field(9, raw)


class Hostile(CommandTest):
    # ---- names ----

    def test_names_do_not_drive_terminals(self):
        x, y = HOSTILE + "x", HOSTILE + "y"
        m = self.write("n.onnx", model(nodes=[onnx.node("Relu", [x], [y], HOSTILE)],
                                       inputs=[onnx.value_info(x, [1, 2, 4, 4])],
                                       outputs=[onnx.value_info(y, [1, 2, 4, 4])]))
        data = self.write("x2.npy", onnx.npy([1, 2, 4, 4], [1] * 32))
        other = self.write("o.onnx", model(nodes=[onnx.node("Abs", [x], [y], HOSTILE)],
                                           inputs=[onnx.value_info(x, [1, 2, 4, 4])],
                                           outputs=[onnx.value_info(y, [1, 2, 4, 4])]))
        interp = "--backend=loop-interp"
        for args in (["inspect", m], ["verify", m, interp],
                     ["verify", m, interp, "--per-layer"], ["run", m, interp, "--input", data], ["diff", m, other]):
            p = self.run_command(*args)
            self.assertIn("\\x1b[31m\\xc2\\x9b", p.stdout.decode(), args)
            for text in (p.stdout.decode(), p.stderr.decode()):
                self.assertNotIn("\x1b", text)
                self.assertNotIn("\x9b", text)

    def test_labels_do_not_drive_terminals(self):
        m = self.write("c.ir", "graph @g(%x: f32[1,3]) -> f32[1,3] {\n  %y = relu %x : f32[1,3]\n  return %y\n}\n".encode())
        data = self.write("x3.npy", onnx.npy([1, 3], [1, 2, 3]))
        labels = self.write("labels.txt", b"a\nb\n\x1b[2Jc\n")
        out = self.check(OK, "run", m, "--input", data, "--labels", labels, "--backend=interp")
        self.assertIn("\\x1b[2Jc\n", out)

    # ---- numbers that JSON hasn't ----

    def test_nan_in_json(self):
        m = self.write("nan.ir", b"""graph @g(%x: f32[1,3,8,8]) -> f32[1,6] {
  %s = reduce_mean %x {axes=[2, 3], keepdims=false} : f32[1,3]
  %z = sub %s, %s : f32[1,3]
  %d = div %z, %z : f32[1,3]
  %y = concat %d, %s {axis=1} : f32[1,6]
  return %y
}
""")
        picture = self.write("a.ppm", b"P6 8 8 255\n" + bytes(range(192)))
        out = self.check(OK, "run", m, picture, "--mean=0", "--backend=interp", "--json")
        found = json.loads(out)[0]["classes"]
        self.assertEqual([f["class"] for f in found], [5, 4, 3])
        self.assertIsNone(found[0]["probability"])

    # ---- memory ----

    def test_more_than_the_machine_has(self):
        n = 64  # outputs of 64 GB each
        x, shape = onnx.value_info("x", [1, 2, 1, 1]), int64s("s", [1, 2, 1 << 20, 1 << 13])
        m = self.write("big.onnx", model(nodes=[onnx.node("Expand", ["x", "s"], ["y%d" % i]) for i in range(n)],
                                         outputs=[onnx.value_info("y%d" % i, [1, 2, "h", "w"]) for i in range(n)],
                                         inputs=[x], initializers=[shape]))
        data = self.write("x2.npy", onnx.npy([1, 2, 1, 1], [1, 2]))
        for backend in ("interp", "loop-interp", "c"):
            self.check(BUDGET, "run", m, "--input", data, "--backend=" + backend, says=["inputs and outputs", "found:"])
        self.check(BUDGET, "verify", m, says=["inputs and outputs"])
        m = self.write("inner.onnx", model(nodes=[onnx.node("Expand", ["x", "s"], ["z"]), onnx.node("Sigmoid", ["z"], ["r"]),
                                                  onnx.node("ReduceMax", ["r"], ["y"])], inputs=[x], initializers=[shape]))
        self.check(OK, "compile", m, "-o", "out")
        if os.sysconf("SC_PAGESIZE") * os.sysconf("SC_PHYS_PAGES") < 1 << 36:
            self.check(BUDGET, "run", m, "--input", data, "--backend=loop-interp", says=["arena"])

    def test_an_array_is_measured_before_it_is_read(self):
        header = onnx.npy([1, 3, 4, 4], picture := [0] * 48)[: -4 * len(picture)]
        whole = self.write("huge.npy", header.replace(b"(1,3,4,4,)", b"(1,%d,4,4,)" % (1 << 30))[:len(header)])
        os.truncate(whole, len(header) + (1 << 36))
        self.check(USAGE, "run", self.model, "--input", whole, "--backend=interp", says=["does not fit the input \"x\""])

    # ---- the process ----

    def run_with(self, before, *args):
        env = {**os.environ, "TMPDIR": self.tmp}
        return subprocess.run([COMMAND, *args], cwd=self.dir, env=env, preexec_fn=before, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=120)

    def test_a_limit_of_file_sizes(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))

        p = self.run_with(limit, "compile", self.model, "-o", "out")
        self.assertEqual(p.returncode, IO, p.stderr)
        self.assertIn(b"File too large", p.stderr)
        self.assertEqual(os.listdir(self.path("out")), [])

    def test_closed_streams(self):
        def close():
            os.closerange(0, 3)

        p = self.run_with(close, "compile", self.model, "-o", "out", "--remarks")
        self.assertEqual(p.returncode, OK)
        self.assertEqual(len(os.listdir(self.path("out"))), 4)
        self.assertTrue(self.read("out/m.c").startswith(b"/*"))
        self.assertEqual(self.run_with(close, "inspect", self.model).returncode, IO)


if __name__ == "__main__":
    unittest.main()
