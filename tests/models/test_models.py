#!/usr/bin/env python3
"""Real exporters' models from ONNX to compiled C, against reference outputs.

The pretrained Lite0 lives in the project. Models of the shared folder (EFFNETC_MODELS, or
../shared/models beside the source tree) are skipped, with a message, where it is missing.
"""
import argparse
import functools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SHARED = pathlib.Path(os.environ.get("EFFNETC_MODELS", SOURCE.parent / "shared" / "models"))
TARGETS = ["native", "x86-64-v3", "generic"]  # those of them that --targets names
TOOLS = {}  # effnetc, fill_model: paths from the command line


def run(*command, **options):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)


@functools.lru_cache(maxsize=None)
def native_backends():
    """Options of the commands that run native code, by all that makes it."""
    llvm = "without LLVM" not in run(TOOLS["effnetc"], "--version").stdout
    return ("--backend=c", "--backend=llvm") if llvm else ("--backend=c",)


def ways(targets):
    """C for each target, LLVM for the first: that its bits are those of C for all, test_bits.py says."""
    c, *llvm = native_backends()
    return [(target, c) for target in targets] + [(target, backend) for target in targets[:1] for backend in llvm]


def few_ways():
    """The widest target by the backend that is quicker to build, the narrowest one by C: enough where many
    models are alike."""
    ways = [("native", native_backends()[-1]), ("generic", "--backend=c")]
    return [(target, backend) for target, backend in ways if target in TARGETS]


class Model:
    """A model, an input and the output it must give."""

    def __init__(self, path, data, reference):
        self.path, self.input, self.reference = path, data, reference  # input: options of the command


class ModelTest(unittest.TestCase):
    """Checks that hold for each model; subclasses give it."""

    model = None

    @classmethod
    def setUpClass(cls):
        if cls is ModelTest:
            raise unittest.SkipTest("only its subclasses name a model")
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="effnetc-models-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        cls.model = cls.make()

    def ok(self, *command, **options):
        result = run(*command, **options)
        self.assertEqual(result.returncode, 0, f"{command}\n{result.stdout}{result.stderr}")
        return result.stdout

    @functools.lru_cache(maxsize=None)
    def compile(self, target):
        out = self.folder / target
        self.ok(TOOLS["effnetc"], self.model.path, "-o", out, "--name", "net", "--target", target)
        return out

    def test_reference(self):
        for target, backend in ways(TARGETS):
            with self.subTest(target=target, backend=backend):
                self.ok(TOOLS["effnetc"], "verify", self.model.path, *self.model.input, backend,
                        "--expect", self.model.reference, "--tolerance", "1e-4", "--target", target)

    def test_wrong_reference_fails(self):
        """The check above can fail: a tolerance that no float32 computation meets."""
        result = run(TOOLS["effnetc"], "verify", self.model.path, *self.model.input,
                     "--expect", self.model.reference, "--tolerance", "1e-9")
        self.assertEqual(result.returncode, 5, result.stdout + result.stderr)

    def test_every_pass_keeps_values(self):
        self.ok(TOOLS["effnetc"], self.model.path, "-o", self.folder / "checked", "--verify-passes")

    def test_same_bytes_twice(self):
        first = self.compile("native")
        again = self.folder / "again"
        self.ok(TOOLS["effnetc"], self.model.path, "-o", again, "--name", "net")
        for file in sorted(first.iterdir()):
            if file.suffix in (".c", ".h", ".bin", ".json"):
                self.assertEqual(file.read_bytes(), (again / file.name).read_bytes(), file.name)

    def test_object_is_closed_and_constant(self):
        for target in TARGETS:
            with self.subTest(target=target):
                out = self.compile(target)
                self.ok("cc", "-O0", "-c", "net.c", "-o", "net.o", cwd=out)
                symbols = self.ok("nm", "net.o", cwd=out).splitlines()
                kinds = {line.split()[-2] for line in symbols}
                self.assertLessEqual(kinds, {"T", "t", "r", "R"}, symbols)

    def test_memory(self):
        memory = json.loads(self.ok(TOOLS["effnetc"], "inspect", self.model.path, "--json"))["memory"]
        self.assertLessEqual(memory["arena_bytes"], 1.3 * memory["arena_lower_bound"])
        self.assertLess(memory["arena_bytes"], 8 << 20)
        self.assertLess((self.compile("native") / "net.c").stat().st_size, 1 << 20)

    def harness(self, target, name, *flags):
        """A program that runs the generated code twice and compares the two results."""
        out = self.compile(target)
        header = (out / "net.h").read_text()
        sizes = [int(s["elements"]) for key in ("inputs", "outputs")
                 for s in json.loads((out / "net.json").read_text())[key]]
        self.assertIn("NET_ARENA_BYTES", header)
        self.ok("cc", "-O1", "-g", *flags, f"-DINPUT={sizes[0]}", f"-DOUTPUT={sizes[1]}", f"-I{out}",
                SOURCE / "tests/models/run_twice.c", out / "net.c", "-o", out / name)
        return out / name, out / "net.weights.bin"

    def test_sanitizers(self):
        for target in TARGETS:
            with self.subTest(target=target):
                program, weights = self.harness(target, "sanitized", "-fsanitize=address,undefined",
                                                "-fno-sanitize-recover=all")
                self.ok(program, weights)

    def test_valgrind(self):
        """valgrind 3.19 knows no AVX-512, so x86-64-v3."""
        if not shutil.which("valgrind"):
            self.skipTest("valgrind is not installed")
        program, weights = self.harness("x86-64-v3", "plain")
        self.ok("valgrind", "--error-exitcode=9", "--leak-check=full", "-q", program, weights)


