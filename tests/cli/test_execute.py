#!/usr/bin/env python3
"""effnetc run, verify and bench: inputs, outputs, backends, and what is measured."""

import json
import os
import unittest

import onnx_bytes as onnx
from command import (BAD_MODEL, CommandTest, IO, OK, UNSUPPORTED, USAGE, VERIFY, X, expected,
                     picture_values)


class Execute(CommandTest):
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

    def test_layouts(self):
        """Channels last at either end: the same numbers at other places."""
        x = picture_values()
        last = self.write("last.npy", onnx.npy([1, 4, 4, 3], [x[16 * c + p] for p in range(16) for c in range(3)]))
        y = expected(x)
        orders = {"nchw": y, "nhwc": [y[16 * c + p] for p in range(16) for c in range(2)]}
        for backend in ("interp", "loop-interp", "c"):
            for given, path in (("model", self.input), ("nchw", self.input), ("nhwc", last)):
                for wanted, values in orders.items():
                    self.check(OK, "run", self.model, "--input", path, "--output=y.npy", "--backend=" + backend,
                               "--input-layout=" + given, "--output-layout=" + wanted)
                    found = onnx.read_npy(self.read("y.npy"))
                    self.assertEqual([round(v, 4) for v in found], [round(v, 4) for v in values])
        text = self.check(OK, "inspect", self.model, "--input-layout=nhwc", "--output-layout=nhwc")
        self.assertIn("x f32[1,4,4,3]", text)
        self.assertIn("y f32[1,4,4,2]", text)
        self.check(OK, "verify", self.model, "--input-layout=nhwc", "--backend=c")

    def test_layout_mistakes(self):
        for path, option, found in (("m.onnx", "--output-layout=nhwc", "no output has planes"),
                                    ("m.onnx", "--input-layout=nhwc", "f32[1,2,4,5]")):
            channels = 3 if "output" in option else 2
            self.write(path, onnx.model(
                [onnx.node("Flatten", ["x"], ["y"])], [onnx.value_info("x", [1, channels, 4, 5])],
                [onnx.value_info("y", [1, 20 * channels])]))
            self.check(UNSUPPORTED, path, option, "-o", "out", says=[found, "wanted:"])
        self.check(USAGE, self.model, "--input=u8-rgb", "--mean=0", "--input-layout=nhwc",
                   "-o", "out", says=["--input-layout says nothing of 8-bit RGB"])
        self.assertFalse(os.path.exists(self.path("out")))

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
        self.check(USAGE, "run", self.model, says=['input "x" has no file', "--input=x=FILE"])
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
        self.assertIn("FAIL", verify(VERIFY, "bad.npy", says=['output "y"', "element 17"]))
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


if __name__ == "__main__":
    unittest.main()
