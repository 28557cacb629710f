#!/usr/bin/env python3
"""Code that takes pictures of any size (--input=u8-rgb-any), against what Pillow makes of them: the
hashes of pillow.def. By C compilers and, where it is built with LLVM, by the command itself.

EFFNETC_COMMAND is the built command. Needs a C compiler; clang too, where there is one."""

import ctypes
import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

import numpy

from command import COMMAND, HAS_LLVM, UNSUPPORTED, USAGE
from workplace import Workplace

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "unit"))
import pictures  # noqa: E402

STRICT = ("-std=c99", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-pedantic", "-Werror")
ROWS = re.findall(r"^ANY\((\w+), (\d+), (\d+), (\w+), (\w+)\)$",
                  (HERE.parent / "unit/pillow.def").read_text(encoding="utf-8"), re.M)
POISON = 0xA5
NUMBERS = itertools.count()


class Picture(ctypes.Structure):
    _fields_ = [("rgb", ctypes.c_void_p), ("width", ctypes.c_int32), ("height", ctypes.c_int32),
                ("stride", ctypes.c_ssize_t)]


def aligned(size):
    """Memory at a multiple of 64."""
    raw = numpy.full(size + 64, POISON, numpy.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size]


class Network:
    """The pixels that a model gets, as bytes: it subtracts the mean and does nothing else. By a C compiler, or
    "llvm"."""

    def __init__(self, folder, kind, cc, *options):
        self.kind, k = kind, pictures.KINDS[kind]
        self.width, self.height, self.mean = k.width, k.height, numpy.array(k.mean, numpy.float32)
        self.batch = 2 if kind == "stretch" else 1
        shape = f"{self.batch},3,{k.height},{k.width}"
        ir = pathlib.Path(folder, kind + ".ir")
        ir.write_text(f"graph @g(%x: f32[{shape}]) -> f32[{shape}] {{\n"
                      "  const @w : f32[3,3,1,1] = [1, 0, 0, 0, 1, 0, 0, 0, 1]\n"
                      f"  %y = conv2d %x, @w {{kernel=1x1}} : f32[{shape}]\n  return %y\n}}\n", encoding="ascii")
        subprocess.run([COMMAND, ir, "-o", folder, "--name=net", "--input=u8-rgb-any", "--filter=" + k.filter,
                        "--mean=" + ",".join(map(str, k.mean)), "--std=1", *k.options, *options,
                        "--emit=" + ("shared" if cc == "llvm" else "c")], check=True)
        library = f"{folder}/net{next(NUMBERS)}.so"  # one path is one library to dlopen
        if cc == "llvm":
            os.rename(f"{folder}/net.so", library)
        else:
            subprocess.run([*cc.split(), *STRICT, "-shared", "-fPIC", "-o", library, f"{folder}/net.c"], check=True)
        self.header = pathlib.Path(folder, "net.h").read_text(encoding="ascii")
        self.info = json.loads(pathlib.Path(folder, "net.json").read_text(encoding="ascii"))
        data = pathlib.Path(folder, "net.weights.bin").read_bytes()
        self.weights = aligned(len(data))
        self.weights[:] = numpy.frombuffer(data, numpy.uint8)
        self.memory = aligned(self.macro("PICTURE_ARENA_BYTES") + 64)
        self.arena, self.behind = self.memory[:-64], self.memory[-64:]
        self.y = numpy.zeros((self.batch, 3, k.height, k.width), numpy.float32)
        self.run = ctypes.CDLL(library).net_run_picture

    def macro(self, name):
        return int(re.search(rf"#define NET_{name}\s+(\d+)$", self.header, re.M)[1])

    def call(self, *pictures, arena=True):
        """What it returns for these (rgb, width, height, stride)."""
        self.memory[:] = POISON
        array = (Picture * len(pictures))(*pictures) if pictures else None
        return self.run(ctypes.c_void_p(self.weights.ctypes.data), array, ctypes.c_void_p(self.y.ctypes.data),
                        ctypes.c_void_p(self.arena.ctypes.data if arena is True else arena), None)

    def fits(self, *images):
        """What arrays [height][width][3] become; they may have gaps between rows, and be upside down."""
        code = self.call(*[(i.ctypes.data, i.shape[1], i.shape[0], i.strides[0]) for i in images])
        assert code == 0 and (self.behind == POISON).all(), code
        x = self.y + self.mean.reshape(3, 1, 1)
        return x.round().astype(numpy.uint8).transpose(0, 2, 3, 1)


class AnySize(Workplace):
    def check_hashes(self, kind, cc, which, *options):
        net = Network(self.dir, kind, cc, *options)
        rows = [row for row in ROWS if row[0] == kind]
        self.assertGreaterEqual(len(rows), 20)
        for _, width, height, *hashes in rows:
            image = pictures.picture(int(width), int(height))
            got = net.fits(*[image] * net.batch)
            for one in got:
                self.assertEqual(f"0x{pictures.fnv1a(one.tobytes()):016x}", hashes[which], (kind, width, height, cc))
        return net

    def test_equals_pillow(self):
        for kind in pictures.KINDS:
            self.check_hashes(kind, "cc", 1, "--target=native")
            self.check_hashes(kind, "cc", 0, "--target=generic", "--pillow=12")
            if shutil.which("clang"):
                self.check_hashes(kind, "clang", 1, "--target=generic")

    @unittest.skipUnless(HAS_LLVM, "this effnetc is built without LLVM")
    def test_equals_pillow_through_llvm(self):
        for kind in pictures.KINDS:
            self.check_hashes(kind, "llvm", 1, "--target=native")
            self.check_hashes(kind, "llvm", 0, "--target=generic", "--pillow=12")

    @unittest.skipUnless(HAS_LLVM, "this effnetc is built without LLVM")
    def test_another_machine(self):
        ir = self.write("m.ir", b"graph @g(%x: f32[1,3,8,8]) -> f32[1,3,8,8] {\n"
                                b"  %y = relu %x : f32[1,3,8,8]\n  return %y\n}\n")
        subprocess.run([COMMAND, ir, "-o", self.path("out"), "--name=net", "--input=u8-rgb-any", "--mean=0", "--std=1",
                        "--target=aarch64", "--emit=obj,llvm"], check=True)
        self.assertIn(b"define i32 @net_run_picture(", pathlib.Path(self.path("out/net.ll")).read_bytes())
        undefined = subprocess.run(["nm", "-u", self.path("out/net.o")], check=True, capture_output=True).stdout
        self.assertEqual(undefined, b"")

    def engines(self):
        return ("cc", "llvm") if HAS_LLVM else ("cc",)

    def test_rows_with_gaps_and_from_the_bottom_up(self):
        for engine in self.engines():
            self.gaps_and_upside_down(Network(self.dir, "crop", engine))

    def gaps_and_upside_down(self, net):
        for width, height in ((31, 45), (400, 9), (2, 3)):
            image = pictures.picture(width, height)
            want = net.fits(image)
            wide = numpy.full((height, width + 7, 3), 99, numpy.uint8)
            wide[:, :width] = image
            self.assertTrue((net.fits(wide[:, :width]) == want).all())
            self.assertTrue((net.fits(image[::-1].copy()[::-1]) == want).all())

    def test_pictures_of_a_batch_differ(self):
        for engine in self.engines():
            net = Network(self.dir, "stretch", engine)
            a, b = pictures.picture(50, 20), pictures.picture(7, 90)
            both = net.fits(a, b)
            self.assertTrue((both[0] == net.fits(a, a)[0]).all())
            self.assertTrue((both[1] == net.fits(b, b)[0]).all())

    def test_the_largest_pictures_have_room(self):
        """Scratch memory is bounded by --max-side; its bytes are all there."""
        for kind, engine in itertools.product(pictures.KINDS, self.engines()):
            cc = engine if engine == "llvm" else "cc -fsanitize=undefined -fno-sanitize-recover=undefined"
            net = Network(self.dir, kind, cc, "--max-side=300", "--pillow=13", "--target=generic")
            for width, height in ((300, 300), (300, 8), (8, 300), (300, 14), (14, 300), (299, 8), (100, 300)):
                net.fits(*[pictures.picture(width, height)] * net.batch)

    def test_scratch_memory_is_the_arena(self):
        """Where the arena is larger, it holds what scaling needs, and the input is all that is added."""
        small = Network(self.dir, "crop", "cc", "--max-side=64")
        large = Network(self.dir, "crop", "cc", "--max-side=4000")
        pixels = 3 * small.width * small.height
        floor = -(-small.macro("ARENA_BYTES") // 64) * 64
        self.assertEqual(small.info["pictures"], {"function": "net_run_picture", "max_side": 64, "arena": {
            "bytes": small.macro("PICTURE_ARENA_BYTES"), "alignment": 64}})
        self.assertGreaterEqual(small.macro("PICTURE_ARENA_BYTES"), floor + pixels)
        self.assertLess(small.macro("PICTURE_ARENA_BYTES"), large.macro("PICTURE_ARENA_BYTES"))
        self.assertEqual(large.macro("MAX_SIDE"), 4000)
        self.assertEqual(large.info["preprocessing"]["inside"], ["channels", "mean", "std", "crop", "filter"])
        self.assertIn("0.875 of the shorter side, to 24 x 24 (bicubic)", large.header)

    def test_what_is_no_picture(self):
        for engine in self.engines():
            self.no_picture(Network(self.dir, "crop", engine, "--max-side=100"))

    def no_picture(self, net):
        image = pictures.picture(100, 100)
        good = (image.ctypes.data, 100, 100, 300)
        self.assertEqual(net.call(good), 0)
        self.assertEqual(net.call(), 2)
        self.assertEqual(net.call(good, arena=None), 4)
        self.assertEqual(net.call(good, arena=net.arena.ctypes.data + 4), -4)
        for bad in ((None, 100, 100, 300), (good[0], 0, 100, 300), (good[0], 100, 0, 300), (good[0], -1, 100, 300),
                    (good[0], 101, 10, 303), (good[0], 10, 101, 300), (good[0], 100, 100, 299),
                    (good[0], 100, 100, -299), (good[0], 100, 100, 0), (good[0], 1, 100, 3)):
            self.assertEqual(net.call(bad), -2, bad)

    def test_what_is_not_there(self):
        ir = self.write("m.ir", b"graph @g(%x: f32[1,3,8,8]) -> f32[1,3,8,8] {\n"
                                b"  %y = relu %x : f32[1,3,8,8]\n  return %y\n}\n")
        for args, code, says in [(("--filter=lanczos",), UNSUPPORTED, "can't filter by lanczos"),
                                 (("--max-side=0",), USAGE, "--max-side"),
                                 (("--crop=0.5", "--resize=9"), USAGE, "exclude each other")]:
            p = subprocess.run([COMMAND, ir, "-o", self.path("none"), "--input=u8-rgb-any", "--mean=0", *args],
                               capture_output=True, check=False)
            self.assertEqual(p.returncode, code, p.stderr)
            self.assertIn(says, p.stderr.decode())
            self.assertFalse(os.path.exists(self.path("none")))


if __name__ == "__main__":
    unittest.main()
