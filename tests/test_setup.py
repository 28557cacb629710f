"""Tests of scripts/setup, with stand-ins for dpkg-query, apt-get, id and sudo."""

import pathlib
import shutil
import subprocess
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[1] / "scripts" / "setup"
TOOLS = ["bash", "env", "grep", "mktemp", "rm", "tail"]


class Setup(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.bin = pathlib.Path(folder.name)
        self.calls = self.bin / "calls"
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool))

    def tool(self, name, script):
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)

    def packages(self, missing):
        """dpkg-query as it behaves where some packages are unknown and one was removed."""
        lines = "".join(f'[ "$p" = {name} ] && continue\n' for name in missing)
        self.tool(
            "dpkg-query",
            f'shift 3\nfor p in "$@"; do\n{lines}echo "installed $p"\ndone\n'
            f"echo 'config-files {missing[0] if missing else 'nothing'}'\nexit {int(bool(missing))}",
        )

    def apt(self, code=0):
        self.tool("apt-get", f'echo "$DEBIAN_FRONTEND" "$@" >>{self.calls}\nexit {code}')

    def run_setup(self, *options):
        return subprocess.run(
            [str(self.bin / "bash"), str(SCRIPT), *options],
            env={"PATH": str(self.bin)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def called(self):
        return self.calls.read_text() if self.calls.exists() else ""

    def test_nothing_is_done_where_nothing_is_missing(self):
        self.packages([])
        self.apt()
        done = self.run_setup()
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        self.assertEqual(self.called(), "")

    def test_root_installs_what_is_missing(self):
        self.packages(["cmake", "libpng-dev"])
        self.apt()
        self.tool("id", "echo 0")
        self.assertEqual(self.run_setup("--minimal").returncode, 0)
        install = "noninteractive install -y -q --no-install-recommends cmake libpng-dev\n"
        self.assertTrue(self.called().endswith(install), self.called())

    def test_the_tests_need_more_than_the_demo(self):
        self.packages(["libcmocka-dev"])
        self.apt()
        self.tool("id", "echo 0")
        self.run_setup("--minimal")
        self.assertEqual(self.called(), "")
        self.run_setup()
        self.assertIn("libcmocka-dev", self.called())

    def test_sudo_is_used_where_it_asks_nothing(self):
        self.packages(["cmake"])
        self.apt()
        self.tool("id", "echo 1000")
        self.tool("sudo", f'[ "$1" = -n ] && exit 0\necho sudo >>{self.calls}\nexec "$@"')
        self.assertEqual(self.run_setup().returncode, 0)
        self.assertIn("sudo\nnoninteractive install", self.called())

    def test_without_a_way_to_root_the_line_to_run_is_printed(self):
        self.packages(["cmake", "gcc"])
        self.apt()
        self.tool("id", "echo 1000")
        for sudo in [None, "exit 1"]:
            if sudo:
                self.tool("sudo", sudo)
            done = self.run_setup()
            self.assertEqual(done.returncode, 1)
            line = "sudo apt-get install --no-install-recommends gcc cmake\n"
            self.assertIn(line, done.stderr)
        self.assertEqual(self.called(), "")

    def test_a_failed_installation_fails(self):
        self.packages(["cmake"])
        self.apt(code=100)
        self.tool("id", "echo 0")
        done = self.run_setup()
        self.assertEqual(done.returncode, 1)
        self.assertIn("the installation failed", done.stderr)

    def test_other_systems_are_told_what_is_needed(self):
        done = self.run_setup("--minimal")
        self.assertEqual(done.returncode, 0)
        self.assertIn("protobuf-c-compiler", done.stderr)

    def test_a_wrong_option_fails(self):
        self.assertEqual(self.run_setup("--all").returncode, 1)


if __name__ == "__main__":
    unittest.main()
