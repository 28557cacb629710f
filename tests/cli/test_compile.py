#!/usr/bin/env python3
"""effnetc compile and opt: what they write, and what memory it takes."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import unittest

import onnx_bytes as onnx
from command import BAD_MODEL, BUDGET, CommandTest, IO, OK, UNSUPPORTED, USAGE


class Compile(CommandTest):
    # ---- compile ----

    def files(self, name):
        return sorted(os.listdir(self.path(name)))

    def test_compile_writes_four_files(self):
        self.check(OK, "compile", self.model, "-o", self.path("out"))
        self.assertEqual(self.files("out"), ["m.c", "m.h", "m.json", "m.weights.bin"])
        with open(self.path("out/m.json")) as f:
            json.load(f)

    def test_compile_is_the_default_command(self):
        self.check(OK, self.model, "-o", self.path("out"), "--name", "net", "--target=generic")
        self.assertEqual(self.files("out"), ["net.c", "net.h", "net.json", "net.weights.bin"])
        cc = subprocess.run(
            [
                "cc",
                "-std=c99",
                "-Wall",
                "-Wextra",
                "-Wconversion",
                "-pedantic",
                "-Werror",
                "-c",
                "net.c",
                "-o",
                "net.o",
            ],
            cwd=self.path("out"),
            capture_output=True,
        )
        self.assertEqual(cc.returncode, 0, cc.stderr.decode())

    def test_weights_are_linked_in(self):
        """From any folder, by each compiler that is there; the constant is what the code expects, and aligned."""
        self.write("main.c", '#include "net.h"\n'
                   "int check(void);\n"
                   "int check(void) { return net_check_weights(net_weights, sizeof net_weights); }\n"
                   "int main(void) { return check(); }\n")
        self.write("run.js", 'WebAssembly.instantiate(require("fs").readFileSync("wasm"))'
                   ".then((made) => process.exit(made.instance.exports.check()));\n")
        wasm = all(map(shutil.which, ["clang", "wasm-ld", "node"]))
        self.check(OK, self.model, "-o", "bin", "--name=net", "--target=generic")
        for place, source, binary in [("incbin", "net.weights.S", ["net.weights.bin"]), ("text", "net.weights.c", [])]:
            self.check(OK, self.model, "-o", place, "--name=net", "--target=generic", "--weights=" + place)
            self.assertEqual(self.files(place), sorted(["net.c", "net.h", "net.json", source] + binary))
            contract = json.loads(self.read(place + "/net.json"))
            self.assertEqual(contract["weights"]["symbol"], "net_weights")
            self.assertEqual(contract["files"]["weights_source"], source)
            self.assertEqual(contract["files"].get("weights"), (binary or [None])[0])
            self.assertEqual(self.read("bin/net.c"), self.read(place + "/net.c"))
            for cc in filter(shutil.which, ["gcc", "clang"]):
                subprocess.run([cc, "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror",
                                "-Wno-unused-command-line-argument", "-O1", "-I", place, "main.c", place + "/net.c",
                                place + "/" + source, "-o", cc], cwd=self.dir, check=True)
                self.assertEqual(subprocess.run([self.path(cc)]).returncode, 0, cc)
            if wasm:
                subprocess.run(["clang", "--target=wasm32", "-nostdlib", "-Wl,--no-entry", "-Wl,--export=check", "-O1",
                                "-I", place, "main.c", place + "/net.c", place + "/" + source, "-o", "wasm"],
                               cwd=self.dir, check=True)
                self.assertEqual(subprocess.run(["node", "run.js"], cwd=self.dir).returncode, 0, place)

    def test_compile_twice_gives_equal_bytes(self):
        for out in ["a", "b"]:
            self.check(OK, self.model, "-o", self.path(out), "--target=x86-64-v3")
        for name in self.files("a"):
            with open(self.path("a/" + name), "rb") as a, open(self.path("b/" + name), "rb") as b:
                self.assertEqual(a.read(), b.read(), name)

    def test_tune(self):
        """A tuned schedule is complete, is used, is left alone, and changes no result."""
        target, book = "--target=generic", "--schedule=" + self.path("m.tiles")
        p = self.run_command(self.model, "-o", "tuned", target, book, "--tune", "--tune-seconds=1")
        self.assertEqual(p.returncode, OK, p.stderr)
        self.assertRegex(p.stderr.decode(), r"^tuned 1 of 1 kernels in \d+ s: [01] tiles? changed\n$")
        text = self.read("m.tiles").decode()
        self.assertRegex(
            text,
            r"^effnetc-schedules 1 target=generic\n"
            r"gemm 1x1 pixels=16 channels=2 k=3 act=relu : mr=\d+ nv=\d+(  # .*)?\n$",
        )
        self.check(OK, self.model, "-o", "used", target, book)
        self.assertEqual(self.read("tuned/m.c"), self.read("used/m.c"))
        self.assertEqual(self.read("m.tiles").decode(), text)
        self.check(OK, "verify", self.model, target, book)
        self.assertEqual(os.listdir(self.tmp), [])

    def test_tune_keeps_other_lines(self):
        line = b"dw 3x3 pixels=7 : mr=3  # of another model\n"
        self.write("m.tiles", b"effnetc-schedules 1 target=generic\n" + line)
        args = [self.model, "-o", "out", "--target=generic", "--schedule=m.tiles"]
        p = self.run_command(*args, "--tune", "--tune-seconds=1", "--remarks")
        self.assertEqual(p.returncode, OK, p.stderr)
        self.assertTrue(self.read("m.tiles").endswith(line))
        self.assertIn(b"1 schedule is for kernels that this model does not have", p.stderr)

    def test_schedules_change_no_result(self):
        outputs = []
        for mr in [1, 3, 7, 16]:
            tile = "gemm 1x1 pixels=16 channels=2 k=3 act=relu planar : mr=%d nv=1\n" % mr
            text = "effnetc-schedules 1 target=x86-64-v4\n" + tile
            self.write("m.tiles", text.encode())
            args = ["--target=x86-64-v4", "--schedule=m.tiles"]
            self.check(OK, self.model, "-o", "out", *args)
            self.assertIn(b"conv1x1_planar_%dx1" % mr, self.read("out/m.c"))
            args += ["--backend=loop-interp", "--input", self.input, "--output", "y.npy"]
            self.check(OK, "run", self.model, *args)
            outputs.append(self.read("y.npy"))
        self.assertEqual(len(set(outputs)), 1)

    def test_schedule_mistakes(self):
        def compile(*args, **kw):
            self.check(kw.pop("code"), self.model, "-o", "out", "--target=generic", *args, **kw)
            self.assertFalse(os.path.exists(self.path("out")))

        compile("--schedule=absent", code=IO, says=["absent"])
        compile("--tune-seconds=0", code=USAGE, says=["--tune-seconds"])
        self.write("v3", b"effnetc-schedules 1 target=x86-64-v3\n")
        for more in [[], ["--tune"]]:
            compile("--schedule=v3", *more, code=BAD_MODEL, says=["v3:1:21", "another target"])
        head = b"effnetc-schedules 1 target=generic\n"
        self.write("bad", head + b"gemm 1x1 pixels=16 channels=2 k=3 : mr=17 nv=1\n")
        compile("--schedule=bad", code=BAD_MODEL, says=["bad:2:37", "mr is more than all pixels"])

    def test_emit_ir(self):
        text = self.check(OK, "compile", self.model, "--emit=graph-ir")
        self.assertIn("graph @", text)
        text = self.check(OK, "compile", self.model, "--emit=loop-ir", "-o", "-")
        self.assertIn("module @", text)
        self.check(
            OK,
            "compile",
            self.model,
            "--emit=c,graph-ir,loop-ir",
            "--ir-constants=file",
            "-o",
            self.path("out"),
        )
        for name in ["m.c", "m.graph.ir", "m.loop.ir", "constants"]:
            self.assertIn(name, self.files("out"))

    def test_emit_native(self):
        args = ["compile", self.model, "--emit=obj,asm,llvm,c", "--target=generic", "-o", self.path("out")]
        if self.run_command(*args).returncode == UNSUPPORTED:
            self.check(UNSUPPORTED, *args, says=["no LLVM backend", "--emit=c"])
            self.assertFalse(os.path.exists(self.path("out")))
            return
        self.check(OK, *args)
        beside = ["m.h", "m.json", "m.weights.bin"]
        self.assertEqual(self.files("out"), sorted(beside + ["m.c", "m.ll", "m.o", "m.s"]))
        with open(self.path("out/m.o"), "rb") as f:
            self.assertEqual(f.read(4), b"\x7fELF")
        with open(self.path("out/m.ll")) as f:
            self.assertIn("define i32 @m_run_parallel(ptr", f.read())
        with open(self.path("out/m.s")) as f:
            self.assertIn("\nm_run:", f.read())
        self.check(OK, "compile", self.model, "--emit=obj", "--target=generic", "-o", self.path("alone"))
        self.assertEqual(self.files("alone"), sorted(beside + ["m.o"]))
        for name in ["m.h", "m.weights.bin", "m.o"]:
            with open(self.path("out/" + name), "rb") as a, open(self.path("alone/" + name), "rb") as b:
                self.assertEqual(a.read(), b.read(), name)
        self.check(OK, "compile", self.model, "--emit=obj", "--weights=obj", "-o", self.path("one"))
        self.assertEqual(self.files("one"), ["m.h", "m.json", "m.o"])
        with open(self.path("one/m.h")) as f:
            self.assertIn("extern const unsigned char m_weights[M_WEIGHTS_BYTES];", f.read())
        with open(self.path("one/m.json")) as f:
            self.assertEqual(json.load(f)["weights"]["symbol"], "m_weights")
        for kinds in ["c", "c,obj", "loop-ir"]:
            args = ["compile", self.model, "--emit=" + kinds, "--weights=obj", "-o", self.path("no")]
            self.check(USAGE, *args, says=["--weights=obj", "--emit=obj"])

    def test_emit_mistakes(self):
        self.check(USAGE, "compile", self.model, says=["-o DIR"])
        self.check(USAGE, "compile", self.model, "--emit=c", "-o", "-", says=["standard output"])
        self.check(USAGE, "compile", self.model, "--emit=d", "-o", "out", says=["--emit=d"])
        self.check(USAGE, "compile", self.model, "-o", "out", "--name=9x", says=["9x", "_9x"])
        self.check(
            USAGE,
            "compile",
            self.model,
            "-o",
            "out",
            "--target=x86-64-v9",
            says=["x86-64-v9", "did you mean"],
        )
        self.check(USAGE, "compile", self.model, "-o", "out", "-O7", says=["0 to 3"])
        self.assertFalse(os.path.exists(self.path("out")))

    def test_unwritable_output(self):
        self.write("file", b"")
        self.check(IO, self.model, "-o", self.path("file"), says=["file"])
        self.check(IO, self.model, "-o", self.path("file/inside"), says=["file"])
        with open(self.path("file")) as f:
            self.assertEqual(f.read(), "")

    def test_nothing_is_half_written(self):
        os.makedirs(self.path("out/m.json"))  # a folder where a file should go
        self.check(IO, self.model, "-o", self.path("out"), says=["m.json"])
        self.assertEqual(self.files("out"), ["m.json"])

    def test_pass_options(self):
        self.check(
            OK,
            self.model,
            "-o",
            self.path("out"),
            "--print-ir-after=lower",
            says=["after lower", "module @"],
        )
        p = self.run_command(self.model, "-o", self.path("out"), "--print-ir-after=diff")
        fused = p.stderr.decode().split("after fuse-act")[1].split("# effnetc IR")[0]
        changed = [line[0] + line[1:].split("=")[1].split("%")[0].strip() for line in
                   fused.splitlines() if line[0] in "+-" and "=" in line]
        self.assertEqual(changed, ["-conv2d", "-relu", "+conv2d"])
        self.check(
            OK, self.model, "-o", self.path("out"), "--time-passes", says=["plan-memory", "ms"]
        )
        self.check(OK, self.model, "-o", self.path("out"), "--verify-passes")
        self.check(OK, self.model, "-o", self.path("out"), "--remarks", says=["->"])
        self.check(OK, self.model, "-o", self.path("out"), "--dump-ir-dir", self.path("dump"))
        self.assertTrue(any("lower" in name for name in self.files("dump")))
        self.check(OK, self.model, "-o", self.path("out"), "--dump-ir-dir", self.path("dump"), "--target=generic",
                   "--max-arena=4k", "--no-winograd", "--disable-pass=fuse-act,fuse-se")
        dumps = [name for name in self.files("dump") if name.endswith("-lower.ir")]
        self.assertEqual(self.read("dump/" + dumps[0]).splitlines()[0].decode(),
                         "# effnetc IR 1, target generic, after lower, -O2 --max-arena=4000 --no-winograd "
                         "--disable-pass=fuse-act,fuse-se")
        self.check(
            USAGE, self.model, "-o", "no", "--print-ir-after=lowre", says=["did you mean lower?"]
        )
        self.check(USAGE, self.model, "-o", "no", "--disable-pass=nonsense", says=["nonsense"])
        self.check(USAGE, self.model, "-o", "no", "--disable-pass=lower", says=["lower"])
        self.assertFalse(os.path.exists(self.path("no")))

    # ---- opt ----

    def test_opt_round_trip(self):
        first = self.check(OK, "compile", self.model, "--emit=graph-ir", "--ir-constants=inline")
        ir = self.write("m.ir", first.encode())
        again = self.check(OK, "opt", ir, "--ir-constants=inline")
        self.assertEqual(first, again)
        self.assertEqual(
            again, self.check(OK, "opt", "-", "--ir-constants=inline", stdin=first.encode())
        )

    def test_opt_continues_a_dump(self):
        self.check(
            OK,
            self.model,
            "-o",
            self.path("out"),
            "--target=generic",
            "--dump-ir-dir",
            self.path("dump"),
        )
        planned = [n for n in self.files("dump") if n.endswith("plan-memory.ir")][0]
        text = self.check(
            OK,
            "opt",
            self.path("dump/" + planned),
            "--passes=lower,expand-math",
            "--target=generic",
            "--verify-each",
        )
        self.assertIn("module @", text)

    def test_documents_continue_dumps_with_the_next_pass(self):
        self.check(OK, self.model, "-o", self.path("out"), "--dump-ir-dir", self.path("dump"))
        order = [name[3:-3] for name in sorted(self.files("dump")) if name.endswith(".ir")]
        for document in ("passes", "howto"):
            text = (pathlib.Path(__file__).parents[2] / "docs" / (document + ".md")).read_text()
            found = re.findall(r"dumps/(?:NN|\*)-([\w-]+)\.ir --passes=([\w-]+)", text)
            self.assertTrue(found, document)
            for before, name in found:
                self.assertEqual(order[order.index(before) + 1], name, document)

    def test_compile_plans_a_dump_anew(self):
        """What the layouts of a target enlarge does not fit where the dump has it."""
        ir = b"""graph @g(%x: f32[2,1,1,2]) -> f32[2,1,1,2] {
  %a = reorder %x : f32[2,1,1,2]{nchw1c, arena=0}
  %b = relu %a : f32[2,1,1,2]{nchw1c, arena=64}
  %c = relu %b : f32[2,1,1,2]{nchw1c, arena=128}
  %d = reorder %c : f32[2,1,1,2]
  return %d "d"
}
"""
        args = ["compile", "-", "--target=x86-64-v4", "--emit=graph-ir"]
        self.check(OK, *args, stdin=ir)

    def test_opt_mistakes(self):
        self.check(BAD_MODEL, "opt", "-", stdin=b"hello\n", says=["<stdin>", "no IR text"])
        self.check(BAD_MODEL, "opt", "-", stdin=b"", says=["no IR text"])
        self.check(
            BAD_MODEL,
            "opt",
            "-",
            stdin=b"graph @g(%x: f32[1]) -> f32[1] {\n  return %y\n}\n",
            says=["<stdin>:2"],
        )
        self.check(IO, "opt", "none.ir", says=["none.ir"])
        self.check(USAGE, "opt", says=["opt needs FILE.ir", "opt --help"])
        self.assertEqual(self.check(OK, "opt", "--passes=list"), self.check(OK, "passes"))
        ok = b"graph @g(%x: f32[1]) -> f32[1] {\n  %y = relu %x : f32[1]\n  return %y\n}\n"
        self.check(OK, "opt", "-", stdin=ok)
        self.check(USAGE, "opt", "-", "--passes=canonicalize", stdin=ok, says=["canonicalise"])
        self.check(USAGE, "opt", "-", "--passes=expand-math", stdin=ok, says=["loop IR"])

    # ---- memory ----

    def expand_model(self):
        """A 1x1 convolution and a depthwise one behind it, larger between them than at the ends."""
        attributes = [onnx.integer("group", 32), onnx.ints("strides", [2, 2])]
        nodes = [
            onnx.node("Conv", ["x", "w"], ["e"], "expand"),
            onnx.node("Conv", ["e", "d"], ["y"], "depthwise", attributes),
        ]
        weights = [
            onnx.tensor("w", [32, 3, 1, 1], [0.5] * 96),
            onnx.tensor("d", [32, 1, 3, 3], [0.25] * 288),
        ]
        x, y = onnx.value_info("x", [1, 3, 64, 64]), onnx.value_info("y", [1, 32, 31, 31])
        return onnx.model(nodes=nodes, inputs=[x], outputs=[y], initializers=weights)

    def test_memory(self):
        model = self.write("e.onnx", self.expand_model())
        arenas = json.loads(self.check(OK, "inspect", model, "--memory", "--json"))["arenas"]
        sizes = [a["arena_bytes"] for a in arenas]
        self.assertGreater(len(sizes), 1)
        self.assertEqual(sizes, sorted(set(sizes), reverse=True))
        self.assertEqual(arenas[0]["changed"], [])
        self.assertTrue(all(a["changed"] for a in arenas[1:]))
        text = self.check(OK, "inspect", model, "--memory")
        for size in sizes:
            self.assertIn(str(size), text)
        for size in sizes:
            self.check(OK, "verify", model, f"--max-arena={size}", "--backend=loop-interp")
            info = json.loads(self.check(OK, "inspect", model, "--json", f"--max-arena={size}"))
            self.assertLessEqual(info["memory"]["arena_bytes"], size)
        least = str(sizes[-1])
        self.check(BUDGET, "inspect", model, f"--max-arena={sizes[-1] - 1}", says=[least, "least"])
        for wrong in ("-1", "1.5", "4X", "M"):
            self.check(USAGE, "inspect", model, f"--max-arena={wrong}", says=["whole number"])


if __name__ == "__main__":
    unittest.main()
