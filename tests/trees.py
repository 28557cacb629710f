"""For tests of scripts that look at a tree of files."""

import pathlib
import subprocess
import sys
import tempfile

SCRIPTS = pathlib.Path(__file__).resolve().parents[1] / "scripts"


def run_on(script, files):
    """Exit code and output of a script over a tree of these files, {name: text}."""
    with tempfile.TemporaryDirectory() as root:
        for name, text in files.items():
            path = pathlib.Path(root, name)
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text(text, encoding="utf-8")
        words = [sys.executable, "-B", str(SCRIPTS / script), root]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout
