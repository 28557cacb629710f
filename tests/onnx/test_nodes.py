#!/usr/bin/env python3
"""The ONNX project's own tests of operators: each passes on all backends, or is refused with a reason.

    tests/onnx/test_nodes.py --effnetc COMMAND [--update] [--all] [--interpreter] [--list WORD] [--filter REGEX]

Every folder of a data folder has model.onnx and test_data_set_*/{input,output}_N.pb. The data is
Debian's package libonnx-testdata, or what EFFNETC_ONNX_TESTS names; without either the test is
skipped (exit code 77). A test ends as

    pass      the outputs are the expected ones
    constant  the same, with inputs made constants that the compiler must know (a list of axes)
    refused   exit code 3 and a reason
    wrong     other outputs, or refused as a broken model
    crash     a signal, an internal error, or no end

The interpreter runs all of them, the C backend those that pass there and that it doesn't refuse:
three of each operator for the target generic, or with --all or --update each, and for native too.
Otherwise LLVM, where it is built in, runs one of each operator for native: C for it takes ten times as
long to compile, and its bits are the same. A test that is wrong or crashes fails the whole. The table by operator of docs/onnx-support.md must say
what was found in Debian's data; --update writes it. (Tests that C doesn't run count as the
interpreter found them.)
"""
import argparse
import collections
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np

import onnx_read as onnx

SOURCE = pathlib.Path(__file__).resolve().parents[2]
DEBIAN = pathlib.Path("/usr/share/libonnx-testdata/data/node")
DOCUMENT = SOURCE / "docs" / "onnx-support.md"
BLOCK = re.compile(r"(?<=<!-- measured: nodes -->\n)(.*?)(?=<!-- end -->)", re.S)
UNSUPPORTED, BAD_MODEL, SKIPPED = 3, 2, 77
CRASHES = (70, 127)
RTOL, ATOL = 1e-3, 1e-6  # of the ONNX project; its atol of 1e-7 is for results in double precision
TWO_ULPS_OF_BF16, TWO_ULPS_OF_F16 = 2**-6, 2**-9  # the former is ONNX's own too
MAX_SECONDS = 60
FEW = 3  # tests of an operator that C runs without --all; of `several`, each is another operator
FIXABLE = 64  # elements of an input that may become a constant: lists and scalars

# Tests whose data isn't what the operator's definition says: onnx 1.12 cut off the low bits of a
# float where bfloat16 is the nearest one, and its inputs `like` have fewer elements than their type;
# what adam_multiple expects comes from an epsilon that its model doesn't say.
KNOWN = {"adam_multiple", "cast_FLOAT_to_BFLOAT16", "castlike_BFLOAT16_to_FLOAT", "castlike_BFLOAT16_to_FLOAT_expanded",
         "castlike_FLOAT_to_BFLOAT16", "castlike_FLOAT_to_BFLOAT16_expanded"}

Result = collections.namedtuple("Result", "kind detail")


class Case:
    """One folder: a model and its sets of inputs and outputs."""

    def __init__(self, folder):
        self.name = folder.name.removeprefix("test_")
        self.data = (folder / "model.onnx").read_bytes()
        self.model = onnx.Model(self.data)
        self.sets = sorted(folder.glob("test_data_set_*"))

    def operator(self):
        """What it tests: an operator spelled in others is tested as itself."""
        domain, name = self.model.nodes[0] if len(self.model.nodes) == 1 else ("", "")
        if domain not in ("", "ai.onnx"):
            return f"{domain}.{name}"
        return name


def load(folder, kind):
    files = sorted(folder.glob(kind + "_*.pb"), key=lambda p: int(p.stem.split("_")[1]))
    return [f.read_bytes() for f in files]


def matches(have, want, data_type):
    if have.shape != want.shape or have.dtype != want.dtype:
        return f"{have.dtype}{list(have.shape)}, expected {want.dtype}{list(want.shape)}"
    rtol = RTOL
    if data_type == onnx.BFLOAT16:
        have, want, rtol = onnx.float_of_bfloat(have), onnx.float_of_bfloat(want), TWO_ULPS_OF_BF16
    elif want.dtype == np.float16:
        rtol = TWO_ULPS_OF_F16
    elif data_type in onnx.MINUS_ZERO:
        have, want = (np.where(x == onnx.MINUS_ZERO[data_type], 0, x) for x in (have, want))
    if want.dtype.kind != "f":
        bad = have != want
    else:
        bad = ~np.isclose(have.astype("f8"), want.astype("f8"), rtol, ATOL, equal_nan=True)
    if not bad.any():
        return None
    return f"{int(bad.sum())} of {bad.size} elements differ, the first is {have[bad][0]}, not {want[bad][0]}"