class Lite0(ModelTest):
    @classmethod
    def make(cls):
        data = SOURCE / "tests/models/data"
        return Model(SOURCE / "examples/models/efficientnet_lite0.onnx",
                     ("--input", data / "lite0_chelsea.png", "--fit", "stretch"),
                     data / "lite0_chelsea.out.npy")

    def test_reference_of_other_targets(self):
        """Those that few machines run, in the loop interpreter: compiled, they give its bits."""
        for target in ("x86-64-v2", "aarch64"):
            with self.subTest(target=target):
                self.ok(TOOLS["effnetc"], "verify", self.model.path, *self.model.input, "--backend=loop-interp",
                        "--expect", self.model.reference, "--tolerance", "1e-4", "--target", target)

    def test_picture(self):
        out = self.ok(TOOLS["effnetc"], "run", self.model.path, "--input",
                      next((SOURCE / "examples/images").glob("chelsea.*")), "--labels",
                      SOURCE / "examples/models/imagenet_labels.json", "--top", "5")
        self.assertRegex(out.splitlines()[0] + out.splitlines()[1], re.compile("cat", re.I))

    def test_top_five_of_pictures(self):
        """From the files of ten pictures, prepared as the member is, to the classes of the reference."""
        wanted = shared_models()["real_lite0"]["top5"]
        pictures = {SHARED / f"pictures/{name}.ppm": top for name, top in wanted.items()}
        command = (TOOLS["effnetc"], "run", self.model.path, *pictures, "--json", "--labels",
                   SOURCE / "examples/models/imagenet_labels.json")
        for more in ((), ("--input-type=u8-rgb",)):
            with self.subTest(options=more):
                self.compare_top_five(json.loads(self.ok(*command, *more)), pictures)

    def compare_top_five(self, found, pictures):
        self.assertEqual(len(found), len(pictures))
        for picture in found:
            top = pictures[pathlib.Path(picture["picture"])]
            self.assertEqual([(c["class"], c["label"]) for c in picture["classes"]],
                             [(c, label) for c, label, _, _ in top], picture["picture"])
            for c, (_, _, value, probability) in zip(picture["classes"], top):
                self.assertAlmostEqual(c["value"], value, delta=1e-3)
                self.assertAlmostEqual(c["probability"], probability, delta=1e-3)

    def test_minimal_example(self):
        """Builds and runs as the comment on top of it says; needs nothing but the generated code."""
        out = self.folder / "minimal"
        self.ok(TOOLS["effnetc"], self.model.path, "-o", out, "--name", "lite0", "--weights=incbin")
        for command in (f"cc -O2 -Wall -Wextra -Werror -I. -c {SOURCE}/examples/minimal/minimal.c",
                        "cc -O2 minimal.o lite0.c lite0.weights.S -o minimal", "./minimal"):
            self.ok(*command.split(), cwd=out)
        undefined = {line.split()[-1] for line in self.ok("nm", "-u", "minimal.o", cwd=out).splitlines()}
        self.assertEqual(undefined, {"lite0_run", "lite0_weights"})

    def test_classify_example(self):
        out = self.folder / "classify"
        self.ok(TOOLS["effnetc"], self.model.path, "-o", out, "--name", "lite0")
        self.ok("cmake", "-G", "Ninja", "-S", SOURCE / "examples/classify", "-B", out / "build",
                f"-DGENERATED={out}")
        self.ok("cmake", "--build", out / "build")
        text = self.ok(out / "build/classify", out / "lite0.weights.bin",
                       SOURCE / "examples/models/imagenet_labels.json", SOURCE / "examples/images/coffee.jpg")
        self.assertIn("espresso", text.splitlines()[0])


