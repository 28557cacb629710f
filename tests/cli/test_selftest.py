#!/usr/bin/env python3
"""effnetc compile --selftest: NAME_selftest says whether generated code and weights are sound."""

import json
import subprocess
import unittest

import onnx_bytes as onnx
from command import COMMAND, HAS_LLVM, PATIENCE
from workplace import Workplace

STRICT = "-O2 -Wall -Wextra -Wconversion -pedantic -Werror".split()

PROGRAM = r"""
#include "m.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(int argc, char **argv) {
    static char weights[1 << 16] __attribute__((aligned(64)));
    char *arena = aligned_alloc(64, M_SELFTEST_BYTES + 64);
    FILE *f = fopen(argv[1], "rb");
    size_t size = fread(weights, 1, sizeof weights, f);
    fclose(f);
    if (argc > 2)
        weights[atoi(argv[2])] ^= 0x40;
    memset(arena, 0xff, M_SELFTEST_BYTES + 64);
    int code = m_selftest(weights, arena);
    memset(arena, 0, M_SELFTEST_BYTES);
    if (m_selftest(weights, arena) != code || m_selftest(weights, arena + 4) != -1 ||
        m_selftest(weights, NULL) != -1)
        return 2;
    for (int i = 0; i < 64; i++)
        if (arena[M_SELFTEST_BYTES + i] != -1)
            return 3; /* wrote past its end */
    printf("%d %d\n", code, m_check_weights(weights, size));
    return 0;
}
"""

TYPES = """graph @types(%a: f16[1,9], %b: bf16[5], %c: f64[3], %d: i64[7], %e: u8[4], %f: bool[6])
    -> (f16[1,9], bf16[5], f64[3], i64[7], u8[4], bool[6]) {
  %aa = silu %a : f16[1,9]
  %bb = add %b, %b : bf16[5]
  %cc = mul %c, %c : f64[3]
  %dd = add %d, %d : i64[7]
  %ee = add %e, %e : u8[4]
  %ff = identity %f : bool[6]
  return %aa, %bb, %cc, %dd, %ee, %ff
}
"""


class Selftest(Workplace):
    def setUp(self):
        super().setUp()
        self.write("main.c", PROGRAM.encode())

    def compile(self, model, *args, code=0):
        p = subprocess.run([COMMAND, "compile", model, "--name=m", "-o", self.dir, *args],
                           capture_output=True, timeout=PATIENCE)
        self.assertEqual(p.returncode, code, p.stderr.decode())
        return p.stderr.decode()

    def build(self, cc="gcc", flags=()):
        subprocess.run([cc, *STRICT, *flags, "-c", "m.c"], cwd=self.dir, check=True, timeout=PATIENCE)
        self.link("m.o", cc)

    def link(self, code, cc="gcc"):
        subprocess.run([cc, "-O1", "main.c", code, "-Wl,-rpath," + self.dir, "-o", "m"], cwd=self.dir, check=True,
                       timeout=PATIENCE)

    def result(self, *args):
        p = subprocess.run([self.path("m"), self.path("m.weights.bin"), *args],
                           capture_output=True, timeout=PATIENCE)
        self.assertEqual(p.returncode, 0, p.stderr.decode())
        return tuple(int(x) for x in p.stdout.split())

    def network(self):
        w = [((i * 29) % 17 - 8) / 9 for i in range(16 * 3 * 9)]
        return onnx.model(
            [onnx.node("Conv", ["x", "w"], ["c"], "conv", [onnx.ints("pads", [1] * 4)]),
             onnx.node("Sigmoid", ["c"], ["s"], "gate"),
             onnx.node("Mul", ["c", "s"], ["y"], "silu"),
             onnx.node("GlobalAveragePool", ["y"], ["z"], "pool")],
            [onnx.value_info("x", [1, 3, 11, 9])],
            [onnx.value_info("y", [1, 16, 11, 9]), onnx.value_info("z", [1, 16, 1, 1])],
            [onnx.tensor("w", [16, 3, 3, 3], w)])

    def test_every_compiler_and_target(self):
        model = self.write("m.onnx", self.network())
        for target in ["generic", "native"]:
            self.compile(model, "--selftest", "--target", target)
            flags = ["-std=c99"] if target == "generic" else []
            for cc in ["gcc", "clang"]:
                self.build(cc, flags)
                self.assertEqual(self.result(), (0, 0))
        info = json.loads(self.read("m.json"))
        self.assertIn("#define M_SELFTEST_BYTES %d\n" % info["selftest"]["bytes"], self.read("m.h").decode())
        self.assertGreater(info["selftest"]["bytes"], info["arena"]["bytes"] + 4 * 19 * 99)

    def test_a_flipped_bit_shows(self):
        self.compile(self.write("m.onnx", self.network()), "--selftest")
        self.build()
        self.assertEqual(self.result("135"), (1, 6))  # the top byte of a weight

    def test_every_type(self):
        self.compile(self.write("m.ir", TYPES.encode()), "--selftest", "--target=generic")
        self.build("gcc", ["-std=c99"])
        self.assertEqual(self.result(), (0, 0))

    def test_outputs_whose_size_depends_on_data(self):
        """Their hash is of what is there: NonZero's count is along axis 1."""
        self.compile(self.write("m.onnx", self.counted()), "--selftest")
        self.build()
        self.assertEqual(self.result(), (0, 0))

    def counted(self):
        return onnx.model([onnx.node("Relu", ["x"], ["r"], "relu"),
                           onnx.node("NonZero", ["r"], ["y"], "where")],
                          [onnx.value_info("x", [5, 7])], [onnx.value_info("y", [2, "n"], 7)])

    @unittest.skipUnless(HAS_LLVM, "this effnetc is built without LLVM")
    def test_native_code(self):
        """As in C: objects and libraries, of every type and of counted outputs."""
        for name, text in [("m.onnx", self.network()), ("m.ir", TYPES.encode()), ("n.onnx", self.counted())]:
            model = self.write(name, text)
            for target in ["generic", "native"] if name != "m.ir" else ["generic"]:
                for kind, file in [("obj", "m.o"), ("shared", "m.so")]:
                    self.compile(model, "--selftest", "--target", target, "--emit", kind)
                    self.link(file)
                    self.assertEqual(self.result(), (0, 0), (name, target, kind))
        self.compile(self.write("m.onnx", self.network()), "--selftest", "--emit=obj")
        self.link("m.o")
        self.assertEqual(self.result("135"), (1, 6))

    def test_only_where_asked_for_and_only_in_code(self):
        model = self.write("m.onnx", self.network())
        self.compile(model)
        for name in ["m.c", "m.h", "m.json"]:
            self.assertNotIn(b"selftest", self.read(name))
        self.assertIn("--emit=c", self.compile(model, "--selftest", "--emit=loop-ir", code=1))


if __name__ == "__main__":
    unittest.main()
