#!/usr/bin/env python3
"""What networks become: the ops behind all passes, the kernels that they call and the bytes that
they move, block by block, against the golden table blocks.txt; and which networks are recognised.

    tests/models/test_blocks.py --effnetc CMD --fill-model CMD [--update]

--update writes the table anew, of all small models that compile: read the difference. The models
are those of the shared folder (EFFNETC_MODELS, or ../shared/models beside the source tree). Exit
code 77: it is missing.
"""
import argparse
import functools
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SHARED = pathlib.Path(os.environ.get("EFFNETC_MODELS", SOURCE.parent / "shared" / "models"))
sys.path += [str(SOURCE / "tests" / "cli"), str(SOURCE / "tests" / "onnx")]
import onnx_bytes as onnx  # noqa: E402
import onnx_read  # noqa: E402

GOLDEN = SOURCE / "tests" / "models" / "blocks.txt"
TARGET = "x86-64-v3"  # layouts and kernels depend on it
FULL = ["tv_b0", "keras_v2_b0", "timm_es"]  # those that are in the table
TOOLS = {}  # effnetc, fill_model: paths from the command line

# Skeleton: name, width, depth, resolution.
MEMBERS = {
    "tv_b0": ("EfficientNet-B0", 1.0, 1.0, 224),
    "timm_tf_b0": ("EfficientNet-B0", 1.0, 1.0, 224),
    "timm_b0_dynamo": ("EfficientNet-B0", 1.0, 1.0, 224),
    "keras_b0": ("EfficientNet-B0", 1.0, 1.0, 224),
    "tv_b1": ("EfficientNet-B1", 1.0, 1.1, 240),
    "tv_b2": ("EfficientNet-B2", 1.1, 1.2, 260),
    "tv_b4": ("EfficientNet-B4", 1.4, 1.8, 380),
    "timm_lite0": ("EfficientNet-Lite0", 1.0, 1.0, 224),
    "timm_lite4": ("EfficientNet-Lite4", 1.4, 1.8, 300),
    "timm_es": ("EfficientNet-EdgeTPU-S", 1.0, 1.0, 224),
    "timm_el": ("EfficientNet-EdgeTPU-L", 1.2, 1.4, 300),
    "keras_v2_b0": ("EfficientNetV2-B0", 1.0, 1.0, 224),
    "timm_tf_v2_b0": ("EfficientNetV2-B0", 1.0, 1.0, 224),
    "tv_v2_s": ("EfficientNetV2-S", 1.0, 1.0, 384),
}
# Skeleton: what is behind the member's blocks.
DECODERS = {"tv_b0": None, "smp_unet_b0": "U-Net", "smp_deeplabv3p_b0": "DeepLabV3+", "effdet_d0": "BiFPN"}
B0 = (["stem k3 s2", "MBConv1 k3 s1 se 0.25"] + ["MBConv6 k3 s2 se 0.25", "MBConv6 k3 s1 se 0.25"]
      + ["MBConv6 k5 s2 se 0.25", "MBConv6 k5 s1 se 0.25"]
      + ["MBConv6 k3 s2 se 0.25"] + 2 * ["MBConv6 k3 s1 se 0.25"]
      + 3 * ["MBConv6 k5 s1 se 0.25"]
      + ["MBConv6 k5 s2 se 0.25"] + 3 * ["MBConv6 k5 s1 se 0.25"]
      + ["MBConv6 k3 s1 se 0.25", "head", "FC"])


def inspect(model, *options):
    """None where the model can't be compiled."""
    result = subprocess.run([TOOLS["effnetc"], "inspect", "--json", f"--target={TARGET}", str(model),
                             *options], capture_output=True, text=True)
    return json.loads(result.stdout) if result.returncode == 0 else None