def shared_models():
    """The entries of zoo.json, by name."""
    if not (SHARED / "zoo.json").exists():
        raise unittest.SkipTest(f"{SHARED} is missing: set EFFNETC_MODELS to the folder of test models")
    return {m["name"]: m for m in json.loads((SHARED / "zoo.json").read_text())["models"]}


@functools.lru_cache(maxsize=None)
def python_with_numpy():
    """This interpreter, or the system's: scripts/setup gives that one numpy."""
    for python in (sys.executable, "/usr/bin/python3"):
        if run(python, "-c", "import numpy").returncode == 0:
            return python
    raise RuntimeError("no Python here has numpy; scripts/setup installs it")


def make_skeleton(entry, folder):
    """A skeleton with its weights, and its input made from a picture."""
    model, data, picture = folder / f"{entry['name']}.onnx", folder / f"{entry['name']}.npy", entry["input"]
    for command in ((TOOLS["fill_model"], SHARED / entry["file"], model),
                    (python_with_numpy(), SHARED / "picture.py", SHARED / picture["picture"], *picture["size"],
                     picture["norm"], picture["layout"], data)):
        result = run(*command)
        if result.returncode:
            raise RuntimeError(f"{command}\n{result.stderr}")
    return Model(model, ("--input", data), SHARED / entry["refs"][0]["file"])


class TorchvisionB0(ModelTest):
    @classmethod
    def make(cls):
        return make_skeleton(shared_models()["tv_b0"], cls.folder)


class Classifiers(unittest.TestCase):
    """Every full-size float classifier of the shared folder. Scalar code of the largest would take minutes."""

    SCALAR_MACS = 1.5e9

    def test_all(self):
        entries = [m for m in shared_models().values() if m["kind"] == "skeleton"
                   and len(m["outputs"]) == 1 and len(m["outputs"][0]["shape"]) == 2
                   and m["outputs"][0]["shape"][1] == 1000]
        self.assertGreater(len(entries), 0)
        for entry in entries:
            with tempfile.TemporaryDirectory(prefix="effnetc-models-") as folder:
                model = make_skeleton(entry, pathlib.Path(folder))
                for target, backend in few_ways():
                    if target == "generic" and entry["macs"] > self.SCALAR_MACS:
                        continue
                    with self.subTest(model=entry["name"], target=target, backend=backend):
                        result = run(TOOLS["effnetc"], "verify", model.path, *model.input, backend, "--expect",
                                     model.reference, "--tolerance", "1e-4", "--target", target)
                        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)


