"""What tests of the command share: its exit codes, how it is called, and a small model.

EFFNETC_COMMAND is the built command."""

import os
import subprocess

import onnx_bytes as onnx
from workplace import Workplace

COMMAND = os.environ.get("EFFNETC_COMMAND", "effnetc")
PATIENCE = 600  # seconds that a command may take where many share the machine
OK, USAGE, BAD_MODEL, UNSUPPORTED, BUDGET, VERIFY, IO = 0, 1, 2, 3, 4, 5, 74
HAS_LLVM = b"without LLVM" not in subprocess.run([COMMAND, "--version"], capture_output=True).stdout

X = onnx.value_info("x", [1, 3, 4, 4])
Y = onnx.value_info("y", [1, 2, 4, 4])
WEIGHTS = [0.5, -1, 0.25, 1, 2, -0.5]


def conv_model(**changes):
    """y = relu(conv1x1(x)), with two output channels."""
    parts = dict(
        nodes=[
            onnx.node("Conv", ["x", "w"], ["c"], "conv"),
            onnx.node("Relu", ["c"], ["y"], "act"),
        ],
        inputs=[X],
        outputs=[Y],
        initializers=[onnx.tensor("w", [2, 3, 1, 1], WEIGHTS)],
    )
    parts.update(changes)
    return onnx.model(**parts)


def picture_values():
    return [((i * 37) % 101) / 50 - 1 for i in range(48)]


def expected(x):
    out = []
    for c in range(2):
        w = WEIGHTS[3 * c : 3 * c + 3]
        out += [max(sum(w[k] * x[16 * k + p] for k in range(3)), 0) for p in range(16)]
    return out


class Command(Workplace):
    """Each test has a folder in which the command runs, and one for its temporary files."""

    def setUp(self):
        super().setUp()
        self.tmp = self.path("tmp")
        os.mkdir(self.tmp)

    def run_command(self, *args, command=COMMAND, stdin=b"", env=None, cwd=None):
        e = {**os.environ, "TMPDIR": self.tmp, **(env or {})}
        return subprocess.run(
            [command, *args],
            input=stdin,
            capture_output=True,
            env=e,
            cwd=cwd or self.dir,
            timeout=PATIENCE,
        )

    def checked(self, code, *args, says=(), **kw):
        """Runs the command; its exit code, and words of its messages. Returns the process."""
        p = self.run_command(*args, **kw)
        err = p.stderr.decode()
        self.assertEqual(p.returncode, code, "%s\n%s" % (" ".join(args), err))
        for word in says:
            self.assertIn(word, err, " ".join(args))
        self.assertNotIn("Sanitizer", err)
        return p


class CommandTest(Command):
    """And the model conv_model() with an input of it."""

    def setUp(self):
        super().setUp()
        self.model = self.write("m.onnx", conv_model())
        self.input = self.write("x.npy", onnx.npy([1, 3, 4, 4], picture_values()))

    def check(self, code, *args, says=(), **kw):
        """The same, and that it says "error:" where it fails, and there alone. Returns its output."""
        p = self.checked(code, *args, says=says, **kw)
        if code == OK:
            self.assertNotIn("error:", p.stderr.decode())
        else:
            self.assertIn("error:", p.stderr.decode())
        return p.stdout.decode(errors="replace")

    def dynamic_model(self):
        """The path of the model with a batch and rows of any size."""
        return self.write(
            "d.onnx",
            conv_model(
                inputs=[onnx.value_info("x", ["batch", 3, "rows", 4])],
                outputs=[onnx.value_info("y", ["batch", 2, "rows", 4])],
            ),
        )
