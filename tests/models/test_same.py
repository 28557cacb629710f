#!/usr/bin/env python3
"""`effnetc diff` on real exporters' files: one network from many of them is one graph.

The models are those of the shared folder (EFFNETC_MODELS, or ../shared/models beside the source
tree): small ones, and full-size skeletons, which the program fill_model completes. Those that are
missing are skipped, with a message. Exit code 77: the folder is missing.
"""
import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SHARED = pathlib.Path(os.environ.get("EFFNETC_MODELS", SOURCE.parent / "shared" / "models"))
sys.path += [str(SOURCE / "tests" / "cli"), str(SOURCE / "tests" / "onnx")]
import onnx_bytes as onnx  # noqa: E402
import onnx_read  # noqa: E402

TOOLS = {}  # effnetc, fill_model: paths from the command line
SAME, DIFFERENT = 0, 5

# Each is one network in several spellings; the first is compared with all others.
SAME_GRAPH = [
    ["tv_op17", "tv_op9", "tv_op11", "tv_op13", "tv_op20", "tv_op9_bn", "tv_op13_bn",
     "tv_dynamo_op18"],
    ["tv_v2_op17", "tv_v2_dynamo_op23"],
    ["act_relu6_op17", "act_relu6_op9", "act_relu6_dynamo"],
    ["act_hardswish_op17", "act_hardswish_op13"],
    ["same_static_op17", "same_static_op10", "same_auto_upper"],
    ["same_timm_op17", "onnxsim"],
    ["se_mean_op13", "se_mean_op18", "se_avgpool_op17", "act_exp_op17", "act_swish_op24",
     "constant_nodes", "documented", "dynamic_batch_op17", "external_data", "float_data",
     "ir3_inputs", "odd_names", "ort_basic", "unused_identity", "head_reshape_op17",
     "head_squeeze_op11", "se_linear_op17", "se_view_op15"],
]

# Genuine differences: two files, what the first difference says, and what must be ignored for them
# to be the same graph (None: nothing makes them that).
DIFFERENT_GRAPHS = [
    ("tv_op17", "same_timm_op17", "pad: 1x1x1x1 and 0x0x1x1", None),
    ("se_mean_op13", "same_static_op17", "pad: 1x1x1x1 and 0x0x1x1", "pad"),
    ("act_relu6_op17", "act_relu_op17", "act: relu6 and relu", "act"),
    ("se_mean_op13", "head_mean_softmax_op13", "softmax", None),
    ("keras_op13", "keras_op17_preprocess", "shift: none and f32[3]", "layout,preprocessing"),
    ("tv_op17", "tv_v2_op17", "first difference", None),
]

FULL_SAME = [("tv_b0", "tv_b0_dynbatch"), ("tv_b0", "timm_b0_dynamo")]
FULL_DIFFERENT = [
    ("tv_b0", "timm_tf_b0", "pad: 1x1x1x1 and 0x0x1x1", "pad"),
]

# What `effnetc new` makes, and the exporters' files that are the same network.
GENERATED = [
    ("b0", "tv_b0"), ("b1", "tv_b1"), ("lite0", "timm_lite0"), ("lite4", "timm_lite4"),
    ("edgetpu-s", "timm_es"), ("edgetpu-l", "timm_el"), ("v2-b0 --padding=same", "timm_tf_v2_b0"),
    ("b0 --padding=same", "timm_tf_b0"), ("v2-s", "tv_v2_s"),
]


def need(path):
    if not path.exists():
        raise unittest.SkipTest(f"no {path}: set EFFNETC_MODELS")
    return path


def tiny(name):
    return need(SHARED / "tiny" / f"{name}.onnx")


class Diff(unittest.TestCase):
    def diff(self, code, a, b, *options):
        result = subprocess.run([TOOLS["effnetc"], "diff", str(a), str(b), *options],
                                capture_output=True, text=True)
        self.assertEqual(result.returncode, code,
                         f"{a} {b} {options}\n{result.stdout}{result.stderr}")
        return result.stdout

    def differ(self, a, b, says, ignored):
        self.assertIn(says, self.diff(DIFFERENT, a, b))
        if ignored:
            self.diff(SAME, a, b, f"--ignore={ignored}")


class Tiny(Diff):
    def test_same(self):
        for first, *others in SAME_GRAPH:
            for other in others:
                with self.subTest(first=first, other=other):
                    self.assertIn("same graph", self.diff(SAME, tiny(first), tiny(other)))

    def test_different(self):
        for a, b, says, ignored in DIFFERENT_GRAPHS:
            with self.subTest(a=a, b=b):
                self.differ(tiny(a), tiny(b), says, ignored)


NODE, INITIALIZER, INPUT, OUTPUT = 1, 5, 11, 12  # fields of GraphProto


def parts_of(model):
    """Fields of the graph by number, and the model's opset imports."""
    graph = onnx_read.get(model, 7)
    return ({n: onnx_read.get_all(graph, n) for n in (NODE, INITIALIZER, INPUT, OUTPUT)},
            onnx_read.get_all(model, 8))


