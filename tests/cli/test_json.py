#!/usr/bin/env python3
"""All JSON that the command prints and writes is what docs/json.md and docs/inspect.md say, field by field.

EFFNETC_COMMAND is the built command, EFFNETC_BROKEN one with faults (tests/broken/broken.c)."""

import json
import pathlib
import re
import unittest

import onnx_bytes as onnx
from command import BAD_MODEL, HAS_LLVM, OK, VERIFY, CommandTest
from test_pictures import BOXES, CLASSES, MASK
from test_verify import BROKEN, network

ROOT = pathlib.Path(__file__).resolve().parents[2]
LITE0 = str(ROOT / "examples/models/efficientnet_lite0.onnx")
KINDS = {bool: "boolean", int: "integer", float: "real", str: "text", list: "list", dict: "object",
         type(None): "null"}


def fields(data, path=""):
    """All fields of some JSON by their paths, as the documents write them, and their types."""
    found = set()
    for key, value in data.items() if isinstance(data, dict) else []:
        name = "%s.%s" % (path, key) if path else key
        found |= {(name, KINDS[type(value)])} | fields(value, name)
    for value in data if isinstance(data, list) else []:
        found |= fields(value, path + "[]")
    return found


def documented(file):
    """{heading: {path: its types}} of a document's tables."""
    text = (ROOT / "docs" / file).read_text(encoding="utf-8")
    parts = re.split(r"^## (.*)$", text, flags=re.M)
    return {title: {path: set(types.strip().split(" or "))
                    for path, types in re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", body, re.M)}
            for title, body in zip(parts[1::2], parts[2::2])}


class Json(CommandTest):
    def compare(self, title, *found, file="json.md"):
        """What was found is in the section of that title, and all that is there was found."""
        table = documented(file)[title]
        seen = set().union(*map(fields, found))
        for path, kind in sorted(seen):
            self.assertIn(path, table)
            self.assertIn(kind, table[path], path)
        self.assertEqual(set(table) - {path for path, _ in seen}, set(), "nothing has these fields")

    def json(self, *args, code=OK, **kw):
        p = self.checked(code, *args, **kw)
        return json.loads(p.stdout)

    def test_every_section_is_held_to(self):
        """By a test of this class."""
        text = pathlib.Path(__file__).read_text(encoding="utf-8")
        for title in documented("json.md"):
            self.assertIn('self.compare("%s"' % title, text)

    # ---- files ----

    def contract(self, model, *args):
        self.check(OK, model, "-o", "out", "--name=net", *args)
        return json.loads(self.read("out/net.json"))

    @unittest.skipUnless(HAS_LLVM, "this effnetc is built without LLVM, so that fields are missing")
    def test_contract(self):
        where = self.write("n.onnx", onnx.model([onnx.node("NonZero", ["x"], ["y"])],
                                                [onnx.value_info("x", [5, 7])], [onnx.value_info("y", [2, "n"], 7)]))
        any_size = ["--input=u8-rgb-any", "--mean=0", "--std=1"]
        self.compare("NAME.json", self.contract(where, "--selftest"),
                     self.contract(self.model, *any_size, "--fit=stretch"),
                     self.contract(self.model, *any_size, "--crop=0.5"),
                     self.contract(self.model, *any_size, "--resize=9"),
                     self.contract(self.model, "--weights=text"),
                     self.contract(self.model, "--emit=obj,shared,asm,llvm", "--weights=obj"))

    def test_trace(self):
        path = self.path("trace.json")
        self.check(OK, "bench", LITE0, "--seconds=0", "--threads=2", "--trace", path, "--target=generic")
        self.compare("effnetc bench --trace", json.loads(self.read("trace.json")))

    # ---- standard output ----

    def test_run(self):
        self.write("in/a.ppm", b"P6 8 8 255\n" + bytes(range(192)))
        self.write("in/b.ppm", b"P6 8 8 255\ncut")
        labels = self.write("labels.txt", b"nothing\ncat\ndog\n")
        self.compare("effnetc run", *[
            self.json("run", self.write("m.ir", text), "in", "--json", "--mean=0", "--backend=interp",
                      "--labels", labels, code=BAD_MODEL) for text in (CLASSES, BOXES, MASK)])

    def test_verify(self):
        model = self.write("v.onnx", network())
        flipped = self.write("f.onnx", network({"head.w": [(3, 9.0)]}))
        quick = ["--json", "--backend=loop-interp"]
        self.compare("effnetc verify", self.json("verify", model, *quick, "--atol=1"),
                     self.json("verify", model, *quick, "--per-layer"),
                     self.json("verify", flipped, *quick, "--per-layer", "--against", model, code=VERIFY),
                     self.json("verify", model, *quick, "--bisect-passes", code=VERIFY, command=BROKEN,
                               env={"EFFNETC_BREAK": "fuse-act"}))

    def test_bench(self):
        self.compare("effnetc bench", self.json("bench", self.model, "--seconds=0", "--json", "--per-layer"))

    def test_inspect(self):
        self.compare("The data", self.json("inspect", LITE0, "--json"),
                     self.json("inspect", self.model, "--json", "--measure", "--threads=2"), file="inspect.md")
        self.compare("effnetc inspect --memory", self.json("inspect", LITE0, "--json", "--memory"))

    def test_scale(self):
        factors = ["--alpha=1.2", "--beta=1.1", "--gamma=1.15"]
        self.compare("effnetc scale", self.json("scale", "--base=lite0", "--classes=10", "--budget-macs=5M",
                                                "--target=generic", "--json", *factors))

    def test_new(self):
        self.compare("effnetc new --list", self.json("new", "--list", "--json"))


if __name__ == "__main__":
    unittest.main()
