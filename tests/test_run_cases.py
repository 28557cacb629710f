"""Tests of run_cases.py: that it fails where it should. The command under test is a small script."""

import contextlib
import io
import os
import pathlib
import stat
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import run_cases  # noqa: E402  (needs the path above)

# Prints its arguments but the first one, then the lines of the case that start with "graph".
COMMAND = f"""#!{sys.executable}
import sys
command, *words = sys.argv[1:]
if command == "fail":
    print("went wrong:", *words, file=sys.stderr)
    sys.exit(2)
if command == "upper":
    sys.stdout.write(sys.stdin.read().upper())
if command == "show":
    print(*words)
    with open(words[0], encoding="utf-8") as case:
        print(*[line.rstrip() for line in case if line.startswith("graph")], sep="\\n")
if command == "write":
    open("file", "w", encoding="utf-8").write(words[0])
if command == "read":
    print(open(words[0] + "/file", encoding="utf-8").read())
"""


class RunCases(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name).resolve()
        self.command = self.folder / "command"
        self.command.write_text(COMMAND, encoding="utf-8")
        self.command.chmod(self.command.stat().st_mode | stat.S_IXUSR)
        (self.folder / "cases" / "sub").mkdir(parents=True)

    def case(self, text, name="sub/a.ir"):
        path = self.folder / "cases" / name
        path.write_text(text, encoding="utf-8")
        return path

    def run_all(self, *options):
        """Exit code and what was printed."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            arguments = ["--effnetc", str(self.command), *options, str(self.folder / "cases")]
            code = run_cases.main(arguments)
        return code, out.getvalue()

    def test_a_right_expectation_passes(self):
        self.case("# RUN: effnetc show %s x 'y z'\ngraph 1\n# EXPECT:\n# a.ir x y z\n# graph 1\n")
        self.assertEqual(self.run_all(), (0, "1 passed, 0 failed\n"))

    def test_the_working_folder_does_not_matter(self):
        self.case("# RUN: effnetc show %s\n# EXPECT:\n# a.ir\n#\n")
        old = os.getcwd()
        self.addCleanup(os.chdir, old)
        os.chdir("/")
        self.assertEqual(self.run_all()[0], 0)

    def test_a_wrong_expectation_fails_with_a_diff(self):
        self.case("# RUN: effnetc show %s\ngraph 1\n# EXPECT:\n# a.ir\n# graph 2\n")
        code, text = self.run_all()
        self.assertEqual(code, 1)
        self.assertIn("FAILED sub/a.ir", text)
        self.assertIn("-graph 2\n+graph 1\n", text)
        self.assertTrue(text.endswith("0 passed, 1 failed\n"))

    def test_missing_and_surplus_lines_fail(self):
        self.case("# RUN: effnetc show %s\ngraph 1\n# EXPECT:\n# a.ir\n", "b.ir")
        self.case("# RUN: effnetc show %s\ngraph 1\n# EXPECT:\n# a.ir\n# graph 1\n# x\n", "c.ir")
        self.assertEqual(self.run_all()[0], 1)
        self.assertIn("0 passed, 2 failed", self.run_all()[1])

    def test_update_repairs_and_keeps_the_rest(self):
        head = "# RUN: effnetc show %s\n# Why.\ngraph 1\n"
        path = self.case(head + "# EXPECT:\n# wrong\n")
        fresh = self.case(head, "b.ir")
        self.assertEqual(self.run_all("--update")[0], 0)
        self.assertEqual(path.read_text(), head + "# EXPECT:\n# a.ir\n# graph 1\n")
        self.assertEqual(fresh.read_text(), head + "# EXPECT:\n# b.ir\n# graph 1\n")
        self.assertEqual(self.run_all(), (0, "2 passed, 0 failed\n"))
        self.assertEqual(self.run_all("--update"), (0, "2 passed, 0 failed\n"))

    def test_a_wrong_exit_code_fails_even_with_update(self):
        text = "# RUN: effnetc fail x\n# EXPECT:\n"
        path = self.case(text)
        for options in [], ["--update"]:
            code, said = self.run_all(*options)
            self.assertEqual(code, 1)
            self.assertIn("ends with 2, not 0", said)
            self.assertIn("went wrong: x", said)
        self.assertEqual(path.read_text(), text)

    def test_an_exit_code_that_does_not_come_fails(self):
        self.case("# RUN: effnetc show %s\n# EXIT: 2\n# EXPECT:\n# a.ir\n#\n")
        code, said = self.run_all()
        self.assertEqual(code, 1)
        self.assertIn("ends with 0, not 2", said)

    def test_a_failure_that_is_expected_passes(self):
        self.case("# RUN: effnetc fail %s 2>&1\n# EXIT: 2\n# EXPECT:\n# went wrong: a.ir\n")
        self.assertEqual(self.run_all()[0], 0)

    def test_only_the_last_line_may_fail(self):
        self.case("# RUN: effnetc fail x\n# RUN: effnetc fail x\n# EXIT: 2\n# EXPECT:\n")
        self.assertEqual(self.run_all()[0], 1)

    def test_lines_share_a_folder_and_the_last_output_counts(self):
        self.case("# RUN: effnetc write text\n# RUN: effnetc read %t\n# EXPECT:\n# text\n")
        self.assertEqual(self.run_all(), (0, "1 passed, 0 failed\n"))

    def test_the_temporary_folder_has_a_name_that_stays(self):
        self.case("# RUN: effnetc fail %t/x 2>&1\n# EXIT: 2\n# EXPECT:\n# went wrong: %t/x\n")
        self.assertEqual(self.run_all()[0], 0)

    def test_pipes(self):
        self.case("# RUN: effnetc show %s x | effnetc upper\n# EXPECT:\n# {}\n#\n")
        self.assertIn("A.IR X", self.run_all()[1])
        self.case("# RUN: effnetc fail x | effnetc upper\n# EXIT: 2\n# EXPECT:\n")
        self.assertEqual(self.run_all()[0], 0)

    def test_files_that_are_no_cases_fail(self):
        for text, why in [
            ("graph 1\n", "no `# RUN:`"),
            ("# RUN: effnetc show %s\n", "no `# EXPECT:`"),
            ("# RUN: effnetc show %s\n# EXIT: x\n# EXPECT:\n", "`# EXIT:` line with a number"),
            ("# RUN: effnetc show %s\n# EXPECT:\ngraph\n", "does not start with"),
            ("# RUN: effnetc show %s |\n# EXPECT:\n", "empty command"),
            ("# RUN: effnetc 'x\n# EXPECT:\n", "wrong quoting"),
            ("# RUN: no-such-command-here\n# EXPECT:\n", "can't run no-such-command-here"),
        ]:
            self.case(text)
            code, said = self.run_all()
            self.assertEqual(code, 1, text)
            self.assertIn(why, said)

    def test_the_filter_chooses_by_name(self):
        self.case("# RUN: effnetc show %s\n# EXPECT:\n# a.ir\n#\n")
        self.case("# RUN: effnetc fail\n# EXPECT:\n", "bad.ir")
        self.assertEqual(self.run_all("--filter", "^sub/"), (0, "1 passed, 0 failed\n"))
        self.assertEqual(self.run_all("--filter", "nothing"), (1, "no case found\n"))


if __name__ == "__main__":
    unittest.main()