def names(messages, field=1):
    return [onnx_read.get(m, field).decode() for m in messages]


def with_nodes(model, nodes, initializers=(), more=b""):
    """The model with other nodes, and more fields."""
    graph = b"".join(piece for n, piece in onnx_read.raw_fields(onnx_read.get(model, 7)) if n != NODE)
    graph += b"".join(onnx.field(NODE, n) for n in nodes)
    graph += b"".join(onnx.field(INITIALIZER, t) for t in initializers)
    rest = b"".join(piece for n, piece in onnx_read.raw_fields(model) if n != 7)
    return rest + onnx.field(7, graph) + more


def as_function(model):
    """All nodes in a function of the model, that the graph calls."""
    parts, opsets = parts_of(model)
    inputs = names(parts[INITIALIZER], 8)
    inputs += [i for i in names(parts[INPUT]) if i not in inputs]
    outputs = names(parts[OUTPUT])
    function = onnx.field(1, "Network") + onnx.field(10, "local")
    function += b"".join(onnx.field(4, i) for i in inputs) + b"".join(onnx.field(5, o) for o in outputs)
    function += b"".join(onnx.field(7, n) for n in parts[NODE])
    function += b"".join(onnx.field(9, o) for o in opsets)
    call = onnx.node("Network", inputs, outputs, domain="local")
    opset = onnx.field(8, onnx.field(1, "local") + onnx.field(2, 1))
    return with_nodes(model, [call], more=opset + onnx.field(25, function))


def as_branch(model):
    """All nodes in a branch that a constant takes; the other one is beyond the compiler."""
    parts, _ = parts_of(model)
    outputs = b"".join(onnx.field(OUTPUT, o) for o in parts[OUTPUT])
    taken = b"".join(onnx.field(NODE, n) for n in parts[NODE]) + outputs
    other = onnx.field(NODE, onnx.node("Nope", [], names(parts[OUTPUT]))) + outputs
    branches = [onnx.field(1, name) + onnx.field(6, g) + onnx.field(20, 5)
                for name, g in (("then_branch", taken), ("else_branch", other))]
    truth = onnx.field(2, 9) + onnx.field(8, "always") + onnx.field(9, b"\x01")
    node = onnx.node("If", ["always"], names(parts[OUTPUT]), attributes=branches)
    return with_nodes(model, [node], [truth])


class Inlined(Diff):
    """A network inside of a function or of a branch, or both, is the same graph."""

    def test_same(self):
        wrapped = {"function": as_function, "branch": as_branch,
                   "branch of a function": lambda m: as_function(as_branch(m)),
                   "function in a branch": lambda m: as_branch(as_function(m))}
        for name in ["tv_op17", "tv_v2_op17", "keras_op17_preprocess", "constant_nodes", "act_swish_op24"]:
            for kind, wrap in wrapped.items():
                with self.subTest(name=name, kind=kind), tempfile.NamedTemporaryFile(suffix=".onnx") as f:
                    f.write(wrap(tiny(name).read_bytes()))
                    f.flush()
                    self.diff(SAME, tiny(name), f.name)


class Full(Diff):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="effnetc-same-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)

    def full(self, name):
        path = self.folder / f"{name}.onnx"
        if not path.exists():
            skeleton = need(SHARED / "skeletons" / path.name)
            subprocess.run([TOOLS["fill_model"], skeleton, path], check=True)
        return path

    def test_same(self):
        for a, b in FULL_SAME:
            with self.subTest(a=a, b=b):
                self.diff(SAME, self.full(a), self.full(b))

    def test_different(self):
        for a, b, says, ignored in FULL_DIFFERENT:
            with self.subTest(a=a, b=b):
                self.differ(self.full(a), self.full(b), says, ignored)

    def test_generated(self):
        for member, skeleton in GENERATED:
            with self.subTest(member=member):
                made = self.folder / "new.onnx"
                subprocess.run([TOOLS["effnetc"], "new", *member.split(), "--unmeasured", "-o", made],
                               check=True, capture_output=True)
                self.diff(SAME, made, self.full(skeleton))

    def test_keras(self):
        """Preprocessing in the graph, NHWC, and a softmax: nothing else."""
        keras, timm = self.full("keras_b0"), self.full("timm_tf_b0")
        self.assertIn("first difference: input 0", self.diff(DIFFERENT, timm, keras))
        text = self.diff(DIFFERENT, timm, keras, "--ignore=layout,preprocessing")
        self.assertIn("no such node", text)
        self.assertIn("= softmax", text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--effnetc", required=True)
    parser.add_argument("--fill-model", required=True)
    args, rest = parser.parse_known_args()
    TOOLS.update(effnetc=os.path.abspath(args.effnetc), fill_model=os.path.abspath(args.fill_model))
    if not SHARED.exists():
        print(f"{SHARED} is missing: set EFFNETC_MODELS to the folder of test models")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], *rest])
