"""Tests of scripts/gen-docs, over a copy of the project's tables and documents."""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[1]


class GenDocs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """The documents of the project itself are scripts/test's business: a copy of them is renewed first."""
        cls.renewed = pathlib.Path(tempfile.mkdtemp(prefix="effnetc-docs-"))
        cls.addClassCleanup(shutil.rmtree, cls.renewed, True)
        for folder in ("docs", "ir", "frontend", "passes", "target"):
            shutil.copytree(SOURCE / folder, cls.renewed / folder, ignore=shutil.ignore_patterns("*.png", "*.svg"))
        subprocess.run([sys.executable, "-B", SOURCE / "scripts/gen-docs", cls.renewed], check=False,
                       stdout=subprocess.DEVNULL)

    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="effnetc-docs-"))
        self.addCleanup(shutil.rmtree, self.root, True)
        shutil.copytree(self.renewed, self.root, dirs_exist_ok=True)

    def run_script(self, *arguments):
        words = [sys.executable, "-B", str(SOURCE / "scripts" / "gen-docs"), *arguments, str(self.root)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        self.assertEqual(done.stderr, "")
        return done.returncode, done.stdout

    def edit(self, name, old, new):
        path = self.root / name
        text = path.read_text(encoding="utf-8")
        self.assert_has(name, old)
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    def read(self, name):
        return (self.root / name).read_text(encoding="utf-8")

    def assert_has(self, name, text):
        self.assertTrue(text in self.read(name), f"{name} has no {text}")

    def test_nothing_to_do(self):
        self.assertEqual(self.run_script("--check"), (0, ""))

    def test_a_changed_row_shows(self):
        before = self.read("docs/graph-ir.md")
        self.edit("ir/attrs.def", "1e-5", "1e-3")
        code, out = self.run_script("--check")
        self.assertEqual(code, 1)
        self.assertIn("+| batch_norm | `epsilon` float 1e-3 |", out)
        self.assertEqual(self.read("docs/graph-ir.md"), before)  # --check writes nothing
        self.assertEqual(self.run_script(), (0, ""))
        self.assert_has("docs/graph-ir.md", "`epsilon` float 1e-3")
        self.assertEqual(self.run_script("--check"), (0, ""))

    def test_a_changed_document_shows(self):
        self.edit("docs/onnx-operators.md", "`BatchNormalization` | ai.onnx | 7", "`BatchNormalization` | ai.onnx | 8")
        self.assertEqual(self.run_script("--check")[0], 1)
        self.assertEqual(self.run_script()[0], 0)
        self.assert_has("docs/onnx-operators.md", "`BatchNormalization` | ai.onnx | 7")

    def commands(self, *arguments):
        """With the commands of a document of the test's own."""
        words = [sys.executable, "-B", str(SOURCE / "scripts" / "gen-docs"), *arguments,
                 "--commands", sys.executable, str(self.root)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    def test_commands(self):
        page = self.root / "docs" / "tour.md"
        page.write_text("<!-- command: echo one > f && cat f | tr o 0 -->\n<!-- end -->\nand\n"
                        "<!-- command: cat f -->\n\n    $ cat f\n    old\n\n<!-- end -->\n", encoding="utf-8")
        self.assertEqual(self.run_script("--check"), (0, ""))  # without the option nobody runs them
        code, out = self.commands("--check")
        self.assertEqual(code, 1)
        self.assertIn("-    old\n", out)
        self.assertEqual(self.commands(), (0, ""))
        self.assertIn("-->\n\n    $ echo one > f && cat f | ...\n    0ne\n\n<!-- end -->\nand\n", page.read_text())
        self.assertIn("    $ cat f\n    one\n", page.read_text())
        self.assertEqual(self.commands("--check"), (0, ""))

    def test_commands_that_fail(self):
        (self.root / "docs" / "tour.md").write_text(
            "<!-- command: false | cat -->\n<!-- end -->\n<!-- command: true -->\n<!-- end -->\n", encoding="utf-8")
        code, out = self.commands("--check")
        self.assertEqual(code, 1)
        self.assertIn("a command failed: false | cat", out)
        self.assertIn("a command printed nothing: true", out)

    def test_a_new_row_wants_a_meaning(self):
        row = 'OP(twice, "y", "x", none, floating, act, OPF_ELEMENTWISE)\n'
        self.edit("ir/ops.def", "OP(add,", f"{row}OP(add,")
        code, out = self.run_script()
        self.assertEqual((code, out), (1, 'docs/graph-ir.md: `twice` has no "meaning": write it in its row\n'))
        self.assertEqual(self.run_script("--check")[0], 1)  # the row is there, but empty
        self.edit("docs/graph-ir.md", "| `twice` | `x` | `y` | | elementwise | | | |",
                  "| `twice` | `x` | `y` | | elementwise | float | as x | 2x |")
        self.assertEqual(self.run_script("--check"), (0, ""))

    def test_what_is_written_by_hand_stays(self):
        self.edit("docs/graph-ir.md", "| the mean of each channel |", "| what is \\| written |")
        self.edit("ir/ops.def", "OP(reorder,", 'OP(aa, "y", "x", none, same, copy, OPF_NONE)\nOP(reorder,')
        self.run_script()
        self.assert_has("docs/graph-ir.md", "| what is \\| written |")

    def test_an_activation_is_in_three_tables(self):
        self.edit("ir/acts.def", "ACT(relu6,", 'ACT(square, x * x, 1, "a test")\nACT(relu6,')
        self.assertEqual(self.run_script(), (0, ""))
        self.assert_has("docs/graph-ir.md", "| `square` | `x * x` | yes | a test |")
        self.assert_has("docs/graph-ir.md", "| `square` | `x` | `y` | | elementwise, kernel | float |")
        self.assert_has("docs/loop-ir.md", "| `d = square a` | unary | F |")

    def test_a_table_must_be_somewhere(self):
        self.edit("docs/targets.md", "<!-- generated: targets -->", "")
        self.assertEqual(self.run_script(), (1, 'docs: no document has the table "targets"\n'))


if __name__ == "__main__":
    unittest.main()
