#!/usr/bin/env python3
"""The command from outside: exit codes, messages, and what is left on disk.

EFFNETC_COMMAND is the built command."""

import json
import os
import re
import shutil
import subprocess
import unittest

import onnx_bytes as onnx
from workplace import Workplace

COMMAND = os.environ.get("EFFNETC_COMMAND", "effnetc")
OK, USAGE, BAD_MODEL, UNSUPPORTED, BUDGET, VERIFY, IO = 0, 1, 2, 3, 4, 5, 74

X = onnx.value_info("x", [1, 3, 4, 4])
Y = onnx.value_info("y", [1, 2, 4, 4])
WEIGHTS = [0.5, -1, 0.25, 1, 2, -0.5]


def conv_model(**changes):
    """y = relu(conv1x1(x)), with two output channels."""
    parts = dict(
        nodes=[
            onnx.node("Conv", ["x", "w"], ["c"], "conv"),
            onnx.node("Relu", ["c"], ["y"], "act"),
        ],
        inputs=[X],
        outputs=[Y],
        initializers=[onnx.tensor("w", [2, 3, 1, 1], WEIGHTS)],
    )
    parts.update(changes)
    return onnx.model(**parts)


def picture_values():
    return [((i * 37) % 101) / 50 - 1 for i in range(48)]


def expected(x):
    out = []
    for c in range(2):
        w = WEIGHTS[3 * c : 3 * c + 3]
        out += [max(sum(w[k] * x[16 * k + p] for k in range(3)), 0) for p in range(16)]
    return out