def message(stderr):
    """The first error of the command, and its reason."""
    error = re.search(r"error: (.*)", stderr)
    reason = re.search(r"reason: (.*)", stderr)
    return (reason or error or re.search(r"(.*)", stderr))[1].strip()


class Runner:
    def __init__(self, command, folder):
        self.command = command
        self.folder = pathlib.Path(folder)
        version = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
        self.has_llvm = "without LLVM" not in version.stdout

    def start(self, data, inputs, options):
        """Runs a model on named arrays; (exit code, messages, outputs)."""
        (self.folder / "model.onnx").write_bytes(data)
        for old in self.folder.glob("*.npy"):
            old.unlink()
        arguments = []
        for i, (name, array) in enumerate(inputs.items()):
            np.save(self.folder / f"in_{i}.npy", array)
            arguments.append(f"--input={name}=in_{i}.npy")
        try:
            p = subprocess.run([self.command, "run", "model.onnx", "--output-dir=.", *arguments, *options],
                               cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True,
                               timeout=MAX_SECONDS)
        except subprocess.TimeoutExpired:
            return -1, f"no end after {MAX_SECONDS} s", []
        outputs = []
        while (file := self.folder / f"{len(outputs)}.npy").exists():
            outputs.append(np.load(file))
        return p.returncode, p.stderr.decode(errors="replace"), outputs

    def run(self, case, folder, options):
        """One set of inputs; inputs become constants, one by one, where the compiler asks for them."""
        names = case.model.inputs
        protos = dict(zip(names, load(folder, "input"))) if case.model.only_tensors else {}
        arrays = {name: onnx.tensor(proto) for name, proto in protos.items()}
        data = case.data
        if any(a is None for a in arrays.values()):
            arrays = {}
        fixed = 0
        while True:
            code, text, outputs = self.start(data, arrays, options)
            small = [n for n, a in arrays.items() if a.size <= FIXABLE and a.ndim <= 1]
            small.sort(key=lambda n: n == names[0])  # the data, of most operators
            if code != UNSUPPORTED or "must be constant" not in text or not small:
                wanted = zip(load(folder, "output"), case.model.output_kinds)
                wanted = [t for data, kind in wanted for t in onnx.tensors(data, kind)]
                return self.judge(code, text, outputs, wanted, fixed)
            data = onnx.with_initializer(data, small[0], protos[small[0]])
            del arrays[small[0]]
            fixed += 1

    @staticmethod
    def judge(code, text, outputs, wanted, fixed):
        if code < 0 or code in CRASHES:
            return Result("crash", f"exit {code}: {text.strip()[-300:]}")
        if code == UNSUPPORTED:
            return Result("refused", message(text))
        if code:
            return Result("wrong", f"exit {code}: {message(text)}")
        if len(outputs) != len(wanted):
            return Result("wrong", f"{len(outputs)} outputs, expected {len(wanted)}")
        for have, want in zip(outputs, wanted):
            difference = matches(have, onnx.tensor(want), onnx.data_type(want))
            if difference:
                return Result("wrong", difference)
        return Result("constant" if fixed else "pass", "")

    def run_all(self, case, options):
        """The worst of all sets."""
        order = ["pass", "constant", "refused", "wrong", "crash"]
        results = [self.run(case, folder, options) for folder in case.sets]
        return max(results, key=lambda r: order.index(r.kind), default=Result("refused", "no data"))


# Bits don't depend on -O, and compiling takes longer than running.
BACKENDS = {"c": ["--backend=c", "--target=generic", "--cc=cc -O0"],
              "c native": ["--backend=c", "--target=native", "--cc=cc -O0"],
              "llvm native": ["--backend=llvm", "--target=native"]}


