#!/usr/bin/env python3
"""effnetc run on pictures, from outside: what is found, what is drawn, and what goes wrong.

EFFNETC_COMMAND is the built command. Where Pillow can be imported, what becomes of pictures is
compared with it."""

import csv
import io
import json
import os
import random
import struct
import subprocess
import unittest
import zlib

import onnx_bytes as onnx
from command import BAD_MODEL, COMMAND, IO, OK, PATIENCE, UNSUPPORTED, USAGE, Command


# The means of the channels are the values of three classes.
CLASSES = """graph @g(%x: f32[1,3,8,8]) -> f32[1,3] {
  %y = reduce_mean %x {axes=[2, 3], keepdims=false} : f32[1,3]
  return %y
}
"""
# What a backbone gives.
FEATURES = """graph @g(%x: f32[1,3,8,8]) -> (f32[1,3,8,8], f32[1,3]) {
  %y = relu %x : f32[1,3,8,8]
  %z = reduce_mean %x {axes=[2, 3], keepdims=false} : f32[1,3]
  return %y, %z
}
"""
# Two boxes, whatever the picture.
BOXES = """graph @g(%x: f32[1,3,8,8]) -> f32[3,6] {
  const @zero : f32[] = [0]
  const @boxes : f32[3,6] = [1, 1, 3, 5, 0.5, 1, 2, 0, 99, 8, 0.75, 2, 0, 0, 1, 1, 0.1, 1]
  %m = reduce_mean %x {axes=[0, 1, 2, 3], keepdims=false} : f32[]
  %n = mul %m, @zero : f32[]
  %y = add @boxes, %n : f32[3,6]
  return %y
}
"""
# The brightest channel of each pixel.
MASK = """graph @g(%x: f32[1,3,8,8]) -> f32[1,3,8,8] {
  %y = relu %x : f32[1,3,8,8]
  return %y
}
"""