@functools.lru_cache(maxsize=None)
def full(name):
    """The facts of a full-size model; None where its skeleton is missing."""
    skeleton = SHARED / "skeletons" / f"{name}.onnx"
    if not skeleton.exists():
        return None
    with tempfile.TemporaryDirectory(prefix="effnetc-blocks-") as folder:
        model = pathlib.Path(folder) / skeleton.name
        subprocess.run([TOOLS["fill_model"], skeleton, model], check=True)
        return inspect(model)


def tiny(name):
    model = SHARED / "tiny" / f"{name}.onnx"
    return inspect(model) if model.exists() else None


def weights(name, *shape):
    return onnx.tensor(name, shape, [0.01 * (i % 7 - 3) for i in range(math.prod(shape))])


def with_nodes(b0, outputs, nodes, tensors):
    """The B0 of `effnetc new` with more nodes, whose results are more outputs."""
    more = b"".join(onnx.field(1, n) for n in nodes) + b"".join(onnx.field(5, t) for t in tensors)
    more += b"".join(onnx.field(12, onnx.value_info(o, list("nchw"))) for o in outputs)
    return b"".join(onnx.field(7, onnx_read.get(piece, 7) + more) if number == 7 else piece
                    for number, piece in onnx_read.raw_fields(b0))


def with_pyramid(b0):
    """With an FPN of two levels: outputs p5 and p4 of 8 channels."""
    nodes = [
        onnx.node("Conv", ["blocks.6.0.project.bn", "w5"], ["p5"]),
        onnx.node("Conv", ["blocks.4.2.add", "w4"], ["lateral"]),
        onnx.node("Resize", ["p5", "", "twice"], ["up"]),
        onnx.node("Add", ["lateral", "up"], ["p4"]),
    ]
    tensors = [weights("w5", 8, 320, 1, 1), weights("w4", 8, 112, 1, 1), onnx.tensor("twice", [4], [1, 1, 2, 2])]
    return with_nodes(b0, ("p4", "p5"), nodes, tensors)


def with_link(b0):
    """With one step of a LinkNet: a transposed convolution, a 1x1 one, and the sum."""
    nodes = [
        onnx.node("Conv", ["blocks.6.0.project.bn", "down"], ["narrow"]),
        onnx.node("ConvTranspose", ["narrow", "up"], ["large"], attributes=[onnx.ints("strides", [2, 2])]),
        onnx.node("Relu", ["large"], ["act"]),
        onnx.node("Conv", ["act", "wide"], ["joined"]),
        onnx.node("Add", ["joined", "blocks.4.2.add"], ["sum"]),
    ]
    tensors = [weights("down", 8, 320, 1, 1), weights("up", 8, 8, 2, 2), weights("wide", 112, 8, 1, 1)]
    return with_nodes(b0, ("sum",), nodes, tensors)


def totals(ops):
    return (len(ops), sum(op["kernels"] for op in ops), sum(op["bytes"] for op in ops))


def named(info):
    """The network, where it is known."""
    network = info["network"]
    return network if network and network["name"] else None


def rows(info):
    """What is compiled: by block, and by op where no member of the family was recognised."""
    network = named(info)
    groups = {}
    for op in info["ops"]:
        block = op["block"] if network else None
        name = "outside of blocks" if block is None else network["blocks"][block]["kind"]
        key = (block, name) if network else (None, op["op"])
        groups.setdefault(key, []).append(op)
    order = sorted(groups, key=lambda key: (key[0] is None, key[0] if network else key[1]))
    return [(name, *totals(groups[block, name])) for block, name in order]


def section(name, info):
    network = named(info)
    lines = [f"{name}: {network['name'] if network else 'no known member'}"]
    lines += ["  %-28s %4d %7d %12d" % row for row in [*rows(info), ("all", *totals(info["ops"]))]]
    return "\n".join(lines) + "\n"


def header():
    return ("# The compiled graphs of models, for %s: ops, the kernels that they call (each counts\n"
            "# once an op), bytes of their inputs, weights and outputs. By block of a member of the\n"
            "# family, by op for others. Written by test_blocks.py --update.\n" % TARGET)


