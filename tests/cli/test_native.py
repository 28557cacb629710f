#!/usr/bin/env python3
"""Code through LLVM as users get it: in memory, kept in a folder, as files to link.

EFFNETC_COMMAND is the built command. Where it is built without LLVM, it has to say so."""

import ctypes
import json
import os
import platform
import re
import shutil
import stat
import struct
import subprocess
import unittest

import onnx_bytes as onnx
from command import COMMAND, HAS_LLVM, IO, OK, PATIENCE, UNSUPPORTED, USAGE, Command
from test_verify import network

SHAPE = [1, 3, 12, 12]


def input_values():
    return [((i * 37) % 101) / 50 - 1 for i in range(3 * 12 * 12)]


class Native(Command):
    def setUp(self):
        super().setUp()
        self.model = self.write("m.onnx", network())
        self.input = self.write("x.npy", onnx.npy(SHAPE, input_values()))

    def shell(self, *words):
        p = subprocess.run(words, capture_output=True, cwd=self.dir, text=True)
        self.assertEqual(p.returncode, 0, "%s\n%s" % (" ".join(words), p.stderr))
        return p.stdout

    def check(self, code, *args, says=(), env=None):
        p = self.checked(code, *args, says=says, env=env)
        self.assertEqual(os.listdir(self.tmp), [])
        return p.stdout

    def output(self, *args, **kw):
        return self.check(OK, "run", self.model, "--input", self.input, "--output", "-", *args, **kw)


@unittest.skipIf(HAS_LLVM, "this effnetc is built with LLVM")
class WithoutLlvm(Native):
    def test_backend(self):
        for command in ["run", "verify", "bench"]:
            args = ["--input", self.input] if command == "run" else []
            self.check(UNSUPPORTED, command, self.model, "--backend=llvm", *args,
                       says=["no LLVM backend", "--backend=c"])
        self.assertEqual(self.output(), self.output("--backend=c"))

    def test_emit(self):
        for kind in ["obj", "shared", "asm", "llvm"]:
            self.check(UNSUPPORTED, self.model, "-o", "out", "--emit=" + kind,
                       says=["no LLVM backend", "--emit=c"])
        self.assertFalse(os.path.exists(self.path("out")))


@unittest.skipUnless(HAS_LLVM, "this effnetc is built without LLVM")
class Jit(Native):
    def test_the_default_needs_no_compiler(self):
        out = self.output(env={"CC": "no-such-cc", "PATH": ""})
        self.assertEqual(out, self.output("--backend=llvm"))
        self.assertEqual(out, self.output("--backend=c"))
        self.assertEqual(out, self.output("--backend=loop-interp"))
        self.assertEqual(out, self.output("--threads=2"))
        self.check(OK, "verify", self.model, env={"CC": "no-such-cc"})

    def test_per_layer(self):
        text = self.check(OK, "bench", self.model, "--seconds=0.05", "--json", "--per-layer",
                          "--backend=llvm", env={"CC": "no-such-cc"})
        info = json.loads(text)
        self.assertGreater(len(info["layers"]), 5)
        self.assertGreater(min(layer["us"] for layer in info["layers"]), 0)
        self.assertLessEqual(sum(layer["us"] for layer in info["layers"]), info["min_us"] + 1e-6)
        self.assertTrue(0.1 < info["peak_gmacs_per_second"] < 1e4)

    def test_verify_per_layer(self):
        for option in ["--per-layer", "--bisect-passes"]:
            text = self.check(OK, "verify", self.model, option, "--json", "--backend=llvm",
                              env={"CC": "no-such-cc"})
            self.assertEqual(json.loads(text)["backend"], "llvm")

    def test_perf_map(self):
        """Each kernel and step by name, one behind the other."""
        p = subprocess.Popen([COMMAND, "bench", self.model, "--seconds=0.05", "--perf-map"], cwd=self.dir,
                             stdout=subprocess.DEVNULL)
        path = "/tmp/perf-%d.map" % p.pid
        self.addCleanup(lambda: os.path.exists(path) and os.unlink(path))
        self.assertEqual(p.wait(), OK)
        with open(path) as f:
            rows = [line.split() for line in f]
        places = sorted((int(start, 16), int(size, 16)) for start, size, _ in rows)
        for (start, size), (following, _) in zip(places, places[1:]):
            self.assertLessEqual(start + size, following)
        names = {name for _, _, name in rows}
        self.assertLessEqual({"m_run", "m_run_parallel", "effnetc_entry"}, names)
        self.assertGreater(len([name for name in names if "expand" in name]), 0, names)

    def test_tune(self):
        self.check(OK, "bench", self.model, "--seconds=0.05", "--tune", "--tune-seconds=1",
                   "--backend=llvm", env={"CC": "no-such-cc"})


