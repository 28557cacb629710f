"""The passes that a pass says it needs ("Needs:" above its function) run before it in pipeline.c."""

import pathlib
import re
import unittest

PASSES = pathlib.Path(__file__).resolve().parents[1] / "passes"
NAMES = re.findall(r'^[A-Z]+_PASS\(\w+, +"([\w-]+)"', (PASSES / "passes.def").read_text(), re.M)


def pipelines():
    """The lists of passes, by their names in C."""
    text = re.sub(r"/\*.*?\*/", "", (PASSES / "pipeline.c").read_text(), flags=re.S)
    lists = re.findall(r"\*const (level\d)\[\] = \{(.*?)\};", text, re.S)
    return {name: re.findall(r'"([\w-]+)"', body) for name, body in lists}


def needs(name):
    """The passes that its comment says it needs; None where it says nothing."""
    text = (PASSES / ("pass_%s.c" % name.replace("-", "_"))).read_text()
    said = re.search(r"\bNeeds:(.*?)(?:Leaves\s+(?:\* )?alone|\*/)", text, re.S)
    return said and [other for other in re.findall(r"[\w-]+", said[1].replace("*", " ")) if other in NAMES]


class Passes(unittest.TestCase):
    def test_each_pass_says_what_it_needs(self):
        missing = [name for name in NAMES if name != "lower" and needs(name) is None]
        self.assertEqual(missing, [])

    def test_what_a_pass_needs_runs_before_it(self):
        lists = pipelines()
        self.assertEqual(sorted(lists), ["level0", "level2"])
        for level, order in lists.items():
            self.assertTrue(set(order) <= set(NAMES), level)
            for name in set(order) - {"lower"}:
                for other in needs(name):
                    with self.subTest(level=level, name=name, needs=other):
                        self.assertTrue(other not in order or order.index(other) < order.index(name))

    def test_every_pass_runs(self):
        self.assertEqual(sorted(set(pipelines()["level2"])), sorted(NAMES))


if __name__ == "__main__":
    unittest.main()
