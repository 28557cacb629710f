#!/usr/bin/env python3
"""effnetc inspect and diff: what they say of one model, and of two."""

import json
import os
import re
import shutil
import subprocess
import unittest

import onnx_bytes as onnx
from command import CommandTest, IO, OK, USAGE, VERIFY, conv_model


class Inspect(CommandTest):
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

    def test_diff_of_unread_inputs(self):
        """An input that nothing reads doesn't count, nor does it move the others; one that is read does."""
        relu = "%y = relu %x" + self.T
        a = self.graph_file("a.ir", relu)
        b = self.graph_file("b.ir", relu, inputs="%unused: f32[3], %x: f32[1,2,4,4]")
        c = self.graph_file("c.ir", "%y = add %x, %z" + self.T, inputs="%z: f32[1,2,4,4], %x: f32[1,2,4,4]")
        for x, y in [(a, b), (b, a), (b, b)]:
            self.assertIn("same graph", self.check(OK, "diff", x, y))
        self.assertIn("first difference: input 1", self.differ(b, c))

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
        self.check(USAGE, "diff", a, a, "--ignore=act,pads,weights",
                   says=['called "pads"', "did you mean pad?", 'called "weights"'])
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


if __name__ == "__main__":
    unittest.main()