class Cli(Workplace):
    def setUp(self):
        super().setUp()
        self.tmp = self.path("tmp")
        os.mkdir(self.tmp)
        self.model = self.write("m.onnx", conv_model())
        self.input = self.write("x.npy", onnx.npy([1, 3, 4, 4], picture_values()))

    def run_command(self, *args, stdin=b"", env=None, cwd=None):
        e = {**os.environ, "TMPDIR": self.tmp, **(env or {})}
        return subprocess.run(
            [COMMAND, *args],
            input=stdin,
            capture_output=True,
            env=e,
            cwd=cwd or self.dir,
            timeout=120,
        )

    def check(self, code, *args, says=(), **kw):
        """Runs the command; its exit code, and words of its messages. Returns its output."""
        p = self.run_command(*args, **kw)
        err = p.stderr.decode(errors="replace")
        self.assertEqual(p.returncode, code, "%s\n%s" % (" ".join(args), err))
        for word in says:
            self.assertIn(word, err, " ".join(args))
        self.assertNotIn("Sanitizer", err)
        if code == OK:
            self.assertNotIn("error:", err)
        else:
            self.assertIn("error:", err)
        return p.stdout.decode(errors="replace")

    # ---- the command as a whole ----

    def test_usage(self):
        self.assertIn("commands:", self.check(OK, "--help"))
        self.assertRegex(self.check(OK, "--version"), r"^effnetc \d+\.\d+\.\d+ \((without )?LLVM[ \d.]*\)\n$")
        self.check(USAGE, says=["no command"])
        self.check(USAGE, "complie", says=["complie", "did you mean compile?"])

    def test_every_command_has_help(self):
        listing = self.check(OK, "--help")
        commands = ["compile", "run", "verify", "bench", "inspect", "diff", "new", "scale", "opt", "ops", "passes", "targets"]
        for name in commands:
            self.assertIn("\n  %s " % name, listing)
            text = self.check(OK, name, "--help")
            self.assertTrue(text.startswith("usage: effnetc %s [options]" % name), text)
            self.assertIn("--color=auto|always|never", text)
            self.assertEqual([line for line in text.splitlines() if len(line) > 100 or line.endswith(" ")], [])

    def test_tables(self):
        self.assertIn("Conv", self.check(OK, "ops"))
        self.assertIn("lower", self.check(OK, "passes"))
        self.assertIn("generic", self.check(OK, "targets"))
        self.check(USAGE, "ops", "extra", says=["no arguments"])

    def test_unknown_options(self):
        self.check(
            USAGE,
            "compile",
            self.model,
            "-o",
            "out",
            "--taget=generic",
            says=["no option --taget", "did you mean --target?"],
        )
        self.check(USAGE, "run", self.model, "--nonsense", says=["--nonsense", "run --help"])
        self.assertFalse(os.path.exists(self.path("out")))

    def test_options_of_later_versions_are_unknown(self):
        for option in ["--mcpu=x", "--input-layout=nhwc"]:
            self.check(USAGE, "compile", self.model, "-o", "out", option, says=["no option"])

    def test_an_arena_that_is_too_small_is_over_budget(self):
        self.check(4, "compile", self.model, "-o", "out", "--max-arena=1", says=["arena"])

    def test_color(self):
        def colored(*args, **kw):
            return b"\x1b[" in self.run_command("run", self.path("none.onnx"), *args, **kw).stderr

        self.assertFalse(colored())
        self.assertTrue(colored("--color=always"))
        self.assertTrue(colored("--color=always", env={"NO_COLOR": "1"}))
        self.assertFalse(colored("--color=never"))
        self.check(USAGE, "run", self.model, "--color=blue", says=["auto|always|never"])

    # ---- members of the family ----

    SMALL = ["b0", "--width=0.25", "--depth=0.5", "--resolution=32", "--classes=10"]

    def test_new_lists_members(self):
        lines = self.check(OK, "new", "--list").splitlines()
        self.assertEqual(len(lines), 27)
        self.assertRegex(lines[1], r"^b0 +EfficientNet-B0 +1 +1 +224 +5288548 +385814752$")
        self.assertRegex(lines[10], r"^l2 .* 4.3 +5.3 +800 +480309308 ")
        members = json.loads(self.check(OK, "new", "--list", "--json"))
        self.assertEqual([m["id"] for m in members], [line.split()[0] for line in lines[1:]])
        self.assertEqual(members[9]["macs"], 475703653280)

    def test_new_makes_models_that_run(self):
        self.assertIn("s.onnx", self.check(OK, "new", *self.SMALL, "-o", "s.onnx"))
        self.assertIn("PASS", self.check(OK, "verify", "s.onnx"))
        first = self.read("s.onnx")
        self.check(OK, "new", *self.SMALL, "-o", "again.onnx")
        self.assertEqual(self.read("again.onnx"), first)
        self.check(OK, "new", *self.SMALL, "--seed=2", "-o", "other.onnx")
        self.assertNotEqual(self.read("other.onnx"), first)
        self.assertIn("same graph", self.check(OK, "diff", "s.onnx", "other.onnx"))

    def test_new_is_recognised(self):
        self.check(OK, "new", "LITE0", "--unmeasured", "--batch=n", "--external-data", "-o", "l.onnx")
        text = self.check(OK, "inspect", "l.onnx", "--dim=n=2", "--target=generic")
        self.assertIn("EfficientNet-Lite0, 224x224", text)
        self.assertIn("input f32[2,3,224,224]", text)
        self.assertTrue(os.path.getsize(self.path("l.onnx.data")) > 4 * 4600000)

    def test_new_scales(self):
        text = self.check(OK, "new", "--phi=1", "--dry-run")
        self.assertRegex(text, r"b0_scaled .* 1.1 +1.2 +256 ")
        text = self.check(OK, "new", "lite0", "--phi=2", "--alpha=1", "--beta=1.2", "--gamma=1", "--dry-run")
        self.assertRegex(text, r"lite0_scaled .* 1.44 +1 +224 ")
        text = self.check(OK, "new", "v2_b0", "--depth=2", "--resolution=64", "--dry-run")
        self.assertRegex(text, r"v2_b0_scaled .* 1 +2 +64 ")

    def test_new_says_all_that_is_wrong(self):
        self.check(
            USAGE, "new", "b9", "--phi=99", "--beta=0", "--width=2", "--batch=0",
            says=["\"b9\"", "did you mean b0?", "--phi", "--beta", "--width", "--batch", "-o FILE.onnx"],
        )
        self.check(USAGE, "new", says=["needs a MEMBER", "-o FILE.onnx"])
        self.check(USAGE, "new", "--alpha=1.1", "--dry-run", says=["need --phi"])
        self.check(USAGE, "new", "b0", "--phi=-16", "--dry-run", says=["resolution", "32 to 4096"])
        self.check(USAGE, "new", "b0", "--width=16", "--depth=16", "-o", "x.onnx", says=["parameters", "--dry-run"])
        self.check(USAGE, "new", "l2", "--batch=1024", "--resolution=4096", "--dry-run", says=["2^36"])
        self.check(USAGE, "new", "v2-s", "--width=16", "--classes=1000000", "--dry-run", says=["2^36"])
        self.check(IO, "new", *self.SMALL, "-o", self.dir, says=[self.dir])
        self.assertFalse(os.path.exists(self.path("x.onnx")))

    SCALE = ["scale", "--base=lite0", "--classes=10", "--target=generic"]

    def test_scale(self):
        text = self.check(OK, *self.SCALE, "--budget-macs=20M", "--clock=1", "-o", "c.onnx")
        chosen = [line.split() for line in text.splitlines() if line.endswith("chosen")]
        self.assertEqual(len(chosen), 1)
        self.assertTrue(16e6 < int(chosen[0][8]) <= 20e6, chosen)
        self.assertIn("MACs        %s" % chosen[0][8], self.check(OK, "inspect", "c.onnx", "--target=generic"))

    def test_scale_says_all_that_is_wrong(self):
        self.check(USAGE, *self.SCALE, says=["needs a budget", "--budget-macs"])
        self.check(
            USAGE, "scale", "--base=b9", "--budget-macs=2X", "--budget-ms=-1", "--alpha=3", "--target=none", "-o-",
            says=["\"b9\"", "--output needs a file", "--budget-macs", "\"2X\"", "--budget-ms", "go together", "--alpha", "\"none\""],
        )

    def test_scale_as_json(self):
        text = self.check(OK, *self.SCALE, "--budget-macs=5M", "--alpha=1.2", "--beta=1.1", "--gamma=1.15", "--json")
        [candidate] = json.loads(text)["candidates"]
        self.assertTrue(candidate["chosen"] and candidate["macs"] <= 5e6)
        self.assertIsNone(candidate["measured_ms"])

    def test_scale_measures_apart_from_its_results(self):
        p = subprocess.run([COMMAND, "scale", "--base=lite0", "--classes=10", "--alpha=1.2", "--beta=1.1",
                            "--gamma=1.15", "--budget-macs=20M", "--measure", "--json"],
                           capture_output=True, timeout=600, check=True)
        chosen = json.loads(p.stdout)["candidates"][0]
        self.assertGreater(chosen["measured_ms"], 0)
        self.assertIn("measured: ", p.stderr.decode())

    def test_scale_keeps_to_its_budgets(self):
        """What it says that a network takes is what compiling it takes."""
        factors = ["--alpha=1.2", "--beta=1.1", "--gamma=1.15"]
        for budget, found, bound in [("--budget-arena=200k", "arena_bytes", 200e3),
                                     ("--budget-flash=3M", "flash_bytes", 3e6), ("--budget-macs=30M", "macs", 30e6)]:
            model = os.path.join(self.dir, "scaled.onnx")
            text = self.check(OK, *self.SCALE, *factors, budget, "--json", "-o", model)
            [chosen] = json.loads(text)["candidates"]
            self.assertLessEqual(chosen[found], bound)
            self.assertGreater(chosen[found], 0.7 * bound)
            info = json.loads(self.check(OK, "inspect", model, "--json", "--target=generic"))
            self.assertEqual((chosen["macs"], chosen["parameters"]), (info["macs"], info["parameters"]))
            self.assertEqual((chosen["arena_bytes"], chosen["flash_bytes"]),
                             (info["memory"]["arena_bytes"], info["memory"]["weights_bytes"]))

    def test_scale_stops_at_the_largest_network(self):
        """Only the resolution grows here, so that it is small."""
        factors = ["--alpha=1", "--beta=1", "--gamma=1.05"]
        text = self.check(OK, *self.SCALE, *factors, "--budget-macs=1000G", says=["allows more", "476 GMACs"])
        self.assertRegex(text, r"\n +12\.00 .* chosen")
        self.check(USAGE, *self.SCALE, "--budget-macs=inf", says=["--budget-macs"])

    def test_scale_can_fail(self):
        self.check(BUDGET, *self.SCALE, "--budget-flash=1k", says=["flash: at least", "the budget is 1"])
        self.check(BUDGET, "scale", "--base=l2", "--classes=1000000", "--budget-macs=9G", says=["481 M are tried"])

    # ---- models that can't be had ----

    def test_missing_model(self):
        self.check(IO, "compile", "none.onnx", "-o", "out", says=["none.onnx"])
        self.check(IO, "compile", self.dir, "-o", "out", says=[self.dir])

    def test_broken_models(self):
        whole = conv_model()
        for name, data in [
            ("empty.onnx", b""),
            ("text.onnx", b"hello, this is not a model\n" * 9),
            ("cut.onnx", whole[: len(whole) // 2]),
            ("tail.onnx", whole[:-1]),
            ("start.onnx", whole[:3]),
        ]:
            self.check(BAD_MODEL, "compile", self.write(name, data), "-o", "out", says=[name])
        self.assertFalse(os.path.exists(self.path("out")))

    def test_every_truncation_is_refused(self):
        whole = conv_model()
        for n in range(0, len(whole), 7):
            self.check(BAD_MODEL, "compile", self.write("cut.onnx", whole[:n]), "-o", "out")

    def test_all_unsupported_operators_are_named(self):
        data = conv_model(
            nodes=[
                onnx.node("Conv", ["x", "w"], ["c"], "conv"),
                onnx.node("Multinomial", ["c"], ["d"], "blocks.1/attn"),
                onnx.node("Frobnicate", ["d"], ["y"], "blocks.2/new"),
            ]
        )
        self.check(
            UNSUPPORTED,
            "compile",
            self.write("u.onnx", data),
            "-o",
            "out",
            says=["Multinomial", "blocks.1/attn", "Frobnicate", "blocks.2/new", "reason"],
        )
        self.assertFalse(os.path.exists(self.path("out")))

    def test_inconsistent_models(self):
        self.check(
            BAD_MODEL,
            "compile",
            self.write("v.onnx", conv_model(initializers=[])),
            "-o",
            "out",
            says=["\"w\""],
        )
        short = onnx.tensor("w", [2, 3, 1, 1], WEIGHTS[:-1])
        self.check(
            BAD_MODEL,
            "compile",
            self.write("s.onnx", conv_model(initializers=[short])),
            "-o",
            "out",
            says=["w"],
        )

    def sparse_model(self, *sparse):
        return self.write("s.onnx", conv_model(initializers=[], sparse=[onnx.sparse_tensor(*sparse)]))

    def test_sparse_weights(self):
        """By places and by coordinates, as initializer and as constant: the dense model."""
        values, shape = [0.5, 2, -0.5], [2, 3, 1, 1]
        dense = [0.5, 0, 0, 0, 2, -0.5]
        model = conv_model(initializers=[onnx.tensor("w", shape, dense)])
        run = ("run", "--input", self.input, "--backend=interp", "--output", "-")
        wanted = self.run_command(*run, self.write("d.onnx", model)).stdout
        places = [0, 4, 5]
        corners = [[0, 0, 0, 0], [1, 1, 0, 0], [1, 2, 0, 0]]
        for indices in [places, corners]:
            m = self.sparse_model("w", shape, values, indices)
            self.assertEqual(self.run_command(*run, m).stdout, wanted)
            attribute = onnx.field(1, "sparse_value") + onnx.field(20, 11)
            attribute += onnx.field(22, onnx.sparse_tensor("", shape, values, indices))
            nodes = [onnx.node("Constant", [], ["w"], "k", [attribute]),
                     onnx.node("Conv", ["x", "w"], ["c"]), onnx.node("Relu", ["c"], ["y"])]
            m = self.write("c.onnx", conv_model(nodes=nodes, initializers=[]))
            self.assertEqual(self.run_command(*run, m).stdout, wanted)

    def test_sparse_mistakes(self):
        shape = [2, 3, 1, 1]
        for values, indices, says in [
            ([1], [6], "out of range"),
            ([1], [-1], "out of range"),
            ([1, 2], [4, 3], "not behind"),
            ([1, 2], [3, 3], "not behind"),
            ([1, 2], [3], "don't fit"),
            ([1], [[0, 0, 0]], "don't fit"),
            ([1], [[0, 3, 0, 0]], "out of range"),
            ([1], [[0, 1 << 62, 0, 0]], "out of range"),
        ]:
            m = self.sparse_model("w", shape, values, indices)
            self.check(BAD_MODEL, "inspect", m, says=["sparse", says])
        self.check(BAD_MODEL, "inspect", self.sparse_model("", shape, [1], [0]), says=["no name"])
        huge = self.sparse_model("w", [1 << 15, 1 << 15, 1, 1], [1], [0])
        self.check(UNSUPPORTED, "inspect", huge, says=["sparse", "64 times"])
        self.check(BAD_MODEL, "inspect", self.sparse_model("w", [-1], [1], [0]), says=["negative"])

    def test_symbolic_dimensions(self):
        data = conv_model(
            inputs=[onnx.value_info("x", ["batch", 3, 4, 4])],
            outputs=[onnx.value_info("y", ["batch", 2, 4, 4])],
        )
        m = self.write("d.onnx", data)
        self.assertIn("f32[2,3,4,4]", self.check(OK, "inspect", m, "--dim", "batch=2"))
        self.check(USAGE, "inspect", m, "--dim", "batch", says=["NAME=N"])
        self.check(USAGE, "inspect", m, "--dim", "batch=0", says=["NAME=N"])

    def dynamic_model(self):
        return self.write(
            "d.onnx",
            conv_model(
                inputs=[onnx.value_info("x", ["batch", 3, "rows", 4])],
                outputs=[onnx.value_info("y", ["batch", 2, "rows", 4])],
            ),
        )

    def test_dimensions_come_from_the_inputs(self):
        m, x = self.dynamic_model(), [v / 10 for v in range(3 * 48)]
        array = onnx.npy([3, 3, 4, 4], x)
        self.write("x3.npy", array)
        for backend in ("interp", "loop-interp", "c"):
            args = ("run", m, "--backend", backend, "--output", "-")
            out = self.run_command(*args, "--input", "x3.npy")
            self.assertEqual((out.returncode, out.stderr), (0, b""))
            wanted = [v for i in range(3) for v in expected(x[48 * i : 48 * i + 48])]
            found = onnx.read_npy(out.stdout)
            self.assertEqual(len(found), len(wanted))
            for a, b in zip(found, wanted):
                self.assertAlmostEqual(a, b, places=4)
            self.assertEqual(self.run_command(*args, "--input=x=-", stdin=array).stdout, out.stdout)
        self.check(OK, "verify", m, "--input", "x3.npy", "--dim", "batch=3", "--dim", "rows=4")

    def test_dimensions_that_disagree(self):
        m = self.dynamic_model()
        self.write("x3.npy", onnx.npy([3, 3, 4, 4], [0] * 144))
        for command in ("run", "verify"):
            self.check(
                USAGE, command, m, "--input", "x3.npy", "--dim", "batch=2",
                says=['dimension "batch" has two sizes', "2 from --dim", "3 from x3.npy"],
            )  # fmt: skip
        m = self.write(
            "two.onnx",
            onnx.model(
                [onnx.node("Add", ["a", "b"], ["y"])],
                [onnx.value_info("a", ["n", 2]), onnx.value_info("b", ["n", 2])],
                [onnx.value_info("y", ["n", 2])],
            ),
        )
        self.write("a.npy", onnx.npy([3, 2], [1] * 6))
        self.write("b.npy", onnx.npy([2, 2], [1] * 4))
        self.check(
            USAGE, "run", m, "--input", "a.npy", "--input", "b.npy",
            says=['dimension "n" has two sizes', "3 from a.npy", "2 from b.npy"],
        )  # fmt: skip
        self.check(OK, "run", m, "--input", "a.npy", "--input", "a.npy", "--backend=interp")

    def test_arrays_that_fit_no_dimension(self):
        m = self.dynamic_model()
        self.write("flat.npy", onnx.npy([48], [0] * 48))
        self.check(USAGE, "run", m, "--input", "flat.npy", "--dim=rows=4", says=["does not fit"])
        self.write("other.npy", onnx.npy([1, 5, 4, 4], [0] * 80))
        self.check(USAGE, "run", m, "--input", "other.npy", says=["[1,3,4,4]", "[1,5,4,4]"])
        self.write("none.npy", onnx.npy([0, 3, 4, 4], []))
        self.check(USAGE, "run", m, "--input", "none.npy", says=["does not fit"])
        self.check(USAGE, "run", m, "--input", "a.npy", "--input", "b.npy", says=["no tensor left"])
        self.check(IO, "run", m, "--input", "missing.npy", says=["missing.npy"])

    def test_the_batch_is_one_where_nobody_says(self):
        m = self.write(
            "b.onnx", conv_model(inputs=[onnx.value_info("x", ["batch", 3, 4, 4])], outputs=[Y])
        )
        self.assertIn("f32[1,3,4,4]", self.check(OK, "inspect", m))
        p = self.run_command("compile", m, "-o", "out", "--remarks")
        self.assertIn(b'remark: dimension "batch"', p.stderr)
        p = self.run_command("run", m, "--input", self.input, "--backend", "interp")
        self.assertEqual(p.stderr, b"")

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

    # ---- run ----

    def test_backends_agree_with_arithmetic(self):
        want = expected(picture_values())
        for backend in ["interp", "loop-interp", "c"]:
            for target in ["generic", "native"]:
                self.check(
                    OK,
                    "run",
                    self.model,
                    "--input",
                    self.input,
                    "--output",
                    self.path("y.npy"),
                    "--backend",
                    backend,
                    "--target",
                    target,
                )
                with open(self.path("y.npy"), "rb") as f:
                    got = onnx.read_npy(f.read())
                self.assertEqual(len(got), len(want))
                for a, b in zip(got, want):
                    self.assertAlmostEqual(a, b, places=5, msg=backend + " " + target)

    def test_ways_to_say_inputs_and_outputs(self):
        self.check(
            OK,
            "run",
            self.model,
            "--input=x=" + self.input,
            "--output",
            "y=" + self.path("a.npy"),
            "--output-dir",
            self.path("all"),
        )
        with open(self.path("a.npy"), "rb") as a, open(self.path("all/0.npy"), "rb") as b:
            self.assertEqual(a.read(), b.read())
        with open(self.input, "rb") as f:
            data = f.read()
        p = self.run_command("run", self.model, "--input", "-", "--output", "-", stdin=data)
        self.assertEqual(p.returncode, OK, p.stderr)
        self.assertEqual(len(onnx.read_npy(p.stdout)), 32)
        self.assertIn("y f32[1,2,4,4]", self.check(OK, "run", self.model, "--input", self.input))

    def test_input_mistakes(self):
        def run(name, data, code, *says):
            self.check(
                code, "run", self.model, "--input", self.write(name, data), says=(name,) + says
            )

        values = picture_values()
        run(
            "shape.npy",
            onnx.npy([1, 3, 4, 5], values + values[:12]),
            USAGE,
            "wanted",
            "f32[1,3,4,4]",
            "found",
            "f32[1,3,4,5]",
        )
        run(
            "dtype.npy",
            onnx.npy([1, 3, 4, 4], values, "d"),
            USAGE,
            "wanted",
            "f32[1,3,4,4]",
            "found",
            "f64[1,3,4,4]",
            "astype",
        )
        run("cut.npy", onnx.npy([1, 3, 4, 4], values)[:-1], BAD_MODEL, "192 bytes")
        run("text.npy", b"hello", BAD_MODEL, "not a .npy file")
        self.check(IO, "run", self.model, "--input", "none.npy", says=["none.npy"])
        self.check(USAGE, "run", self.model, says=["input x has no file", "--input=x=FILE"])
        self.check(
            USAGE,
            "run",
            self.model,
            "--input",
            self.input,
            "--input",
            self.input,
            says=["no tensor left"],
        )
        self.check(
            USAGE,
            "run",
            self.model,
            "--input=x=" + self.input,
            "--input=x=" + self.input,
            says=["x twice"],
        )

    def test_pictures(self):
        pixels = bytes((i * 5) % 256 for i in range(48))
        ppm = self.write("p.ppm", b"P6 4 4 255\n" + pixels)
        self.check(
            OK,
            "run",
            self.model,
            "--input",
            ppm,
            "--mean=127",
            "--std=128",
            "--output",
            self.path("y.npy"),
        )
        x = [(pixels[3 * p + c] - 127) / 128 for c in range(3) for p in range(16)]
        with open(self.path("y.npy"), "rb") as f:
            for a, b in zip(onnx.read_npy(f.read()), expected(x)):
                self.assertAlmostEqual(a, b, places=5)
        self.check(OK, "run", self.model, "--input", ppm, says=["warning", "--mean"])
        self.check(USAGE, "run", self.model, "--input", ppm, "--mean=1,2", says=["--mean"])
        self.check(USAGE, "run", self.model, "--input", ppm, "--std=a", says=["--std"])
        self.check(USAGE, "run", self.model, "--input", ppm, "--crop=2", "--mean=0", says=["crop"])
        for resize in ["0", "x"]:
            self.check(USAGE, "run", self.model, "--input", ppm, "--resize=" + resize, says=["--resize"])
        self.check(
            BAD_MODEL,
            "run",
            self.model,
            "--input",
            self.write("cut.ppm", b"P6 4 4 255\nabc"),
            says=["cut.ppm", "ends after 3"],
        )

    def test_labels(self):
        labels = self.write("labels.txt", b"".join(b"class %d\n" % i for i in range(32)))
        best = max(range(32), key=lambda i: expected(picture_values())[i])
        text = self.check(
            OK, "run", self.model, "--input", self.input, "--labels", labels, "--top", "3"
        )
        lines = text.splitlines()
        self.assertEqual(len(lines), 4)
        self.assertIn("class %d" % best, lines[1])
        self.check(IO, "run", self.model, "--input", self.input, "--labels", "none", says=["none"])
        self.check(
            BAD_MODEL,
            "run",
            self.model,
            "--input",
            self.input,
            "--labels",
            self.write("bad.json", b"[1, 2]"),
            says=["bad.json", "class 0"],
        )

    def test_threads_do_not_change_the_output(self):
        outputs = []
        for n in ("1", "2", "3", "0"):
            self.check(
                OK,
                "run",
                self.model,
                "--input",
                self.input,
                "--threads=" + n,
                "--output=" + self.path(n + ".npy"),
            )
            with open(self.path(n + ".npy"), "rb") as f:
                outputs.append(f.read())
        self.assertEqual(outputs, outputs[:1] * 4)
        self.check(
            USAGE, "run", self.model, "--input", self.input, "--threads=-1", says=["--threads"]
        )

    def test_c_compilers(self):
        self.check(
            IO,
            "run",
            self.model,
            "--input",
            self.input,
            "--cc=no-such-cc",
            says=["no-such-cc", "--cc"],
        )
        self.check(
            IO,
            "run",
            self.model,
            "--backend=c",
            "--input",
            self.input,
            env={"CC": "no-such-cc"},
            says=["no-such-cc"],
        )
        self.check(OK, "run", self.model, "--input", self.input, "--cc=cc -DUNUSED")
        broken = self.check(
            70, "run", self.model, "--input", self.input, "--cc=cc -DUNUSED --no-such-flag"
        )
        self.assertEqual(broken, "")
        self.assertEqual(os.listdir(self.tmp), [])
        self.check(
            IO,
            "run",
            self.model,
            "--backend=c",
            "--input",
            self.input,
            env={"TMPDIR": self.path("none")},
            says=["TMPDIR"],
        )

    # ---- verify ----

    def test_verify(self):
        for backend in ["c", "loop-interp"]:
            for level in range(4):
                text = self.check(OK, "verify", self.model, "--backend", backend, "-O%d" % level)
                self.assertRegex(text, r"\ny .*PASS\n")
        self.check(OK, "verify", self.model, "--input", self.input, "--seed=3")

    def test_verify_against_files(self):
        good = expected(picture_values())
        bad = good[:]
        bad[17] += 0.01
        nan = good[:]
        nan[4] = float("nan")
        files = {
            name: self.write(name, onnx.npy([1, 2, 4, 4], v))
            for name, v in [("good.npy", good), ("bad.npy", bad), ("nan.npy", nan)]
        }

        def verify(code, name, *args, says=()):
            return self.check(
                code,
                "verify",
                self.model,
                "--input",
                self.input,
                "--expect",
                "y=" + files[name],
                *args,
                says=says
            )

        self.assertIn("PASS", verify(OK, "good.npy"))
        self.assertIn("FAIL", verify(VERIFY, "bad.npy", says=["output y", "element 17"]))
        self.assertIn("FAIL", verify(VERIFY, "nan.npy", says=["NaN", "element 4"]))
        verify(OK, "bad.npy", "--tolerance=0.1")
        verify(OK, "bad.npy", "--atol=0.02")
        verify(VERIFY, "bad.npy", "--atol=0.001", says=["1 elements are outside"])
        verify(VERIFY, "bad.npy", "--atol=0.02", "--tolerance=1e-4")
        verify(USAGE, "bad.npy", "--tolerance=-1")
        shape = self.write("shape.npy", onnx.npy([2, 2, 4, 2], good))
        self.check(
            USAGE,
            "verify",
            self.model,
            "--input",
            self.input,
            "--expect",
            shape,
            says=["shape.npy", "wanted", "f32[1,2,4,4]"],
        )

    def test_verify_is_of_the_graph_before_any_pass(self):
        text = self.check(OK, "verify", self.model, "--disable-pass=fuse-act,fuse-pad")
        self.assertIn("PASS", text)

    # ---- bench ----

    def bench(self, *args):
        text = self.check(OK, "bench", self.model, "--seconds=0.05", "--json", *args)
        info = json.loads(text)
        self.assertGreater(info["min_us"], 0)
        self.assertLessEqual(info["min_us"], info["median_us"])
        self.assertLessEqual(info["median_us"], info["p90_us"])
        self.assertGreaterEqual(info["runs"], 50)
        self.assertEqual(info["macs"], 96)
        self.assertAlmostEqual(
            info["gmacs_per_second"], 1e-3 * info["macs"] / info["min_us"], places=6
        )
        # No core does less than a multiply-add in ten cycles, or more than 1000 in one.
        self.assertTrue(0.1 < info["peak_gmacs_per_second"] < 1e4)
        self.assertGreater(info["peak_share"], 0)
        self.assertAlmostEqual(
            info["peak_share"] * info["peak_gmacs_per_second"], info["gmacs_per_second"], places=6
        )
        return info

    def test_bench(self):
        info = self.bench("--threads=1", "-O1")
        self.assertEqual((info["model"], info["threads"], info["opt_level"]), ("m.onnx", 1, 1))
        self.assertNotIn("layers", info)
        self.assertEqual(self.bench("--target=generic", "--seed=7")["target"], "generic")
        self.assertEqual(self.bench("--threads=2", "--input", self.input)["threads"], 2)
        text = self.check(OK, "bench", self.model, "--seconds=0")
        for line in [r"minimum +[\d.e-]+ ms", r"MACs +96", r"share +[\d.e+-]+% of the peak"]:
            self.assertRegex(text, r"(?m)^%s$" % line)
        self.assertEqual(os.listdir(self.tmp), [])

    def test_bench_per_layer(self):
        info = self.bench("--per-layer", "--target=generic")
        nodes = json.loads(self.check(OK, "inspect", self.model, "--json", "--target=generic"))
        layers, ops = info["layers"], info["ops"]
        for key in ["op", "macs", "shape", "from"]:
            self.assertEqual([l[key] for l in layers], [n[key] for n in nodes["ops"]])
        for layer in layers:
            self.assertGreaterEqual(layer["us"], 0)
            self.assertGreater(layer["bytes"], 0)
        self.assertLessEqual(sum(l["us"] for l in layers), info["min_us"] + 1e-6)
        self.assertEqual(len({op["op"] for op in ops}), len(ops))
        for op in ops:
            mine = [l for l in layers if l["op"] == op["op"]]
            self.assertEqual(op["steps"], len(mine))
            for key in ["macs", "bytes"]:
                self.assertEqual(op[key], sum(l[key] for l in mine))
            self.assertAlmostEqual(op["us"], sum(l["us"] for l in mine))
        self.assertEqual(sum(op["steps"] for op in ops), len(layers))
        self.assertEqual(ops, sorted(ops, key=lambda op: -op["us"]))
        conv = next(l for l in layers if l["op"] == "conv2d")
        # 48 elements in, 32 out, 6 weights, of 4 bytes.
        self.assertEqual((conv["macs"], conv["bytes"]), (96, 344))
        text = self.check(OK, "bench", self.model, "--seconds=0", "--per-layer", "--threads=2")
        self.assertRegex(text, r"(?m)^ .* conv2d +f32\[1,2,4,4\] +conv \(\+1\)$")
        self.assertRegex(text, r"(?m)^ .*% +1  conv2d$")

    def test_bench_trace(self):
        """Events of a track nest, runs and steps follow each other, and parts are of their steps."""
        here = os.path.dirname(os.path.abspath(__file__))
        lite0 = os.path.join(here, os.pardir, os.pardir, "examples", "models", "efficientnet_lite0.onnx")
        for model, threads in [(lite0, 2), (self.model, 1)]:
            path = self.path("trace.json")
            args = ["--seconds=0", "--threads=%d" % threads, "--trace", path, "--target=generic"]
            self.assertNotIn("conv2d", self.check(OK, "bench", model, *args))
            with open(path) as f:
                trace = json.load(f)
            events = [e for e in trace["traceEvents"] if e["ph"] == "X"]
            names = {e["args"]["name"] for e in trace["traceEvents"] if e["ph"] == "M"}
            self.assertIn("caller", names)
            open_until = {}
            for e in events:
                start = round(1000 * e["ts"])
                end = start + round(1000 * e["dur"])
                stack = open_until.setdefault(e["tid"], [])
                while stack and stack[-1][0] <= start:
                    stack.pop()
                self.assertTrue(0 <= start <= end and (not stack or end <= stack[-1][0]), e)
                if e["cat"] == "run":
                    self.assertEqual(stack, [])
                elif e["tid"] == 0:
                    self.assertEqual(stack[0][1]["cat"], "run")
                if e["cat"] == "block":
                    self.assertEqual(len(stack), 1)
                stack.append((end, e))
            runs = [e for e in events if e["cat"] == "run"]
            self.assertEqual([e["name"] for e in runs], ["run %d" % i for i in range(1, 6)])
            ops = json.loads(self.check(OK, "inspect", model, "--json", "--target=generic"))["ops"]
            steps = [e for e in events if "op" in e.get("args", {})]
            self.assertEqual([e["args"]["step"] for e in steps], 5 * list(range(len(ops))))
            for e in steps:
                op = ops[e["args"]["step"]]
                for key in ["op", "macs", "bytes", "from"]:
                    self.assertEqual(e["args"][key], op[key])
            spans = {}
            for e in steps:
                spans.setdefault(e["args"]["step"], []).append((e["ts"], e["ts"] + e["dur"]))
            parts = [e for e in events if e["cat"] == "part"]
            for e in parts:
                self.assertTrue(any(a - 1e-3 <= e["ts"] and e["ts"] + e["dur"] <= b + 1e-3
                                    for a, b in spans[e["args"]["step"]]), e)
            if threads > 1:
                self.assertGreater(len(parts), 100)
                self.assertIn("MBConv6 k3 s2", {e["name"] for e in events if e["cat"] == "block"})
            else:
                self.assertEqual(parts, [])

    def test_bench_mistakes(self):
        for seconds in ["-1", "x", "nan", "inf", "1e9"]:
            self.check(USAGE, "bench", self.model, "--seconds", seconds, says=["--seconds"])
        self.check(USAGE, "bench", says=["bench needs MODEL"])
        self.check(USAGE, "bench", self.model, "--per-layers", says=["did you mean --per-layer?"])
        self.check(USAGE, "bench", self.model, "--seed=x", says=["--seed"])
        self.check(USAGE, "bench", self.model, "--trace=-", says=["--trace needs a file"])
        self.check(IO, "bench", self.model, "--seconds=0", "--trace", self.path("m.onnx/t"), says=["m.onnx"])
        self.check(IO, "bench", self.model, "--cc=no-such-cc", says=["no-such-cc"])
        self.check(IO, "bench", self.path("none.onnx"), says=["none.onnx"])
        self.assertEqual(os.listdir(self.tmp), [])

    # ---- inspect ----

    def test_inspect(self):
        text = self.check(OK, "inspect", self.model, "--target=generic")
        for part in ["generic", "x f32[1,3,4,4]", "y f32[1,2,4,4]", "96", "conv2d"]:
            self.assertIn(part, text)
        info = json.loads(self.check(OK, "inspect", self.model, "--json"))
        self.assertEqual(info["macs"], 96)
        self.assertEqual(info["parameters"], 6)
        self.assertEqual(info["inputs"], [{"name": "x", "dtype": "f32", "shape": [1, 3, 4, 4]}])
        self.assertGreaterEqual(info["memory"]["arena_bytes"], info["memory"]["arena_lower_bound"])
        self.assertEqual(sum(op["macs"] for op in info["ops"]), 96)
        self.assertEqual([op["kernels"] for op in info["ops"] if op["op"] == "conv2d"], [1])
        self.assertTrue(all(op["bytes"] > 0 for op in info["ops"]))
        self.assertIsNone(info["network"])
        self.assertIn("no member of the family", text)
        ir = self.check(OK, "compile", self.model, "--emit=graph-ir", "--ir-constants=inline").encode()
        self.assertIn("conv2d", self.check(OK, "inspect", "-", stdin=ir))
        self.check(OK, "diff", "-", self.write("m.ir", ir), "--as-loaded", stdin=ir)

    def fields(self, data, path=""):
        """All fields of some JSON by their paths, as docs/inspect.md writes them, and their types."""
        kind = {bool: "boolean", int: "integer", float: "real", str: "text", list: "list",
                dict: "object", type(None): "null"}[type(data)]
        found = {(path, kind)} if path else set()
        for key, value in data.items() if isinstance(data, dict) else []:
            found |= self.fields(value, path + "." + key if path else key)
        for value in data if isinstance(data, list) else []:
            if isinstance(value, dict):
                found |= self.fields(value, path + "[]") - {(path + "[]", "object")}
        return found

    def test_inspect_json_is_what_the_document_says(self):
        here = os.path.dirname(os.path.abspath(__file__))
        root = os.path.join(here, os.pardir, os.pardir)
        with open(os.path.join(root, "docs", "inspect.md")) as f:
            rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", f.read(), re.M)
        documented = {path: set(types.strip().split(" or ")) for path, types in rows}
        lite0 = os.path.join(root, "examples", "models", "efficientnet_lite0.onnx")
        found = set()
        for args in [[lite0], [self.model, "--measure", "--threads=2"]]:
            found |= self.fields(json.loads(self.check(OK, "inspect", *args, "--json")))
        for path, kind in sorted(found):
            self.assertIn(path, documented)
            self.assertIn(kind, documented[path], path)
        self.assertEqual(set(documented) - {path for path, _ in found}, set())

    def test_inspect_json(self):
        info = json.loads(self.check(OK, "inspect", self.model, "--json", "--target=generic"))
        self.assertEqual(info["schema"], 1)
        ops, arena = info["ops"], info["arena"]
        for i, op in enumerate(ops):
            self.assertTrue(all(-len(info["inputs"]) <= r < i for r in op["reads"]))
            self.assertTrue(0 <= op["roof_cycles"] <= op["predicted_cycles"] or op["macs"] == 0)
        for r in arena:
            self.assertTrue(0 <= r["first"] <= r["last"] < len(ops))
            self.assertLessEqual(r["offset"] + r["bytes"], info["memory"]["arena_bytes"])
        for a in arena:
            for b in arena:
                apart = a is b or a["last"] < b["first"] or b["last"] < a["first"]
                self.assertTrue(apart or a["offset"] + a["bytes"] <= b["offset"] or
                                b["offset"] + b["bytes"] <= a["offset"], (a, b))
        passes = info["passes"]
        for before, after in zip(passes, passes[1:]):
            if after["level"] != "lower":
                self.assertEqual(before["after"], after["before"])
        self.assertEqual([p["after"] for p in passes if p["level"] == "graph"][-1], len(ops))
        self.assertIn("fuse-act", [p["name"] for p in passes if p["after"] < p["before"]])
        self.assertTrue(any("arena" in r for p in passes for r in p["remarks"]))

    def test_inspect_html(self):
        page = self.path("page.html")
        self.assertEqual(self.check(OK, "inspect", self.model, "--html", page), "")
        with open(page, encoding="utf-8") as f:
            text = f.read()
        data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text).group(1))
        self.assertEqual(data, json.loads(self.check(OK, "inspect", self.model, "--json")))
        self.assertEqual(self.check(OK, "inspect", self.model, "--html", "-"), text)
        self.check(IO, "inspect", self.model, "--html", self.path("m.onnx/page.html"), says=["m.onnx"])
        self.check(USAGE, "inspect", self.model, "--html=-", "--json", "--dot",
                   says=["different things", "not both"])
        self.check(USAGE, "inspect", self.model, "--measure", says=["--json and --html", "bench"])

    def test_inspect_dot(self):
        """Every value that is read has a node, and names of any kind stay inside their strings."""
        odd = conv_model(nodes=[onnx.node("Conv", ["x", "w"], ["c"], 'a"\\b'),
                                onnx.node("Softmax", ["c"], ["y"], "act")])
        text = self.check(OK, "inspect", self.write("o.onnx", odd), "--dot", "--target=generic")
        self.assertTrue(text.startswith('digraph "o.onnx" {\n') and text.endswith("}\n"), text)
        self.assertIn('a\\"\\\\b', text)
        nodes = set(re.findall(r"^ +(\w+) \[(?:shape=oval, )?label", text, re.M))
        edges = re.findall(r"^  (\w+) -> (\w+)", text, re.M)
        self.assertGreaterEqual(len(edges), 3)
        self.assertEqual({end for edge in edges for end in edge}, nodes)
        if shutil.which("dot"):
            subprocess.run(["dot", "-Tplain"], input=text.encode(), check=True, capture_output=True)

    # ---- diff ----

    def graph_file(self, name, *nodes, out="y", inputs="%x: f32[1,2,4,4]", result="f32[1,2,4,4]"):
        """Two 1x1 weights and a relu's worth of graph IR, as a file."""
        text = "graph @g(%s) -> %s {\n" % (inputs, result)
        text += "  const @w : f32[2,2,1,1] = [1, 2, 3, 4]\n"
        text += "  const @v : f32[2,2,1,1] = [5, 6, 7, 8]\n"
        text += "".join("  %s\n" % n for n in nodes) + "  return %%%s\n}\n" % out
        return self.write(name, text.encode())

    T = " : f32[1,2,4,4]"
    CONVS = ("%a = conv2d %x, @w" + T, "%b = conv2d %x, @v {act=silu}" + T)

    def test_diff_same(self):
        """Names, weights, the order of nodes and that of operands don't count."""
        a = self.graph_file("a.ir", *self.CONVS, "%y = add %a, %b" + self.T)
        b = self.graph_file("b.ir", self.CONVS[1], self.CONVS[0], "%y = add %b, %a" + self.T)
        c = self.graph_file("c.ir", *(n.replace("@w", "@v") for n in self.CONVS),
                            "%y = add %a, %b" + self.T)
        for other in [a, b, c]:
            for more in [[], ["--as-loaded"]]:
                self.assertIn("same graph", self.check(OK, "diff", a, other, *more))
        twice = self.check(OK, "diff", self.model, self.model)
        self.assertIn("same graph (1 nodes", twice)
        self.assertIn("same graph (2 nodes", self.check(OK, "diff", self.model, self.model, "--as-loaded"))

    def test_diff_of_open_dimensions(self):
        """A size is for whichever of the two models has such a dimension."""
        m = self.dynamic_model()
        for a, b in [(m, self.model), (self.model, m), (m, m)]:
            self.assertIn("same graph", self.check(OK, "diff", a, b, "--dim=rows=4", "--dim=batch=1"))
        self.check(USAGE, "diff", m, self.model, "--dim=rows=4", "--dim=columns=4",
                   says=['no input has an open dimension called "columns"'])
        self.check(USAGE, "diff", m, self.model, "--dim=rows", says=["NAME=N"])

    def differ(self, a, b, *more):
        text = self.check(VERIFY, "diff", a, b, *more, says=["different graphs"])
        self.assertIn("first difference: ", text)
        return text

    def test_diff_first_difference(self):
        a = self.graph_file("a.ir", *self.CONVS, "%y = sub %a, %b" + self.T)
        swapped = self.graph_file("s.ir", *self.CONVS, "%y = sub %b, %a" + self.T)
        self.assertIn("operands: of other nodes", self.differ(a, swapped))
        act = self.graph_file("c.ir", self.CONVS[0], self.CONVS[1].replace("silu", "relu"),
                              '%y = sub %a, %b' + self.T + '  # "late"')
        text = self.differ(a, act)
        self.assertIn("act: silu and relu", text)
        self.assertNotIn("late", text)
        self.assertIn("same graph", self.check(OK, "diff", a, act, "--ignore=act"))
        op = self.graph_file("o.ir", *self.CONVS, "%y = max %a, %b" + self.T)
        self.assertIn("op: sub and max", self.differ(a, op))
        more = self.graph_file("m.ir", *self.CONVS, "%z = sub %a, %b" + self.T,
                               "%y = softmax %z {axis=1}" + self.T)
        self.assertIn("no such node", self.differ(a, more))
        wide = self.graph_file("w.ir", "%y = relu %x : f32[1,2,4,5]", inputs="%x: f32[1,2,4,5]",
                               result="f32[1,2,4,5]")
        self.assertIn("first difference: input 0", self.differ(a, wide))
        self.check(IO, "diff", a, "none.ir", says=["none.ir"])
        self.check(USAGE, "diff", a, says=["A B"])

    def test_diff_sharing_and_outputs(self):
        """One convolution used twice isn't two that look alike; x + y isn't y's other output."""
        twice = self.graph_file("t.ir", "%a = conv2d %x, @w" + self.T,
                                "%b = conv2d %x, @v" + self.T, "%y = sub %a, %a" + self.T)
        both = self.graph_file("b.ir", "%a = conv2d %x, @w" + self.T,
                               "%b = conv2d %x, @v" + self.T, "%y = sub %a, %b" + self.T)
        self.assertIn("only one of them shares", self.differ(twice, both, "--as-loaded"))
        first = self.graph_file("f.ir", *self.CONVS, out="a")
        second = self.graph_file("e.ir", *self.CONVS, out="b")
        self.assertIn("first difference: output 0", self.differ(first, second, "--as-loaded"))

    def test_diff_integers_count(self):
        def gather(name, index):
            text = "graph @g(%%x: f32[4]) -> f32[] {\n  const @i : i64[] = [%d]\n"
            text += "  %%y = gather %%x, @i {axis=0} : f32[]\n  return %%y\n}\n"
            return self.write(name, (text % index).encode())

        a, b, same = gather("a.ir", 1), gather("b.ir", 2), gather("c.ir", 1)
        self.differ(a, b)
        self.check(OK, "diff", a, same)

    def test_diff_epsilon(self):
        def norm(name, epsilon):
            text = "graph @g(%%x: f32[1,1,2,2]) -> f32[1,1,2,2] {\n  const @c : f32[1] = [1]\n"
            text += "  %%y = batch_norm %%x, @c, @c, @c, @c {epsilon=%s} : f32[1,1,2,2]  # \"bn\"\n"
            return self.write(name, (text % epsilon + "  return %y\n}\n").encode())

        a, b = norm("a.ir", "0.001"), norm("b.ir", "0.002")
        text = self.differ(a, b)
        self.assertIn("epsilon", text)
        self.assertIn('0.002 of "bn"', text)
        self.check(OK, "diff", a, b, "--ignore=epsilon")
        self.check(OK, "diff", a, norm("c.ir", "0.001"))

    def test_diff_layout(self):
        nhwc = self.write("n.ir", b"""graph @g(%x: f32[1,4,4,2]) -> f32[1,2,4,4] {
  %t = transpose %x {perm=[0, 3, 1, 2]} : f32[1,2,4,4]
  %y = silu %t : f32[1,2,4,4]
  return %y
}
""")
        nchw = self.graph_file("c.ir", "%y = silu %x" + self.T)
        self.assertIn("input 0", self.differ(nhwc, nchw))
        for pair in [(nhwc, nchw), (nchw, nhwc), (nhwc, nhwc)]:
            self.check(OK, "diff", *pair, "--ignore=layout")

    def test_diff_preprocessing(self):
        """Arithmetic of an input with a constant, but not that of an input with itself."""
        plain = self.graph_file("p.ir", "%y = silu %x" + self.T)
        scaled = self.graph_file("s.ir", "const @c : f32[] = [2]", "%s = mul %x, @c" + self.T,
                                 "%t = sub %s, @c" + self.T, "%y = silu %t" + self.T)
        doubled = self.graph_file("d.ir", "%s = add %x, %x" + self.T, "%y = silu %s" + self.T)
        self.differ(plain, scaled)
        self.check(OK, "diff", plain, scaled, "--ignore=preprocessing")
        self.differ(plain, doubled, "--ignore=preprocessing")

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
        self.check(USAGE, "inspect", model, "--max-arena=-1", says=["whole number"])


if __name__ == "__main__":
    unittest.main()