def golden():
    """name -> section."""
    parts = re.split(r"\n(?=\S)", GOLDEN.read_text().split("\n\n", 1)[1].strip() + "\n")
    return {part.split(":")[0]: part.rstrip() + "\n" for part in parts}


def update():
    names = [*FULL, *sorted(p.stem for p in (SHARED / "tiny").glob("*.onnx"))]
    found = {n: full(n) if n in FULL else tiny(n) for n in names}
    text = "".join(section(n, info) for n, info in found.items() if info)
    GOLDEN.write_text(f"{header()}\n{text}")


class Blocks(unittest.TestCase):
    def test_table(self):
        table = golden()
        self.assertGreater(len(table), len(FULL))
        for name, wanted in table.items():
            with self.subTest(model=name):
                info = full(name) if name in FULL else tiny(name)
                self.assertIsNotNone(info, "it is in the table and doesn't compile")
                self.assertEqual(wanted, section(name, info))

    def test_members(self):
        for skeleton, (name, width, depth, resolution) in MEMBERS.items():
            with self.subTest(model=skeleton):
                network = full(skeleton)["network"]
                self.assertIsNotNone(network, "not recognised")
                self.assertEqual((network["name"], network["width"], network["depth"]),
                                 (name, width, depth))
                self.assertEqual((network["input_height"], network["input_width"]),
                                 (resolution, resolution))

    def test_decoders(self):
        """Backbones with dilated stages are members too."""
        for skeleton, decoder in DECODERS.items():
            with self.subTest(model=skeleton):
                network = full(skeleton)["network"]
                self.assertEqual((network["name"], network["decoder"]), ("EfficientNet-B0", decoder))

    def test_pyramids(self):
        """Features that are made larger and added, behind a B0: no model of the shared folder is so."""
        for decoder, add in (("FPN", with_pyramid), ("LinkNet", with_link)):
            with self.subTest(decoder=decoder), tempfile.TemporaryDirectory(prefix="effnetc-blocks-") as folder:
                model = pathlib.Path(folder) / "b0.onnx"
                subprocess.run([TOOLS["effnetc"], "new", "b0", "-o", model], check=True, capture_output=True)
                model.write_bytes(add(model.read_bytes()))
                network = inspect(model)["network"]
                self.assertEqual((network["name"], network["decoder"]), ("EfficientNet-B0", decoder))

    def test_strangers(self):
        """Of the family's blocks, but no published member."""
        for name in ["tv_op17", "keras_op13", "se_mean_op13", "tv_v2_op17"]:
            with self.subTest(model=name):
                self.assertIsNone(named(tiny(name)))

    def test_b0(self):
        """16 blocks, stem, head and FC; and what is outside of them reads or writes the ends."""
        info = full("tv_b0")
        blocks = info["network"]["blocks"]
        self.assertEqual([b["kind"] for b in blocks], B0)
        self.assertEqual(sum(b["macs"] for b in blocks), info["macs"])
        self.assertEqual({op["op"] for op in info["ops"] if op["block"] is None}, {"reorder"})
        inside = {op["op"] for op in info["ops"] if op["block"] is not None}
        self.assertFalse(inside & {"reorder", "identity", "transpose", "reshape", "pad"})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--effnetc", required=True)
    parser.add_argument("--fill-model", required=True)
    parser.add_argument("--update", action="store_true")
    args, rest = parser.parse_known_args()
    TOOLS.update(effnetc=os.path.abspath(args.effnetc), fill_model=os.path.abspath(args.fill_model))
    if args.update:
        update()
    elif SHARED.exists():
        unittest.main(argv=[sys.argv[0], *rest])
    else:
        print(f"{SHARED} is missing: set EFFNETC_MODELS to the folder of test models")
        sys.exit(77)