def read_png(data):
    """Width, height, bytes a pixel, rows; of 8 bits a sample, without interlacing."""
    at, idat, palette = 8, b"", None
    while at < len(data):
        n, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + n]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
        palette = body if kind == b"PLTE" else palette
        idat += body if kind == b"IDAT" else b""
        at += 12 + n
    assert depth == 8 and colour in (2, 3)
    size, raw, rows = 3 if colour == 2 else 1, zlib.decompress(idat), []
    before = bytes(width * size)
    for y in range(height):
        line = raw[y * (width * size + 1) :][: width * size + 1]
        row = bytearray(line[1:])
        for i in range(len(row)):
            a = row[i - size] if i >= size else 0
            b, c = before[i], before[i - size] if i >= size else 0
            nearest = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
            row[i] = (row[i] + (0, a, b, (a + b) // 2, nearest)[line[0]]) & 255
        rows.append([tuple(row[size * x : size * x + size]) for x in range(width)])
        before = bytes(row)
    if palette:
        rows = [[tuple(palette[3 * p : 3 * p + 3]) for (p,) in row] for row in rows]
    return width, height, rows


class Pictures(Command):
    def setUp(self):
        super().setUp()
        self.labels = self.write("labels.json", b'["nothing", "cat", "dog"]')

    def ppm(self, name, width, height, colour=None):
        pixels = bytes(colour) * (width * height) if colour else random.Random(name).randbytes(width * height * 3)
        return self.write(name, b"P6 %d %d 255\n" % (width, height) + pixels)

    def run_command(self, *args, **kw):
        return super().run_command("run", *args, **kw)

    def check(self, code, *args, says=()):
        return self.checked(code, *args, says=says).stdout.decode()

    interp = ("--backend=interp", "--mean=0")

    # ---- what is found ----

    def test_classes_of_many(self):
        model = self.write("m.ir", CLASSES)
        self.ppm("in/a.ppm", 8, 8, (1, 3, 2))
        self.ppm("in/deep/b.ppm", 20, 9, (9, 0, 1))
        self.write("in/notes.txt", "no picture")
        self.write("in/.hidden.ppm", b"P6 1 1 255\nabc")
        for backend in ("interp", "loop-interp", "c"):
            text = self.check(OK, model, "in", "--backend=" + backend, "--mean=0", "--top=2",
                              "--labels", self.labels)
            blocks = text.split("\n\n")
            self.assertEqual([b.splitlines()[0] for b in blocks], ["in/a.ppm", "in/deep/b.ppm"])
            lines = blocks[0].splitlines()
            self.assertEqual(lines[2].split(), ["1", "3.0000", "66.52%", "cat"])
            self.assertEqual(lines[3].split(), ["2", "2.0000", "24.47%", "dog"])
            self.assertEqual(len(lines), 4)
            self.assertEqual(blocks[1].splitlines()[2].split()[-1], "nothing")

    def test_labels_of_another_model(self):
        args = (self.write("m.ir", CLASSES), self.ppm("a.ppm", 8, 8), *self.interp)
        self.check(OK, *args, "--labels", self.write("two.txt", "cat\ndog\n"), says=["wanted: 3", "found:  2"])
        self.assertNotIn("warning", self.run_command(*args, "--labels", self.labels).stderr.decode())

    def test_csv_and_json(self):
        model = self.write("m.ir", CLASSES)
        odd = self.ppm('odd, "name".ppm', 8, 8, (1, 3, 2))
        args = (model, odd, "--top=1", "--labels", self.labels, *self.interp)
        text = self.check(OK, *args, "--csv=-")
        rows = list(csv.reader(io.StringIO(text)))
        self.assertEqual(rows[0], ["picture", "rank", "class", "value", "probability", "label"])
        self.assertEqual(rows[1][:4] + rows[1][5:], [odd, "1", "1", "3", "cat"])
        self.assertEqual(len(rows), 2)
        self.check(OK, *args, "--csv=t.csv")
        self.assertEqual(self.read("t.csv").decode(), text)
        found = json.loads(self.check(OK, *args, "--json"))
        self.assertEqual(found[0]["picture"], odd)
        self.assertEqual(found[0]["classes"][0]["label"], "cat")
        self.assertAlmostEqual(found[0]["classes"][0]["probability"], 0.66524, places=4)

    def test_json_of_values_without_end(self):
        text = CLASSES.replace("reduce_mean %x", "reduce_mean %r")
        text = text.replace("{\n", "{\n  const @zero : f32[] = [0]\n  %r = div %x, @zero : f32[1,3,8,8]\n", 1)
        args = (self.write("m.ir", text), self.ppm("a.ppm", 8, 8, (1, 0, 2)), *self.interp)
        found = json.loads(self.check(OK, *args, "--json"))[0]["classes"]
        self.assertEqual([(c["class"], c["value"], c["probability"]) for c in found], [(0, None, None), (2, None, None)])

    def test_labels_of_a_model_without_inputs(self):
        model = self.write("c.ir", "graph @g() -> f32[1,3] {\n  const @c : f32[1,3] = [1, 3, 2]\n"
                                   "  %y = relu @c : f32[1,3]\n  return %y\n}\n")
        self.assertIn(" cat\n", self.check(OK, model, "--backend=interp", "--labels", self.labels))

    def test_circles_of_links(self):
        self.ppm("in/a.ppm", 8, 8)
        for name in ("b", "c"):
            os.symlink(self.path("in"), self.path("in/" + name))
        text = self.check(OK, self.write("m.ir", CLASSES), "in", *self.interp)
        self.assertEqual(text.count("ppm"), 1)

    def test_batches(self):
        model = self.write("m.onnx", onnx.model(
            [onnx.node("GlobalAveragePool", ["x"], ["p"]), onnx.node("Flatten", ["p"], ["y"])],
            [onnx.value_info("x", ["n", 3, 8, 8])], [onnx.value_info("y", ["n", 3])]))
        for i in range(7):
            self.ppm("in/%d.ppm" % i, 5 + i, 9)
        self.write("in/3.ppm", b"P6 9 9 255\ncut")
        one = self.run_command(model, "in", "--csv=-", *self.interp)
        self.assertEqual(one.returncode, BAD_MODEL)
        self.assertEqual(len(one.stdout.splitlines()), 1 + 6 * 3)
        for batch in ("1", "3", "7", "16"):
            for threads in ("1", "2"):
                many = self.run_command(model, "in", "--csv=-", *self.interp, "--batch=" + batch,
                                        "--threads=" + threads)
                self.assertEqual((many.stdout, many.returncode), (one.stdout, BAD_MODEL))
        fixed = self.write("m.ir", CLASSES)
        self.check(USAGE, fixed, "in", "--batch=2", "--mean=0", says=["1 pictures at a time, not 2"])

    def test_inputs_that_nothing_reads(self):
        nodes = [onnx.node("GlobalAveragePool", ["x"], ["p"]), onnx.node("Flatten", ["p"], ["y"])]
        x, y = onnx.value_info("x", ["n", 3, 8, 8]), onnx.value_info("y", ["n", 3])
        alone = self.write("alone.onnx", onnx.model(nodes, [x], [y]))
        model = self.write("m.onnx", onnx.model(nodes, [onnx.value_info("mean", [1, 1, 1, 3]), x], [y]))
        for i in range(3):
            self.ppm("in/%d.ppm" % i, 5 + i, 9)
        for batch in ("1", "2"):
            wanted = self.check(OK, alone, "in", "--csv=-", "--batch=" + batch, *self.interp)
            self.assertEqual(self.check(OK, model, "in", "--csv=-", "--batch=" + batch, *self.interp), wanted)
        self.write("x.npy", onnx.npy([1, 3, 8, 8], [0.5] * 192))
        self.check(OK, model, "--input=x=x.npy", "--output=y.npy", *self.interp)
        self.assertEqual(onnx.read_npy(self.read("y.npy")), [0.5] * 3)
        self.check(USAGE, model, "--input=mean=x.npy", *self.interp, says=['the input "x" has no file'])

    def test_probabilities_stay(self):
        model = self.write("m.ir", CLASSES.replace("%y =", "%m =").replace(
            "  return", "  %y = softmax %m {axis=1} : f32[1,3]\n  return"))
        found = json.loads(self.check(OK, model, self.ppm("a.ppm", 8, 8, (1, 3, 2)), "--json", *self.interp))
        best = found[0]["classes"][0]
        self.assertAlmostEqual(best["value"], 0.66524, places=4)
        self.assertAlmostEqual(best["probability"], 0.66524, places=4)

    # ---- what is drawn ----

    def test_boxes(self):
        model = self.write("m.ir", BOXES)
        args = (model, self.ppm("in/a.ppm", 80, 160, (0, 0, 0)), "--labels", self.labels, *self.interp)
        found = json.loads(self.check(OK, *args, "--json", "--output-dir=out"))[0]["boxes"]
        self.assertEqual([b["label"] for b in found], ["dog", "cat"])
        self.assertEqual(found[0]["box"], [20, 0, 80, 160])  # cut to the picture
        self.assertEqual(found[1]["box"], [10, 20, 30, 100])
        width, height, rows = read_png(self.read("out/a.png"))
        self.assertEqual((width, height), (80, 160))
        self.assertEqual(rows[60][10], rows[60][29])
        self.assertNotEqual(rows[60][10], (0, 0, 0))
        self.assertEqual(rows[60][15], (0, 0, 0))
        self.assertNotEqual(rows[12][12], (0, 0, 0))  # the name over the box
        self.assertEqual(len(json.loads(self.check(OK, *args, "--json", "--score=0.6"))[0]["boxes"]), 1)
        letterbox = json.loads(self.check(OK, *args, "--json", "--fit=letterbox"))[0]["boxes"]
        self.assertEqual(letterbox[1]["box"], [20, 20, 60, 100])

    def test_mask(self):
        model = self.write("m.ir", MASK)
        left, right = bytes((9, 200, 3)), bytes((0, 1, 90))
        self.write("in/a.ppm", b"P6 16 8 255\n" + (left * 4 + right * 12) * 8)
        args = (model, "in", "--labels", self.labels, *self.interp)
        found = json.loads(self.check(OK, *args, "--json", "--output-dir=out"))[0]["mask"]
        self.assertEqual([(f["label"], f["share"]) for f in found], [("dog", 0.75), ("cat", 0.25)])
        width, height, mask = read_png(self.read("out/a.mask.png"))
        self.assertEqual((width, height), (16, 8))
        self.assertEqual(len({tuple(row) for row in mask}), 1)
        self.assertEqual(len(set(mask[0][:4])), 1)
        self.assertEqual(len(set(mask[0][4:])), 1)
        self.assertNotEqual(mask[0][3], mask[0][4])
        over = read_png(self.read("out/a.png"))[2]
        self.assertEqual(over[0][0], tuple((a + b + 1) // 2 for a, b in zip(left, mask[0][0])))
        self.assertEqual(self.check(OK, *args).splitlines()[2].split(), ["2", "75.00%", "dog"])

    def test_arrays_of_other_models(self):
        model = self.write("m.ir", CLASSES)
        a, b = self.ppm("a/x.ppm", 8, 8, (1, 3, 2)), self.ppm("b/x.ppm", 8, 8, (4, 5, 6))
        self.check(OK, model, a, b, "--output-dir=out", *self.interp)
        self.assertEqual(onnx.read_npy(self.read("out/x.0.npy")), [1, 3, 2])
        self.assertEqual(onnx.read_npy(self.read("out/x-2.0.npy")), [4, 5, 6])

    def test_outputs_that_nothing_is_made_of(self):
        model = self.write("m.ir", FEATURES)
        a = self.ppm("x.ppm", 8, 8, (1, 3, 2))
        self.check(OK, model, a, *self.interp, says=["no classes, boxes or mask", "--output-dir"])
        self.check(OK, model, a, "--output-dir=out", *self.interp)
        self.assertEqual(onnx.read_npy(self.read("out/x.1.npy")), [1, 3, 2])

    # ---- how pictures are prepared ----

    def values(self, picture, *args, model=CLASSES):
        """What the model gets."""
        text = self.check(OK, self.write("m.ir", model), picture, "--json", "--backend=interp", *args)
        return [c["value"] for c in sorted(json.loads(text)[0]["classes"], key=lambda c: c["class"])]

    def test_options_come_before_the_file_beside_the_model(self):
        picture = self.ppm("a.ppm", 8, 8, (10, 30, 20))
        self.assertEqual(self.values(picture), [10, 30, 20])
        self.write("m.json", '{"preprocessing": {"mean": [10, 20, 0], "std": 10, "channels": "bgr"}}')
        self.assertEqual(self.values(picture), [2, 1, 0])
        self.assertEqual(self.values(picture, "--mean=0", "--channels=rgb"), [10, 30, 20])
        self.write("m.json", '{"inputs": []}')
        self.assertEqual(self.values(picture), [10, 30, 20])

    def test_geometry_of_the_file(self):
        self.write("a.ppm", b"P6 16 8 255\n" + (bytes((0, 0, 0)) * 4 + bytes((9, 9, 9)) * 12) * 8)
        for text, mean in [('"fit": "stretch"', 6.75), ('"crop": 1', 9), ('"crop_pct": 1, "filter": "box"', 9), ('"resize": 8, "filter": "box"', 9)]:
            self.write("m.json", '{"preprocessing": {"mean": 0, %s}}' % text)
            self.assertAlmostEqual(self.values("a.ppm")[0], mean, places=1)

    def test_labels_of_the_file(self):
        model = self.write("in/m.ir", CLASSES)
        picture = self.ppm("a.ppm", 8, 8, (1, 3, 2))
        self.write("in/names.txt", "a\nb\nc\n")
        self.write("in/m.json", '{"labels": "names.txt"}')
        args = (model, picture, *self.interp)
        self.assertIn(" b\n", self.check(OK, *args))
        self.assertIn(" cat\n", self.check(OK, *args, "--labels", self.labels))
        self.write("in/m.json", '{"labels": "none.txt"}')
        self.check(IO, *args, says=["in/none.txt"])

    @staticmethod
    def read_all(terminal):
        """What was written to it: the kernel hands it over in pieces, and reports an error at the end."""
        said = b""
        try:
            while piece := os.read(terminal, 10000):
                said += piece
        except OSError:
            pass
        os.close(terminal)
        return said

    def test_progress_on_a_terminal(self):
        model = self.write("m.ir", CLASSES)
        for name in ("a", "b", "c"):
            self.ppm("in/%s.ppm" % name, 8, 8)
        main, terminal = os.openpty()
        p = subprocess.run([COMMAND, "run", model, "in", *self.interp], cwd=self.dir, stderr=terminal,
                           stdout=subprocess.PIPE, timeout=PATIENCE)
        os.close(terminal)
        said = self.read_all(main).decode()
        self.assertEqual(p.returncode, OK)
        for words in ("] 0/3", "] 2/3", "b.ppm", "/s"):
            self.assertIn(words, said)
        self.assertTrue(said.endswith("\r\x1b[K"), repr(said))
        self.assertNotIn("]", self.run_command(model, "in", *self.interp).stderr.decode())

    def test_mistakes_in_the_file(self):
        picture = self.ppm("a.ppm", 8, 8)
        model = self.write("m.ir", CLASSES)
        self.write("m.json", '{"preprocessing": {"mean": "x", "std": [1, 2], "crop": 2, "resize": 0.5, "crop_pct": 0,'
                             ' "filter": "cubic", "channels": 3, "fit": "none"}}')
        p = self.run_command(model, picture)
        self.assertEqual(p.returncode, BAD_MODEL)
        for key in ("mean", "std", "crop", "crop_pct", "resize", "filter", "channels", "fit"):
            self.assertIn('"%s" of the preprocessing' % key, p.stderr.decode())
        for text in ('"std": 0', '"std": [1, 0, 1]', '"std": 1e-300', '"mean": 1e39'):
            self.write("m.json", '{"preprocessing": {%s}}' % text)
            self.check(BAD_MODEL, model, picture, says=["of the preprocessing", "no 0"])
        self.write("m.json", '{"preprocessing": {"crop_pct": 1e-9}}')
        self.check(BAD_MODEL, model, picture, says=["m.json", "of 32767 pixels at most"])
        self.write("m.json", "[%s1]" % ("1," * (1 << 20)))
        self.check(OK, model, picture, *self.interp, says=["m.json", "too large"])
        self.write("m.json", '{"preprocessing": ')
        self.check(BAD_MODEL, model, picture, says=["m.json", "line 1"])
        self.write("m.json", '{"preprocessing": 3}')
        self.check(BAD_MODEL, model, picture, says=["m.json", "an object"])
        os.remove(self.path("m.json"))
        os.mkfifo(self.path("m.json"))
        self.check(IO, model, picture, says=["m.json", "is not a regular file"])

    def test_as_pillow(self):
        try:
            from PIL import Image
        except ImportError:
            self.skipTest("Pillow is not installed")
        import PIL
        major = PIL.__version__.split(".")[0]
        rng = random.Random(4)
        how = {"bicubic": Image.BICUBIC, "bilinear": Image.BILINEAR, "lanczos": Image.LANCZOS,
               "box": Image.BOX, "hamming": Image.HAMMING}
        for i in range(60):
            w, h = rng.randint(1, 90), rng.randint(1, 90)
            name = rng.choice(list(how))
            path = self.ppm("p.ppm", w, h)
            side = rng.randint(1, 40)
            model = self.write("p.ir", "graph @g(%%x: f32[1,3,%d,%d]) -> f32[1,3,%d,%d] {\n"
                               "  %%y = relu %%x : f32[1,3,%d,%d]\n  return %%y\n}\n" % ((side,) * 6))
            self.check(OK, model, "--input", path, "--output=y.npy", "--filter=" + name, "--fit=stretch",
                       "--pillow=" + major, *self.interp)
            got = [int(v) for v in onnx.read_npy(self.read("y.npy"))]
            want = Image.open(path).resize((side, side), how[name]).tobytes()
            self.assertEqual(got, [want[3 * p + c] for c in range(3) for p in range(side * side)],
                             (w, h, side, name))

    # ---- bytes as the input of compiled code ----

    CONV = """graph @g(%%x: f32[%s]) -> f32[1,64] {
  const @w : f32[4,3,3,3] = [%s]
  %%c = conv2d %%%s, @w {kernel=3x3, stride=2x2, pad=1x1x1x1, act=relu} : f32[1,4,4,4]
  %%y = reshape %%c {shape=[1, 64]} : f32[1,64]
  return %%y
}
"""
    VALUES = ("--mean=123.675,116.28,103.53", "--std=58.395,57.12,57.375")

    def conv(self, name, layout="1,3,8,8"):
        weights = ", ".join("%.3f" % random.Random(i).uniform(-1, 1) for i in range(108))
        text = self.CONV % (layout, weights, "x" if layout == "1,3,8,8" else "t")
        if layout != "1,3,8,8":
            text = text.replace("  %c", "  %t = transpose %x {perm=[0, 3, 1, 2]} : f32[1,3,8,8]\n  %c")
        return self.write(name, text)

    def output(self, model, picture, *args):
        self.check(OK, model, picture, "--output-dir=out", *args)
        return onnx.read_npy(self.read("out/p.0.npy"))

    def test_bytes_compiled_in(self):
        picture = self.ppm("p.ppm", 8, 8)
        for layout in ("1,3,8,8", "1,8,8,3"):
            model = self.conv("c.ir", layout)
            for more in ((), ("--channels=bgr",), ("-O0",)):
                args = (*self.VALUES, *more)
                want = self.output(model, picture, "--backend=interp", *args)
                bits = []
                for backend in ("interp", "loop-interp", "c"):
                    for target in ("native", "generic"):
                        got = self.output(model, picture, "--input-type=u8-rgb", "--backend=" + backend,
                                          "--target=" + target, *args)
                        for a, b in zip(got, want):
                            self.assertAlmostEqual(a, b, delta=1e-4)
                        bits.append((backend, target, got))
                self.assertEqual(bits[2][2], bits[4][2])
                self.assertEqual(bits[3][2], bits[5][2])

    def test_pictures_of_any_size(self):
        """The compiled resize, on what is decoded: the same bits as behind the runtime's; by the C compiler and by
        what is the default."""
        model = self.conv("c.ir")
        for i, (width, height) in enumerate(((31, 45), (400, 9), (8, 8))):
            self.ppm("in/%d.ppm" % i, width, height)
        self.write("in/3.png", b"")
        for more in (("--crop=0.9",), ("--fit=letterbox", "--filter=bilinear")):
            found = {}
            for kind, backend in (("u8-rgb", ["--backend=c"]), ("u8-rgb-any", ["--backend=c"]), ("u8-rgb-any", [])):
                self.check(BAD_MODEL, model, "in", *backend, "--input-type=" + kind, "--output-dir=out",
                           *self.VALUES, *more, says=["in/3.png"])
                found[kind, len(backend)] = [self.read("out/%d.0.npy" % i) for i in range(3)]
            self.assertEqual(found["u8-rgb", 1], found["u8-rgb-any", 1])
            self.assertEqual(found["u8-rgb", 1], found["u8-rgb-any", 0])
        p = subprocess.run([COMMAND, "verify", model, "--input-type=u8-rgb-any", "--input=in/0.ppm", *self.VALUES],
                           capture_output=True, cwd=self.dir, timeout=PATIENCE)
        self.assertEqual((p.returncode, p.stderr.count(b"warning")), (OK, 0), p.stderr)

    def compile(self, *args):
        return subprocess.run([COMMAND, "compile", *args], capture_output=True, cwd=self.dir, timeout=PATIENCE)

    def test_one_kernel_reads_the_bytes(self):
        """Cast, transpose, mean and std leave one op before the convolution, and so they do of channels in turn."""
        args = (self.conv("c.ir"), "--input=u8-rgb", "--emit=graph-ir", "-o", "-", *self.VALUES)
        for more in ((), ("--channels=bgr",)):
            text = self.compile(*args, *more).stdout.decode()
            self.assertIn("%x: u8[1,8,8,3]", text)
            ops = [line.split("=")[1].split()[0] for line in text.splitlines() if " = " in line and "const" not in line]
            self.assertEqual(ops[:2], ["pixels", "conv2d"])

    def test_the_contract_says_how_pictures_are_prepared(self):
        p = self.compile(self.conv("c.ir"), "--input=u8-rgb", "-o", "out", *self.VALUES)
        self.assertEqual(p.returncode, OK, p.stderr)
        info = json.loads(self.read("out/c.json"))
        self.assertEqual((info["inputs"][0]["dtype"], info["inputs"][0]["shape"]), ("u8", [1, 8, 8, 3]))
        self.assertEqual(info["preprocessing"], {
            "fit": "stretch", "filter": "bicubic", "channels": "rgb", "mean": [123.675, 116.28, 103.53],
            "std": [58.395, 57.12, 57.375], "inside": ["channels", "mean", "std"]})
        header = self.read("out/c.h")
        self.assertIn(b"const uint8_t *x", header)
        self.assertIn(b"123.675, 116.28, 103.53, divided by 58.395, 57.12, 57.375", header)

    SIZED = ("graph @g(%s: f32[1,2], %x: f32[1,3,8,8]) -> (f32[1,3,8,8], f32[1,2]) {\n"
             "  const @n : f32[] = [2]\n  %y = relu %x : f32[1,3,8,8]\n"
             "  %t = mul %s, @n : f32[1,2]\n  return %y, %t\n}\n")

    def test_bytes_beside_other_inputs(self):
        """The one input that is like a picture takes them; the others stay what they were."""
        model = self.write("sized.ir", self.SIZED)
        self.ppm("in/0.ppm", 8, 8)
        self.write("s.npy", onnx.npy([1, 2], [8, 9]))
        args = (model, "--input=x=in/0.ppm", "--input=s=s.npy", *self.VALUES)
        self.check(OK, *args, "--output-dir=floats")
        self.check(OK, *args, "--output-dir=bytes", "--input-type=u8-rgb")
        for name in ("0.npy", "1.npy"):
            self.assertEqual(self.read("floats/" + name), self.read("bytes/" + name))
        p = self.compile(model, "--input=u8-rgb", "-o", "out", *self.VALUES)
        self.assertEqual(p.returncode, OK, p.stderr)
        header = self.read("out/sized.h")
        self.assertIn(b"const float *s, const uint8_t *x", header)
        self.assertEqual(header.count(b"red first"), 1)

    def test_models_that_take_no_bytes(self):
        sized = self.write("sized.ir", self.SIZED)
        four = self.write("four.ir", "graph @g(%x: f32[1,4,8,8]) -> f32[1,4,8,8] {\n"
                                     "  %y = relu %x : f32[1,4,8,8]\n  return %y\n}\n")
        two = self.write("two.ir", "graph @g(%a: f32[1], %b: f32[1]) -> f32[1] {\n"
                                   "  %y = add %a, %b : f32[1]\n  return %y\n}\n")
        for model, kind, code, says in [(four, "u8-rgb", USAGE, 'can\'t be the input "x"'),
                                        (two, "u8-rgb", UNSUPPORTED, "2 inputs, of which 0"),
                                        (sized, "u8-rgb-any", UNSUPPORTED, "one input"),
                                        (self.conv("c.ir"), "u8", USAGE, "model|u8-rgb|u8-rgb-any")]:
            p = self.compile(model, "--input=" + kind, "-o", "none")
            self.assertEqual(p.returncode, code, p.stderr)
            self.assertIn(says, p.stderr.decode())
            self.assertFalse(os.path.exists(self.path("none")))

    # ---- what goes wrong ----

    def png(self, name, rows, orientation):
        """8-bit RGB, with EXIF data that says how it was taken."""
        def chunk(kind, body):
            return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        exif = b"II*\0\x08\0\0\0" + struct.pack("<HHHIHHI", 1, 0x112, 3, 1, orientation, 0, 0)
        head = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 2, 0, 0, 0)
        data = b"".join(b"\0" + bytes(sum(map(list, row), [])) for row in rows)
        return self.write(name, b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"eXIf", exif) +
                          chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b""))

    def test_photographs_stand_upright(self):
        """A picture that is stored lying on its left side is the same one as upright."""
        model = self.write("m.ir", MASK)
        rows = [[(10 * x, 7 * y, x + y) for x in range(8)] for y in range(8)]
        lying = [list(row) for row in zip(*rows)][::-1]
        self.png("up.png", rows, 1)
        self.png("lying.png", lying, 6)

        def values(*args):
            self.check(OK, model, "--fit=stretch", *self.interp, *args, "--output=y.npy")
            return onnx.read_npy(self.read("y.npy"))

        self.assertEqual(values("--input=lying.png"), values("--input=up.png"))
        self.assertNotEqual(values("--input=lying.png", "--orientation=stored"), values("--input=up.png"))
        self.check(OK, model, "lying.png", "up.png", "--fit=stretch", *self.interp, "--output-dir=out")
        self.assertEqual(self.read("out/lying.png"), self.read("out/up.png"))
        self.check(USAGE, model, "up.png", "--orientation=left", says=["exif|stored"])

    def test_wrong_pictures_do_not_keep_the_others(self):
        model = self.write("m.ir", CLASSES)
        self.ppm("in/a.ppm", 8, 8)
        self.ppm("in/c.ppm", 8, 8)
        self.write("in/b.ppm", b"P6 8 8 255\nabc")
        text = self.write("text.ppm", "hello")
        for args in ((), ("--json",), ("--csv=-",)):
            out = self.check(BAD_MODEL, model, "in", text, *self.interp, *args,
                             says=["in/b.ppm: error:", "text.ppm: error:"])
            self.assertIn("in/a.ppm", out)
            self.assertIn("in/c.ppm", out)
        errors = [p["error"] for p in json.loads(self.check(BAD_MODEL, model, "in", text, "--json", *self.interp))
                  if "error" in p]
        self.assertEqual(len(errors), 2)

    def test_usage(self):
        model, picture = self.write("m.ir", CLASSES), self.ppm("a.ppm", 8, 8)
        os.mkdir(self.path("empty"))
        self.check(IO, model, "none.png", "gone", "empty", says=["no picture in this folder", "none.png", "gone"])
        self.check(USAGE, model, "--csv=x", "--input=x.npy", says=["for pictures"])
        self.check(USAGE, model, picture, "--input", picture, says=["for arrays"])
        self.check(USAGE, model, picture, "--csv=-", "--json", says=["standard output"])
        self.check(USAGE, model, picture, "--crop=0.5", "--resize=3", says=["exclude each other"])
        self.check(USAGE, model, picture, "--crop-pct=0.5", "--fit=stretch", says=["exclude each other"])
        self.check(USAGE, model, picture, "--crop-pct=1.5", says=["--crop-pct takes a part"])
        self.check(USAGE, model, picture, "--crop-pct=1e-9", says=["of 32767 pixels at most"])
        self.check(USAGE, model, picture, "--crop=2", "--mean=0", says=["--crop takes a part"])
        self.check(USAGE, model, picture, "--crop-pct=0", says=["--crop-pct takes a part"])
        self.check(USAGE, model, picture, "--std=1,0,1", says=["--std", "can't be 0"])
        self.check(USAGE, model, picture, "--mean=nan", says=["--mean"])
        self.check(USAGE, model, picture, "--std=inf", says=["--std"])
        self.check(USAGE, model, picture, "--filter=cubic", says=["bicubic|bilinear"])
        two = self.write("two.ir", "graph @g(%a: f32[1], %b: f32[1]) -> f32[1] {\n"
                                   "  %y = add %a, %b : f32[1]\n  return %y\n}\n")
        self.check(USAGE, two, picture, says=["one input, not 2"])
        one = self.write("one.ir", "graph @g(%a: f32[1]) -> f32[1] {\n  %y = relu %a : f32[1]\n  return %y\n}\n")
        self.check(USAGE, one, picture, says=['a picture can\'t be the input "a"'])


if __name__ == "__main__":
    unittest.main()
