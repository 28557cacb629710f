#!/usr/bin/env python3
"""Dumps of whole models are inputs: `effnetc opt` takes each one pass further, to the next dump.

Byte by byte, over graph IR, the step to loop IR, and loop IR. The same models as test_models.py.
"""
import argparse
import pathlib
import shutil
import sys
import tempfile
import unittest

import test_models
from test_models import TOOLS, run


class DumpTest(unittest.TestCase):
    """Checks that hold for each model; subclasses give it."""

    @classmethod
    def setUpClass(cls):
        if cls is DumpTest:
            raise unittest.SkipTest("only its subclasses name a model")
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="effnetc-dumps-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        cls.model = cls.make()

    def ok(self, *command):
        result = run(*command)
        self.assertEqual(result.returncode, 0, f"{command}\n{result.stdout[:2000]}{result.stderr}")
        return result.stdout

    def dumps(self, target):
        """[(pass, file)] in the order in which they ran."""
        folder = self.folder / target / "dumps"
        self.ok(TOOLS["effnetc"], self.model, "-o", self.folder / target, "--target", target,
                "--dump-ir-dir", folder)
        found = [(file.stem.split("-", 1)[1], file) for file in sorted(folder.glob("*.ir"))]
        self.assertGreater(len(found), 10)
        self.assertIn("lower", dict(found))
        return found

    def assert_same(self, got, file):
        """Names the first line that differs; assertEqual would take minutes for a message."""
        want = file.read_text()
        if got == want:
            return
        lines = zip(got.splitlines() + ["(end)"], want.splitlines() + ["(end)"])
        number, (a, b) = next((i, pair) for i, pair in enumerate(lines, 1) if pair[0] != pair[1])
        self.fail(f"{file.name}:{number}\n  got    {a[:200]}\n  wanted {b[:200]}")

    def test_each_pass_alone(self):
        for target in test_models.TARGETS:
            dumps = self.dumps(target)
            for (_, before), (name, after) in zip(dumps, dumps[1:]):
                with self.subTest(target=target, step=after.name):
                    self.assert_same(self.ok(TOOLS["effnetc"], "opt", before, f"--passes={name}",
                                             f"--target={target}", "--verify-each"), after)

    def test_all_passes_at_once(self):
        (_, first), *rest = self.dumps("generic")
        names = ",".join(name for name, _ in rest)
        self.assert_same(self.ok(TOOLS["effnetc"], "opt", first, f"--passes={names}",
                                 "--target=generic"), rest[-1][1])

    def test_without_passes_the_text_stays(self):
        for _, file in self.dumps("x86-64-v3"):
            with self.subTest(file=file.name):
                self.assert_same(self.ok(TOOLS["effnetc"], "opt", file), file)

    def test_another_pass_gives_another_text(self):
        """The checks above can fail: a step that is left out shows."""
        dumps = self.dumps("x86-64-v3")
        before = dict(dumps)["fuse-act"]
        text = self.ok(TOOLS["effnetc"], "opt", before, "--passes=canonicalise")
        self.assertNotEqual(text.splitlines()[0], before.read_text().splitlines()[0])
        with self.assertRaisesRegex(AssertionError, r":1\n"):
            self.assert_same(text, before)


class Lite0(DumpTest):
    @classmethod
    def make(cls):
        return test_models.SOURCE / "examples/models/efficientnet_lite0.onnx"


class TorchvisionB0(DumpTest):
    @classmethod
    def make(cls):
        return test_models.make_skeleton(test_models.shared_models()["tv_b0"], cls.folder).path


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--effnetc", required=True)
    parser.add_argument("--fill-model", required=True)
    arguments, rest = parser.parse_known_args()
    TOOLS.update(effnetc=arguments.effnetc, fill_model=arguments.fill_model)
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