class References(unittest.TestCase):
    """Models of zoo.json by kind: each output within the tolerance that is given there."""

    def ways(self):
        return ways(TARGETS)

    def check(self, entry, folder):
        skeleton = entry["kind"] == "skeleton"
        model = make_skeleton(entry, folder).path if skeleton else SHARED / entry["file"]
        data = folder / f"{entry['name']}.npy" if skeleton else SHARED / entry["input"]["file"]
        for target, backend in self.ways():
            with self.subTest(model=entry["name"], target=target, backend=backend):
                out = folder / f"{target}{backend}"
                result = run(TOOLS["effnetc"], "run", model, "--input", data, backend, "--target", target,
                             "--output-dir", out)
                self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
                triples = [(out / f"{i}.npy", SHARED / reference["file"], reference.get("step", 1))
                           for i, reference in enumerate(entry["refs"])]
                errors = run(python_with_numpy(), SOURCE / "tests/models/largest_error.py", *sum(triples, ()))
                self.assertEqual(errors.returncode, 0, errors.stderr)
                self.assertEqual(len(errors.stdout.split()), len(triples))
                for i, error in enumerate(errors.stdout.split()):
                    self.assertLessEqual(float(error), entry["tolerance"]["rel_to_absmax"], f"output {i}")

    def check_all(self, wanted):
        entries = [m for m in shared_models().values() if wanted(m)]
        self.assertGreater(len(entries), 0)
        for entry in entries:
            with tempfile.TemporaryDirectory(prefix="effnetc-models-") as folder:
                self.check(entry, pathlib.Path(folder))


class Planes(References):
    """Full-size models whose outputs are planes or lists of boxes: segmentation, detection."""

    def ways(self):
        return few_ways()

    def test_all(self):
        self.check_all(lambda m: m["kind"] == "skeleton"
                       and any(len(o["shape"]) != 2 for o in m["outputs"]))


class Detections(unittest.TestCase):
    """A full-size model that ends in NonMaxSuppression: as many boxes as the picture has."""

    def test_boxes(self):
        entry = shared_models()["effdet_d0_nms"]
        with tempfile.TemporaryDirectory(prefix="effnetc-models-") as text:
            folder = pathlib.Path(text)
            model = make_skeleton(entry, folder)
            result = run(TOOLS["effnetc"], "run", model.path, *model.input, "--backend", "c", "--output-dir",
                         folder / "out")
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
            self.assertEqual([f.name for f in (folder / "out").iterdir()], ["0.npy"])
            error = run(python_with_numpy(), SOURCE / "tests/models/rows_error.py", folder / "out/0.npy",
                        model.reference)
            self.assertEqual(error.returncode, 0, error.stderr)
            self.assertLessEqual(float(error.stdout), entry["tolerance"]["rel_to_absmax"])


class Tiny(References):
    """Small models: one for each dialect, storage form and precision.

    What they ask is what the importer makes of them: one way is enough for each, by turns, and the C compiler
    needs no time to optimise."""

    turn = 0

    def ways(self):
        self.turn += 1
        target, backend = few_ways()[self.turn % len(few_ways())]
        return [(target, "--cc=cc -O0" if backend == "--backend=c" else backend)]

    def test_all(self):
        self.check_all(lambda m: m["kind"] == "tiny")


class QuantisedLite0(unittest.TestCase):
    """The pretrained int8 model, on crops, near ONNX Runtime: a step of an inner value may differ."""

    def test_crops(self):
        shared_models()
        with tempfile.TemporaryDirectory(prefix="effnetc-models-") as text:
            data, reference = pathlib.Path(text) / "x.npy", pathlib.Path(text) / "y.npy"
            for number, target in ((0, "native"), (1, "native"), (2, "native"), (0, "generic")):
                with self.subTest(crop=number, target=target):
                    made = run(python_with_numpy(), SOURCE / "tests/models/lite0_crop.py", SHARED, number, data,
                               reference)
                    self.assertEqual(made.returncode, 0, made.stderr)
                    result = run(TOOLS["effnetc"], "verify", SHARED / "real/efficientnet_lite0_int8.onnx",
                                 "--input", data, "--expect", reference, "--tolerance", "0.05", "--target", target,
                                 native_backends()[-1])
                    self.assertEqual(result.returncode, 0, result.stdout + result.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--effnetc", required=True)
    parser.add_argument("--fill-model", required=True)
    parser.add_argument("--targets", type=lambda s: s.split(","), default=TARGETS, help="A,B: these alone")
    arguments, rest = parser.parse_known_args()
    TARGETS[:] = [t for t in TARGETS if t in arguments.targets]
    TOOLS.update(effnetc=arguments.effnetc, fill_model=arguments.fill_model)
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
