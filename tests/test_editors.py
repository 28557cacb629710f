#!/usr/bin/env python3
"""The syntax files of editors/ colour what the tables of the IRs and the golden cases have."""
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[1]
EDITORS = ROOT / "editors"
LINE = '  %e = conv2d %in, @"a b", @w.1 {kernel=3x3, act=silu} : f32[1,144,56]{nchw16c}  # "blocks.2"'
WANTED = {  # what of it is what: TextMate's scope, Vim's group
    "%e": ("variable.other", "effnetcValue"),
    "conv2d": ("entity.name.function", "effnetcOp"),
    '@"a b"': ("constant.other", "effnetcConstant"),
    "kernel": ("keyword.other", "effnetcKeyword"),
    "3x3": ("constant.numeric", "effnetcNumber"),
    "act": ("entity.other.attribute-name", "effnetcAttribute"),
    "f32": ("storage.type", "effnetcType"),
    "144": ("constant.numeric", "effnetcNumber"),
    "nchw16c": ("storage.type", "effnetcLayout"),
    '# "blocks.2"': ("comment.line", "effnetcComment"),
}


def grammar():
    return json.loads((EDITORS / "vscode" / "effnetc.tmLanguage.json").read_text())["patterns"]


def scopes(line):
    """word -> scope, as TextMate does it: the leftmost match, of the first pattern that has it."""
    found, at = {}, 0
    while True:
        matches = [(m.start(), i, m, p["name"]) for i, p in enumerate(grammar())
                   if (m := re.compile(p["match"]).search(line, at)) and m.end() > m.start()]
        if not matches:
            return found
        _, _, m, name = min(matches, key=lambda x: x[:2])
        found.setdefault(m[0], name)
        at = m.end()


class Editors(unittest.TestCase):
    def test_json(self):
        for path in (EDITORS / "vscode").glob("*.json"):
            json.loads(path.read_text())

    def test_textmate(self):
        found = scopes(LINE)
        for word, (scope, _) in WANTED.items():
            self.assertTrue(found.get(word, "").startswith(scope), f"{word}: {found.get(word)}")

    def test_every_op_is_one(self):
        """All words behind the = of golden cases."""
        ops = set()
        for path in (ROOT / "tests" / "cases").rglob("*.ir"):
            for line in path.read_text().splitlines():
                m = re.match(r"(?:# )?  (?:%[^ ]+(?:, )?)+ = ([a-z]\w*)", line)
                if m:
                    ops.add(m[1])
                    self.assertTrue(scopes(line.removeprefix("# "))[m[1]].startswith("entity.name"),
                                    line)
        self.assertGreater(len(ops), 20)

    def test_vim(self):
        if not shutil.which("vim"):
            self.skipTest("vim is not installed")
        with tempfile.TemporaryDirectory() as folder:
            file, out = pathlib.Path(folder, "x.ir"), pathlib.Path(folder, "groups")
            file.write_text(f"graph @g() -> () {{\n{LINE}\n")
            groups = "".join(f"call add(g, synIDattr(synID(2, {LINE.index(w) + 1}, 1), 'name'))|"
                             for w in WANTED)
            result = subprocess.run(
                ["vim", "-u", "NONE", "-i", "NONE", "-n", "-es", "-c", f"set rtp+={EDITORS}/vim",
                 "-c", "filetype on", "-c", "syntax on", "-c", f"edit {file}", "-c", "set ft?",
                 "-c", f"let g=[]|{groups}call writefile([&ft] + g, '{out}')", "-c", "qa!"],
                capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
            if not out.exists():
                self.skipTest(f"this vim has no syntax colours: {result.stderr}")
            self.assertEqual(out.read_text().split(), ["effnetc", *(g for _, g in WANTED.values())])


if __name__ == "__main__":
    unittest.main()