class Report:
    """The results of a whole folder."""

    def __init__(self, runner, c_all, interpreter):
        self.runner = runner
        self.c_all = c_all
        self.interpreter = interpreter  # nothing else
        self.by_operator = collections.defaultdict(lambda: collections.Counter())
        self.reasons = collections.defaultdict(collections.Counter)
        self.c_done = collections.Counter()
        self.failures = []

    def backends(self, operator):
        if self.c_all or not operator or self.c_done[operator] < FEW:
            yield "c"
        if self.c_all:
            yield "c native"
        elif not self.c_done[operator]:
            yield "llvm native" if self.runner.has_llvm else "c native"
        self.c_done[operator] += 1

    def add(self, case, listed):
        operator = case.operator()
        results = {"interp": self.runner.run_all(case, ["--backend=interp"])}
        if case.name in KNOWN and results["interp"].kind == "wrong":
            return
        count = self.by_operator[operator]
        count["tests"] += 1
        count[results["interp"].kind] += 1
        if results["interp"].kind == "refused":
            self.reasons[operator][results["interp"].detail] += 1
        if not self.interpreter and results["interp"].kind in ("pass", "constant"):
            self.run_c(case, operator, results)
        for backend, result in results.items():
            if result.kind in ("wrong", "crash"):
                self.failures.append(f"{result.kind}: {case.name} ({backend}): {result.detail}")
            if listed and result.kind.startswith(listed):
                print(f"{case.name} ({backend}): {result.detail}")

    def run_c(self, case, operator, results):
        passes = True
        for backend in self.backends(operator):
            results[backend] = self.runner.run_all(case, BACKENDS[backend])
            passes = passes and results[backend].kind in ("pass", "constant")
            if results[backend].kind == "refused":
                break
        self.by_operator[operator]["c"] += passes

    def table(self):
        lines = ["| operator | tests | pass | with constants | refused | C backend | reason |",
                 "| --- | --- | --- | --- | --- | --- | --- |"]
        total = collections.Counter()
        for operator in sorted(self.by_operator, key=lambda name: (name == "", name.lower())):
            count = self.by_operator[operator]
            total.update(count)
            reason = self.reasons[operator].most_common(1)
            lines.append(row(f"`{operator}`" if operator else "several", count,
                             reason[0][0] if reason else ""))
        lines.append(row("all", total, ""))
        return "\n".join(lines) + "\n"


def row(name, count, reason):
    reason = re.sub(r"(?<=.{90}).+", "...", reason).replace("|", "\\|")
    numbers = [str(count[k] or "") for k in ("tests", "pass", "constant", "refused", "c")]
    return " | ".join(["| " + name, *numbers, reason]) + " |"


def check_document(report, update):
    text = DOCUMENT.read_text(encoding="utf-8")
    wanted = BLOCK.sub(lambda _: report.table(), text)
    if update:
        DOCUMENT.write_text(wanted, encoding="utf-8")
    elif wanted != text:
        have = set(text.splitlines())
        news = "\n".join("  " + line for line in wanted.splitlines() if line not in have)
        report.failures.append(f"{DOCUMENT.name} is old; --update would write\n{news}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--effnetc", required=True, type=pathlib.Path)
    parser.add_argument("--update", action="store_true", help="write the table")
    parser.add_argument("--all", action="store_true", help="C for all tests, generic and native")
    parser.add_argument("--interpreter", action="store_true", help="no C; the table is not looked at")
    parser.add_argument("--filter", default="", help="tests whose name has a match")
    parser.add_argument("--list", default="", help="print those that end so")
    options = parser.parse_args()
    given = os.environ.get("EFFNETC_ONNX_TESTS")
    data = pathlib.Path(given) if given else DEBIAN
    if not data.is_dir():
        print(f"skipped: {data} is missing: apt-get install libonnx-testdata, or set EFFNETC_ONNX_TESTS")
        return SKIPPED
    with tempfile.TemporaryDirectory(prefix="effnetc-test-onnx-") as folder:
        report = Report(Runner(options.effnetc.resolve(), folder), options.all or options.update, options.interpreter)
        for path in sorted(data.glob("test_*")):
            if re.search(options.filter, path.name):
                report.add(Case(path), options.list)
    if not given and not options.filter and not options.interpreter:
        check_document(report, options.update)
    else:
        print(report.table())
    print("\n".join(report.failures))
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
