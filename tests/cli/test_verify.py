#!/usr/bin/env python3
"""effnetc verify --per-layer and --bisect-passes: the layer, and the pass, that did it is named.

EFFNETC_COMMAND is the built command, EFFNETC_BROKEN one with faults (tests/broken/broken.c)."""

import json
import math
import os
import struct
import unittest

import onnx_bytes as onnx
from command import OK, USAGE, VERIFY, Command

BROKEN = os.environ.get("EFFNETC_BROKEN", "effnetc-broken")


def weights(n, scale):
    """Of changing signs, none of them small."""
    return [math.sin(2.3 * i + scale) * scale for i in range(n)]


def network(changes=None, batch=1, prefix=""):
    """Two mobile blocks of 8 channels and a head, as exporters write them: batch norm behind each
    convolution, silu as x * sigmoid(x), squeeze and excite. {name: [(index, value)]} are changes
    of weights."""
    nodes, tensors = [], []

    def node(op, inputs, outputs, name, attributes=()):
        nodes.append(onnx.node(op, [prefix + v for v in inputs], [prefix + v for v in outputs],
                               name, attributes))

    def tensor(name, dims, values):
        values = list(values)
        for i, v in (changes or {}).get(name, []):
            values[i] = v
        tensors.append(onnx.tensor(prefix + name, dims, values))
        return name

    def conv(x, name, out, into, k, group=1, stride=1):
        w = tensor(name + ".w", [out, into // group, k, k],
                   weights(out * into // group * k * k, 1.5 / math.sqrt(into // group * k * k)))
        attributes = [onnx.ints("kernel_shape", [k, k]), onnx.ints("pads", [k // 2] * 4),
                      onnx.ints("strides", [stride, stride]), onnx.integer("group", group)]
        node("Conv", [x, w], [name], "/%s/Conv" % name, attributes)
        bn = [tensor("%s.%s" % (name, p), [out], v) for p, v in [
            ("gamma", [1 + 0.1 * (i % 3) for i in range(out)]),
            ("beta", [0.05 * (i % 5) - 0.1 for i in range(out)]),
            ("mean", [0.02 * (i % 4) for i in range(out)]),
            ("var", [0.5 + 0.1 * (i % 2) for i in range(out)])]]
        node("BatchNormalization", [name] + bn, [name + ".bn"], "/%s/bn" % name)
        return name + ".bn"

    def silu(x, name):
        node("Sigmoid", [x], [name + ".s"], "/%s/Sigmoid" % name)
        node("Mul", [x, name + ".s"], [name + ".silu"], "/%s/Mul" % name)
        return name + ".silu"

    def squeeze(x, name, channels):
        node("GlobalAveragePool", [x], [name + ".p"], "/%s/pool" % name)
        r = silu(conv(name + ".p", name + ".r", 2, channels, 1), name + ".r")
        e = conv(r, name + ".e", channels, 2, 1)
        node("Sigmoid", [e], [name + ".g"], "/%s/gate" % name)
        node("Mul", [x, name + ".g"], [name + ".y"], "/%s/scale" % name)
        return name + ".y"

    x = silu(conv("x", "stem", 8, 3, 3, stride=2), "stem")
    for b in ["b0", "b1"]:
        y = silu(conv(x, b + ".expand", 24, 8, 1), b + ".expand")
        y = silu(conv(y, b + ".dw", 24, 24, 3, group=24), b + ".dw")
        y = conv(squeeze(y, b + ".se", 24), b + ".project", 8, 24, 1)
        node("Add", [y, x], [b], "/%s/Add" % b)
        x = b
    conv(x, "head", 20, 8, 1)
    node("Relu", ["head.bn"], ["head.relu"], "/head/Relu")
    node("GlobalAveragePool", ["head.relu"], ["y"], "/pool")
    return onnx.model(nodes, [onnx.value_info(prefix + "x", [batch, 3, 12, 12])],
                      [onnx.value_info(prefix + "y", [batch, 20, 1, 1])], tensors)


class Verify(Command):
    def setUp(self):
        super().setUp()
        self.model = self.write("m.onnx", network())

    def check(self, code, *args, **kw):
        return self.checked(code, "verify", *args, **kw).stdout.decode()

    def json(self, code, *args, **kw):
        return json.loads(self.check(code, *args, "--json", **kw))

    # ---- layers ----

    def test_every_stored_value_has_its_counterpart(self):
        """What a fused node computes is the value of the last of its ONNX nodes."""
        for backend in ["c", "loop-interp"]:
            for target in ["generic", "native"]:
                info = self.json(OK, self.model, "--per-layer", "--backend", backend,
                                 "--target", target)
                layers = info["layers"]
                self.assertIsNone(info["first_layer"])
                values = [l["value"] for l in layers if l["compared"]]
                for value in ["stem.silu", "b0.se.g", "b0", "b1.se.g", "b1", "y"]:
                    self.assertIn(value, values)
                for layer in layers:
                    if layer["compared"]:
                        self.assertLess(layer["relative"], 1e-5)
                        self.assertGreater(layer["cosine"], 0.999999)
                        self.assertTrue(layer["pass"])
                self.assertEqual([l["step"] for l in layers], sorted(l["step"] for l in layers))

    def test_without_passes_every_node_is_a_layer(self):
        info = self.json(OK, self.model, "--per-layer", "-O0", "--backend=loop-interp")
        values = {l["value"] for l in info["layers"] if l["compared"]}
        for value in ["stem", "stem.bn", "stem.s", "stem.silu", "b0.dw.bn", "head.relu", "y"]:
            self.assertIn(value, values)

    def test_images_that_take_turns(self):
        """Of a batch whose images share memory every image is compared."""
        model = self.write("batch.onnx", network(batch=3))
        flipped = self.write("flipped.onnx", network({"b1.dw.w": [(5, 9.0)]}, batch=3))
        for backend in ["c", "loop-interp"]:
            info = self.json(OK, model, "--per-layer", "--backend", backend, "--target=generic")
            self.assertIn([3, 8, 6, 6], [l["shape"] for l in info["layers"] if l["compared"]])
            self.check(VERIFY, flipped, "--per-layer", "--backend", backend, "--against", model,
                       says=['layer "/b1.dw/Conv'])

    def test_a_flipped_weight_is_named(self):
        """Bit 30 of one weight, the top of its exponent, in each of the convolutions."""
        for name, first in [("stem", "/stem/Conv"), ("b0.project", "/b0.project/Conv"),
                            ("b1.se.e", "/b1.se/pool"), ("head", "/head/Conv")]:
            old = struct.unpack("<I", struct.pack("<f", weights(8, 1)[3]))[0]
            new = struct.unpack("<f", struct.pack("<I", old ^ 1 << 30 | 1 << 23))[0]
            flipped = self.write("flipped.onnx", network({name + ".w": [(3, min(new, 1e3))]}))
            text = self.check(VERIFY, flipped, "--per-layer", "--against", self.model,
                              says=['layer "%s' % first, "is the first that differs"])
            self.assertIn("FAIL", text)
            info = self.json(VERIFY, flipped, "--per-layer", "--against", self.model,
                             "--backend=loop-interp")
            layers, at = info["layers"], info["first_layer"]
            self.assertTrue(layers[at]["from"].startswith(first), layers[at])
            self.assertFalse(layers[at]["pass"])
            self.assertTrue(all(l["pass"] for l in layers[:at] if l["compared"]))
            self.assertFalse(info["pass"])
            self.assertEqual(info["reference"], "m.onnx")

    def test_drift_is_no_fault(self):
        """Sines of large numbers amplify the last bits of a sum as they do those of the input."""
        text = """graph @g(%x: f32[8,256]) -> f32[8] {
  const @large : f32[] = [100000]
  const @small : f32[] = [1e-9]
  %a = reduce_mean %x {axes=[1], keepdims=false} : f32[8]
  %m = mul %a, @large : f32[8]
  %s = sin %m : f32[8]
  %t = mul %s, @small : f32[8]
  %y = add %a, %t : f32[8]
  return %y
}
"""
        args = (self.write("drift.ir", text.encode()), "--per-layer", "-O0", "--backend=loop-interp")
        table = self.check(OK, *args, says=["warning: layer", "(sin) is the first that drifts", "inputs' last bits"])
        self.assertRegex(table, r"(?m)^sin .* DRIFT ")
        self.assertNotIn("FAIL", table)
        info = self.json(OK, *args)
        self.assertIsNone(info["first_layer"])
        self.assertTrue(info["pass"])
        sine = next(l for l in info["layers"] if l["op"] == "sin")
        self.assertFalse(sine["pass"])
        self.assertLess(sine["relative"], 64 * sine["drift"])

    def test_a_reference_with_other_names(self):
        """Its outputs can be compared, layers can't."""
        other = self.write("other.onnx", network(prefix="net."))
        self.check(OK, other, "--per-layer", "--against", self.model, "--backend=loop-interp",
                   says=["m.onnx", "no value in it is called as"])

    def test_a_model_for_another_input(self):
        other = self.write("other.onnx", network(batch=2))
        self.check(USAGE, self.model, "--against", other,
                   says=["its inputs are not those of", "its outputs are not those of"])
        self.check(74, self.model, "--against", "none.onnx", says=["none.onnx"])
        self.check(OK, self.model, "--against", self.model)

    def test_questions_that_do_not_go_together(self):
        self.check(USAGE, self.model, "--per-layer", "--bisect-passes", "--expect=y.npy",
                   "--against", self.model,
                   says=["two questions", "--expect has outputs alone", "both say what is right"])

    def test_json_of_outputs(self):
        info = self.json(OK, self.model, "--backend=loop-interp", "--tolerance=1e-3")
        self.assertEqual([o["name"] for o in info["outputs"]], ["y"])
        self.assertEqual((info["backend"], info["pass"]), ("loop-interp", True))
        self.assertEqual(info["tolerance"], {"relative": 1e-3, "atol": None, "rtol": None})
        self.assertNotIn("layers", info)
        info = self.json(OK, self.model, "--backend=loop-interp", "--atol=inf", "--rtol=0")
        self.assertEqual(info["tolerance"], {"relative": None, "atol": None, "rtol": 0})

    # ---- passes ----

    def test_passes_that_keep_values(self):
        info = self.json(OK, self.model, "--bisect-passes", "--backend=c")
        self.assertIsNone(info["first_pass"])
        names = [p["name"] for p in info["passes"]]
        for name in ["fold-batch-norm", "fuse-act", "lower", "expand-math"]:
            self.assertIn(name, names)
        self.assertEqual(names[-1], "c")
        self.assertTrue(all(p["pass"] for p in info["passes"]))

    def test_a_broken_pass_is_named(self):
        for name, layer in [("fuse-act", "/stem/Conv"), ("lower", "/stem/Conv"),
                            ("expand-math", None), ("c", None)]:
            what = "backend c" if name == "c" else "pass " + name
            says = [what + " brought the difference", "is the first that differs"]
            if layer:
                says.append('layer "%s' % layer)
            info = self.json(VERIFY, self.model, "--bisect-passes", "--backend=c", command=BROKEN,
                             says=says, env={"EFFNETC_BREAK": name})
            self.assertEqual(info["first_pass"], name)
            self.assertEqual(info["passes"][-1]["name"], name)
            self.assertEqual([p["pass"] for p in info["passes"]],
                             [True] * (len(info["passes"]) - 1) + [False])
            self.check(VERIFY, self.model, "--per-layer", "--backend=c", command=BROKEN,
                       env={"EFFNETC_BREAK": name})
        self.check(OK, self.model, "--bisect-passes", command=BROKEN)


if __name__ == "__main__":
    unittest.main()
