"""Tests of scripts/check-links: that it sees each kind of broken link."""

import functools
import unittest

import trees

run_on = functools.partial(trees.run_on, "check-links")


class CheckLinks(unittest.TestCase):
    def test_what_exists_passes(self):
        code, out = run_on({
            "A.md": "[b](docs/b.md), [its head](docs/b.md#the-head-of-b), [here](#a), [web](https://x.y/z)\n# A\n",
            "docs/b.md": "# The `head` of B\n[up](../A.md) `[no](link)`\n\n    [no](link)\n",
            "build/c.md": "[not ours](nowhere)\n",
        })
        self.assertEqual((code, out), (0, ""))

    def test_what_is_missing_is_named(self):
        for link, why in [
            ("b.md", "does not exist"),
            ("docs/a.md#other", "has no such heading"),
            ("#nowhere", "has no such heading"),
        ]:
            code, out = run_on({"A.md": f"# A\n[x]({link})\n", "docs/a.md": "# One\n"})
            self.assertEqual((code, out), (1, f"A.md: {link} {why}\n"))

    def test_commands_can_be_started(self):
        code, out = run_on({
            "A.md": "[b](#a)\n# A\n\n    scripts/gone 60\n        tests/run.py --all   runs them\n    sudo scripts/ok\n",
            "tests/run.py": "#!/usr/bin/env python3\n",
        })
        self.assertEqual((code, out), (1, "A.md: scripts/gone does not exist\n"
                                          "A.md: tests/run.py can't be started: chmod +x\n"
                                          "A.md: scripts/ok does not exist\n"))

    def test_an_empty_tree_fails(self):
        self.assertEqual(run_on({})[0], 1)


if __name__ == "__main__":
    unittest.main()