@unittest.skipUnless(HAS_LLVM, "this effnetc is built without LLVM")
class Cache(Native):
    def setUp(self):
        super().setUp()
        self.wanted = self.output()

    def entries(self):
        return sorted(os.listdir(self.path("cache")))

    def entry(self):
        entries = self.entries()
        self.assertEqual(len(entries), 1)
        return self.path("cache/" + entries[0])

    def cached(self, *args, **kw):
        self.assertEqual(self.output("--cache=cache", *args, **kw), self.wanted)

    def stamp(self):
        return os.stat(self.entry()).st_mtime_ns, os.stat(self.entry()).st_ino

    def test_kept_and_used(self):
        self.cached()
        self.assertEqual(stat.S_IMODE(os.stat(self.path("cache")).st_mode), 0o700)
        self.assertEqual(stat.S_IMODE(os.stat(self.entry()).st_mode), 0o600)
        before = self.stamp()
        self.cached()
        self.cached("--threads=2")
        self.check(OK, "verify", self.model, "--cache=cache")
        for option in ["--per-layer", "--bisect-passes"]:
            self.check(OK, "verify", self.model, "--cache=cache", option)
        bench = ["bench", self.model, "--seconds=0.05", "--cache=cache", "--json"]
        self.assertEqual(json.loads(self.check(OK, *bench))["macs"],
                         json.loads(self.check(OK, *bench, "--per-layer"))["macs"])
        self.assertEqual(self.stamp(), before)

    def test_the_entry_of_another_model(self):
        """Whole and sound, but with another key."""
        self.cached()
        mine = self.entry()
        other = self.write("other.onnx", network({"head.w": [(0, 9.0)]}))
        self.check(OK, "run", other, "--input", self.input, "--cache=cache")
        theirs = next(self.path("cache/" + e) for e in self.entries() if self.path("cache/" + e) != mine)
        shutil.copyfile(theirs, mine)
        before = os.stat(mine).st_ino
        self.cached()
        self.assertNotEqual(os.stat(mine).st_ino, before)

    def test_the_key_has_all_that_matters(self):
        self.cached()
        for args in [["-O1"], ["--target=generic"], ["--disable-pass=fuse-act"], ["--no-winograd"],
                     ["-g"], ["--input-layout=nchw"]]:
            n = len(self.entries())
            self.output("--cache=cache", *args)
            self.assertEqual(len(self.entries()), n + 1, args)
        n = len(self.entries())
        self.write("m.onnx", network({"head.w": [(0, 9.0)]}))
        self.assertNotEqual(self.output("--cache=cache"), self.wanted)
        self.assertEqual(len(self.entries()), n + 1)

    def test_damaged_files_are_made_anew(self):
        self.cached()
        path = self.entry()
        with open(path, "rb") as f:
            good = f.read()
        places = [0, 9, 17, 33, 71, 130, 200, len(good) // 2, len(good) - 1]
        for broken in [b"", b"x" * 40, good[:-1], good + b"x", good[:1000]] + [
                good[:p] + bytes([good[p] ^ 1]) + good[p + 1:] for p in places]:
            with open(path, "wb") as f:
                f.write(broken)
            before = os.stat(path).st_ino
            self.cached()
            self.assertEqual(len(self.entries()), 1)
            with open(path, "rb") as f:
                now = f.read()
            self.assertEqual(now, good)
            self.assertNotEqual(os.stat(path).st_ino, before)

    def test_files_that_others_can_write(self):
        self.cached()
        for make in [lambda p: os.chmod(p, 0o666), lambda p: os.chmod(p, 0o620), self.make_link,
                     self.make_folder]:
            make(self.entry())
            if os.path.isdir(self.entry()):
                self.cached_with_warning()
                os.rmdir(self.entry())
                self.cached()
            else:
                self.cached()
            info = os.lstat(self.entry())
            self.assertTrue(stat.S_ISREG(info.st_mode))
            self.assertEqual(stat.S_IMODE(info.st_mode), 0o600)

    def test_a_file_of_another_user(self):
        if os.geteuid() != 0:
            self.skipTest("only root gives files away")
        self.cached()
        os.chown(self.entry(), 65534, -1)
        before = os.stat(self.entry()).st_ino
        self.cached()
        self.assertEqual(os.stat(self.entry()).st_uid, 0)
        self.assertNotEqual(os.stat(self.entry()).st_ino, before)

    def make_link(self, path):
        os.rename(path, self.path("elsewhere"))
        os.symlink(self.path("elsewhere"), path)

    def make_folder(self, path):
        os.unlink(path)
        os.mkdir(path)

    def cached_with_warning(self, *args):
        self.cached(*args, says=["warning", "can't be kept", "reason"])

    def test_a_folder_that_cant_be_had(self):
        self.write("file", b"")
        for folder in ["file", "file/inside", "none/inside"]:
            self.assertEqual(self.output("--cache=" + folder,
                                         says=["warning", "can't be kept", "reason"]), self.wanted)

    def path_of_new(self, *args):
        """The entry that a run with these options adds."""
        before = set(self.entries()) if os.path.exists(self.path("cache")) else set()
        self.output("--cache=cache", *args)
        new = set(self.entries()) - before
        self.assertEqual(len(new), 1)
        return self.path("cache/" + new.pop())

    def test_the_folder_has_a_limit(self):
        """What was used longest ago goes first; what isn't an entry, or is still written, stays."""
        old, older = self.path_of_new(), self.path_of_new("-O1")
        os.utime(old, (1000, 1000))
        os.utime(older, (2000, 2000))
        self.cached()  # from now on it is the younger one
        for name in ["notes.txt", "x.effnetc", "0123456789abcdeg.effnetc", ".effnetc-new", ".effnetc-old"]:
            self.write("cache/" + name, b"x" * 100000)
        os.utime(self.path("cache/.effnetc-old"), (1000, 1000))
        os.mkdir(self.path("cache/0123456789abcdef.effnetc"))
        size = os.path.getsize(old) + os.path.getsize(older)
        new = self.path_of_new("-O3", "--cache-limit=%d" % (size * 5 // 4))
        self.assertTrue(os.path.exists(old) and os.path.exists(new))
        self.assertFalse(os.path.exists(older))
        self.assertLessEqual({"notes.txt", "x.effnetc", "0123456789abcdeg.effnetc", ".effnetc-new",
                              "0123456789abcdef.effnetc"}, set(self.entries()))
        self.assertNotIn(".effnetc-old", self.entries())
        self.path_of_new("-O1", "--cache-limit=0")
        self.assertTrue(os.path.exists(old) and os.path.exists(new))

    def test_what_exceeds_the_limit_is_not_kept(self):
        self.cached("--cache-limit=1000", says=["warning", "can't be kept", "--cache-limit is 1000"])
        self.assertFalse(os.path.exists(self.path("cache")))
        self.check(USAGE, "run", self.model, "--input", self.input, "--cache=cache", "--cache-limit=-1",
                   says=["--cache-limit"])

    def test_processes_share_a_folder(self):
        """All at once, where no two entries fit: each gets its result, and no more stay than fit."""
        size = os.path.getsize(self.path_of_new())
        command = [COMMAND, "run", self.model, "--input", self.input, "--output=-", "--cache=cache",
                   "--cache-limit=%d" % (size * 3 // 2)]
        runs = [subprocess.Popen([*command, option], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.dir)
                for option in 3 * ["-O1", "-O2", "-O3"]]
        for p in runs:
            out, err = p.communicate(timeout=PATIENCE)
            self.assertEqual((p.returncode, err), (OK, b""))
            self.assertEqual(len(out), len(self.wanted))
        self.output("--cache=cache", "--cache-limit=%d" % (size * 3 // 2), "--disable-pass=fuse-act")
        self.assertEqual(len(self.entries()), 1)

    def test_who_looks_at_passes_sees_them(self):
        self.cached()
        p = subprocess.run([COMMAND, "run", self.model, "--input", self.input, "--cache=cache",
                            "--remarks"], capture_output=True, cwd=self.dir)
        self.assertIn(b"fuse-act", p.stderr)

    def test_external_data(self):
        values = [0.5, -1, 0.25, 1, 2, -0.5]
        self.write("w.bin", struct.pack("<6f", *values))
        tensor = b"".join(onnx.field(1, d) for d in [2, 3, 1, 1])
        tensor += onnx.field(2, 1) + onnx.field(8, "w")
        tensor += onnx.field(13, onnx.field(1, "location") + onnx.field(2, "w.bin"))
        tensor += onnx.field(14, 1)
        self.model = self.write("e.onnx", onnx.model(
            [onnx.node("Conv", ["x", "w"], ["y"], "conv")], [onnx.value_info("x", SHAPE)],
            [onnx.value_info("y", [1, 2, 12, 12])], [tensor]))
        self.wanted = self.output("--backend=loop-interp")
        self.cached()
        self.cached()
        before = self.stamp()
        self.cached()
        self.assertEqual(self.stamp(), before)
        self.write("w.bin", struct.pack("<6f", *values[::-1]))
        changed = self.output("--backend=loop-interp")
        self.assertNotEqual(changed, self.wanted)
        self.assertEqual(self.output("--cache=cache"), changed)
        self.assertNotEqual(self.stamp(), before)

    def test_pictures(self):
        """What network it is, is kept too: it says how pictures are prepared."""
        self.check(OK, "new", "b0", "--resolution=32", "--unmeasured", "-o", "b0.onnx")
        self.write("a.ppm", b"P6 40 40 255\n" + bytes(i * 7 % 256 for i in range(40 * 40 * 3)))
        runs = [self.checked(OK, "run", "b0.onnx", "a.ppm", "--cache=cache", says=["as for torchvision's EfficientNet-B0"])
                for _ in range(2)]
        self.assertEqual(runs[0].stdout, runs[1].stdout)
        self.assertEqual(runs[0].stderr, runs[1].stderr)
        self.assertIn(b"EfficientNet-B0\0", self.read(self.entry()))

    def test_dimensions(self):
        self.model = self.write("d.onnx", onnx.model(
            [onnx.node("Relu", ["x"], ["y"])], [onnx.value_info("x", ["n", 4])],
            [onnx.value_info("y", ["n", 4])]))
        for n in [2, 3, 2]:
            x = self.write("x.npy", onnx.npy([n, 4], [i - 3 for i in range(4 * n)]))
            out = self.check(OK, "run", self.model, "--input", x, "--cache=cache", "--output=-")
            self.assertEqual(list(onnx.read_npy(out)), [max(i - 3, 0) for i in range(4 * n)])
        self.assertEqual(len(self.entries()), 2)
        p = subprocess.run([COMMAND, "verify", self.model, "--cache=cache", "--dim=n"], capture_output=True, cwd=self.dir)
        self.assertEqual((p.returncode, p.stderr.count(b"NAME=N")), (USAGE, 1))


@unittest.skipUnless(HAS_LLVM, "this effnetc is built without LLVM")
class Files(Native):
    def emit(self, kinds, *args, out="out"):
        self.check(OK, self.model, "-o", out, "--name=net", "--emit=" + kinds, *args)
        return sorted(os.listdir(self.path(out)))

    def test_all_kinds(self):
        companions = ["net.h", "net.json", "net.weights.bin"]
        for kind, file in [("obj", "net.o"), ("shared", "net.so"), ("asm", "net.s"),
                           ("llvm", "net.ll")]:
            self.assertEqual(self.emit(kind, out=kind), sorted([file, *companions]))
        files = json.loads(self.read("obj/net.json"))["files"]
        self.assertEqual(files, {"object": "net.o", "header": "net.h", "weights": "net.weights.bin"})
        self.assertEqual(self.emit("c", out="c"), ["net.c", *companions])
        for name in ["net.h", "net.weights.bin"]:
            self.assertEqual(self.read("obj/" + name), self.read("c/" + name))

    def test_texts(self):
        self.assertIn(b"run_parallel:", self.check(OK, "compile", self.model, "--emit=asm"))
        text = self.check(OK, "compile", self.model, "--emit=llvm", "-o", "-")
        self.assertIn(b"define", text)
        self.check(USAGE, "compile", self.model, "--emit=obj", "-o", "-", says=["standard output"])
        self.check(USAGE, "compile", self.model, "--emit=asm,llvm", "-o", "-", says=["one text"])

    def test_same_bytes_twice(self):
        names = self.emit("obj,shared,asm,llvm", out="a")
        self.emit("obj,shared,asm,llvm", out="b")
        for name in names:
            self.assertEqual(self.read("a/" + name), self.read("b/" + name), name)

    def symbols(self, path, *options):
        lines = self.shell("nm", *options, path).splitlines()
        return {(line.split()[-1], line.split()[-2]) for line in lines}

    def test_object_is_closed_and_constant(self):
        for target in ["native", "generic"]:
            self.emit("obj", "--target=" + target)
            symbols = self.symbols("out/net.o")
            self.assertLessEqual({kind for _, kind in symbols}, {"T", "t", "r", "R"}, symbols)
            self.assertEqual({name for name, kind in symbols if kind == "T"},
                             {"net_run", "net_run_parallel", "net_check_weights"})
            names = [line.split()[-1] for line in self.shell("nm", "out/net.o").splitlines()]
            self.assertEqual(len(names), len(set(names)))  # all loaders tell them apart
            sections = self.shell("readelf", "-SW", "out/net.o")
            self.assertRegex(sections, r"\.note\.GNU-stack +PROGBITS +\S+ \S+ 0+ 00 +0 ")
            for line in sections.splitlines():
                self.assertNotRegex(line, r" WAX? .* [1-9a-f][0-9a-f]* 00 +WA")

    def test_another_machine(self):
        """Files for ARM are made anywhere; run, they are refused with what to do."""
        kinds = {"obj": "net.o"}
        if shutil.which("aarch64-linux-gnu-ld") or shutil.which("ld.lld"):
            kinds["shared"] = "net.so"
        self.emit(",".join([*kinds, "asm", "llvm"]), "--target=aarch64")
        for name in kinds.values():
            self.assertIn("AArch64", self.shell("readelf", "-h", "out/" + name))
        self.assertEqual(self.symbols("out/net.o", "-u"), set())
        self.assertIn(b"fmla", self.read("out/net.s"))
        if platform.machine() not in ("aarch64", "arm64"):
            self.check(UNSUPPORTED, "verify", self.model, "--target=aarch64",
                       says=["can't run code for aarch64", "--backend=loop-interp"])

    def test_shared_library(self):
        self.emit("shared", "--target=generic")
        self.assertEqual({name for name, _ in self.symbols("out/net.so", "-D")},
                         {"net_run", "net_run_parallel", "net_check_weights"})
        segments = self.shell("readelf", "-lW", "out/net.so")
        self.assertRegex(segments, r"GNU_STACK +(\S+ +){5}RW ")
        dynamic = self.shell("readelf", "-dW", "out/net.so")
        self.assertNotIn("TEXTREL", dynamic)
        self.assertNotIn("NEEDED", dynamic)
        self.assertIn("[net.so]", dynamic)
        self.assertEqual(self.run_library("out/net.so", self.read("out/net.weights.bin")),
                         self.floats("--target=generic"))

    def floats(self, *args):
        return list(onnx.read_npy(self.output(*args)))

    def run_library(self, path, weights):
        """The output of net_run; weights: bytes, or None where they are in the library."""
        library = ctypes.CDLL(self.path(path))
        info = json.loads(self.read("out/net.json"))

        def aligned(size):
            memory = ctypes.create_string_buffer(size + 64)
            at = (-ctypes.addressof(memory)) % 64
            return memory, ctypes.addressof(memory) + at

        arena, arena_at = aligned(info["arena"]["bytes"])
        if weights is None:
            at = ctypes.addressof(ctypes.c_char.in_dll(library, "net_weights"))
        else:
            memory, at = aligned(len(weights))
            ctypes.memmove(at, weights, len(weights))
        x = (ctypes.c_float * len(input_values()))(*input_values())
        y = (ctypes.c_float * 20)()
        pointers = [ctypes.c_void_p(at), x, y, ctypes.c_void_p(arena_at)]
        self.assertEqual(library.net_check_weights(pointers[0], ctypes.c_size_t(info["weights"]["bytes"])), 0)
        self.assertEqual(library.net_run(*pointers), 0)
        del arena
        return list(y)

    def test_a_linker_is_needed(self):
        self.check(IO, self.model, "-o", "out", "--emit=shared", env={"PATH": self.tmp},
                   says=["neither ld nor ld.lld", "binutils"])
        self.assertFalse(os.path.exists(self.path("out")))

    def test_lld_will_do(self):
        lld = shutil.which("ld.lld")
        if not lld:
            self.skipTest("ld.lld is not installed")
        os.mkdir(self.path("bin"))
        os.symlink(lld, self.path("bin/ld.lld"))
        self.check(OK, self.model, "-o", "out", "--name=net", "--emit=shared", env={"PATH": self.path("bin")})
        self.assertEqual({name for name, _ in self.symbols("out/net.so", "-D")},
                         {"net_run", "net_run_parallel", "net_check_weights"})

    def test_a_linker_that_fails(self):
        os.mkdir(self.path("bin"))
        self.write("bin/ld", b"#!/bin/sh\necho it does not like it\nexit 3\n")
        os.chmod(self.path("bin/ld"), 0o755)
        self.check(70, self.model, "-o", "out", "--emit=shared",
                   env={"PATH": self.path("bin") + ":/bin"}, says=['"ld" refused', "it does not like it"])
        self.assertFalse(os.path.exists(self.path("out")))

    TWO_MODELS = """#include "first.h"
        #include "second.h"
        #include <cstdio>
        alignas(64) static unsigned char weights[FIRST_WEIGHTS_BYTES], arena[FIRST_ARENA_BYTES + SECOND_ARENA_BYTES];
        static float x[3 * 12 * 12], y[2][20];
        int main() {
            FILE *f = std::fopen("first.weights.bin", "rb");
            if (!f || std::fread(weights, 1, sizeof weights, f) != sizeof weights || std::fclose(f))
                return 10;
            for (int i = 0; i < 3 * 12 * 12; i++)
                x[i] = float((i * 37) % 101) / 50 - 1;
            if (first_check_weights(weights, sizeof weights) || second_check_weights(second_weights, sizeof second_weights))
                return 11;
            if (first_run(weights, x, y[0], arena) || second_run(second_weights, x, y[1], arena))
                return 12;
            for (int i = 0; i < 20; i++)
                if (y[0][i] != y[1][i])
                    return 13;
            return y[0][3] == 0 && y[0][5] == 0;
        }
        """

    def test_two_models_in_one_program(self):
        """One as C, one as an object, in C++; the first with link-time optimisation, too."""
        if not shutil.which("g++"):
            self.skipTest("g++ is not installed")
        for name, *kind in [("first", "--emit=c"), ("second", "--emit=obj", "--weights=obj")]:
            self.check(OK, self.model, "-o", ".", "--name=" + name, *kind)
        self.write("main.cc", self.TWO_MODELS.encode())
        for flags in [["-O1"], ["-O2", "-flto"]]:
            self.shell("gcc", *flags, "-c", "first.c")
            self.shell("g++", "-std=c++11", "-Wall", "-Wextra", "-Werror", *flags, "main.cc", "first.o", "second.o",
                       "-o", "two")
            self.shell(self.path("two"))

    def test_without_any_library(self):
        """Nothing but the object: its own start, no libc."""
        self.check(OK, self.model, "-o", ".", "--name=net", "--emit=obj", "--weights=obj")
        self.write("start.c", b"""#include "net.h"
            static float x[3 * 12 * 12], y[20];
            static unsigned char arena[NET_ARENA_BYTES] __attribute__((aligned(64)));
            __attribute__((force_align_arg_pointer)) void start(void) {
                long code = net_check_weights(net_weights, sizeof net_weights) || net_run(net_weights, x, y, arena);
                __asm__ volatile("syscall" : : "a"(60L), "D"(code) : "rcx", "r11", "memory");
            }
            """)
        self.shell("gcc", "-O1", "-nostdlib", "-static", "-ffreestanding", "-fno-stack-protector", "-Wl,-e,start",
                   "start.c", "net.o", "-o", "bare")
        self.shell(self.path("bare"))

    STEPS = """#include "net.h"
        static float x[3 * 12 * 12], y[20];
        static _Alignas(64) unsigned char arena[NET_ARENA_BYTES];
        int main(void) { return net_run(net_weights, x, y, arena); }
        """

    def test_debuggers_see_nodes(self):
        """Steps bear the names of their ONNX nodes; their lines are those of net.loop.ir."""
        self.check(OK, self.model, "-o", ".", "--name=net", "--emit=obj,loop-ir", "--weights=obj", "-g",
                   "--target=generic")
        self.assertEqual(self.symbols("net.o", "-u"), set())
        self.assertRegex(self.shell("readelf", "--debug-dump=info", "net.o"), r"DW_AT_name +:.*: /stem/Conv\+")
        self.write("main.c", self.STEPS.encode())
        self.shell("gcc", "-std=c11", "main.c", "net.o", "-o", "steps")
        source = self.read("net.loop.ir").decode().splitlines()
        head = next(i for i, line in enumerate(source) if "step @stem_Conv" in line)
        if shutil.which("gdb"):
            trace = self.shell("gdb", "-nx", "-batch", "-ex", "break stem_Conv", "-ex", "run", "-ex", "bt", "./steps")
            line = re.search(r"#0 +.*stem_Conv \(\) at (?:\./)?net\.loop\.ir:(\d+)", trace)
            self.assertTrue(line and head < int(line[1]) <= len(source), trace)
            self.assertRegex(trace, r"#1 .*net_body \(\) at")
        if shutil.which("valgrind"):
            self.shell("valgrind", "-q", "--tool=callgrind", "--callgrind-out-file=calls", "./steps")
            self.assertRegex(self.read("calls").decode(), r"f[ln]=\(\d+\) \S*net\.loop\.ir[^$]*fn=\(\d+\) stem_Conv")

    def test_weights_inside(self):
        self.emit("shared", "--weights=obj", "--target=generic")
        self.assertEqual({name for name, _ in self.symbols("out/net.so", "-D")},
                         {"net_run", "net_run_parallel", "net_check_weights", "net_weights"})
        self.assertEqual(self.run_library("out/net.so", None), self.floats("--target=generic"))

    def test_mistakes(self):
        self.check(USAGE, self.model, "-o", "out", "--weights=obj", says=["--emit=obj"])
        self.check(USAGE, self.model, "-o", "out", "--emit=object", says=["did you mean obj?"])
        self.assertFalse(os.path.exists(self.path("out")))


if __name__ == "__main__":
    unittest.main()
