#!/usr/bin/env python3
"""The command from outside: exit codes, messages, and what is left on disk."""

import json
import os
import subprocess
import unittest

import onnx_bytes as onnx
from command import (
    BAD_MODEL, BUDGET, COMMAND, CommandTest, IO, OK, PATIENCE, UNSUPPORTED, USAGE, WEIGHTS, Y,
    conv_model, expected,
)


class Cli(CommandTest):
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

    def test_an_arena_that_is_too_small_is_over_budget(self):
        self.check(BUDGET, "compile", self.model, "-o", "out", "--max-arena=1", says=["arena"])

    def test_color(self):
        def colored(*args, **kw):
            return b"\x1b[" in self.run_command("run", self.path("none.onnx"), *args, **kw).stderr

        self.assertFalse(colored())
        self.assertTrue(colored("--color=always"))
        self.assertTrue(colored("--color=always", env={"NO_COLOR": "1"}))
        self.assertFalse(colored("--color=never"))
        self.check(USAGE, "run", self.model, "--color=blue", says=["auto|always|never"])
        self.check(USAGE, "compile", self.model, "-o", "", says=['-o takes DIR, not ""'])

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
        self.check(USAGE, "new", *self.SMALL, "-o", "x.onnx", "--json", says=["--json is for --list"])
        for more in ["b0"], ["-o", "x.onnx"], ["--phi=1"]:
            self.check(USAGE, "new", "--list", *more, says=["--list prints all"])
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
                           capture_output=True, timeout=PATIENCE, check=True)
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


if __name__ == "__main__":
    unittest.main()
