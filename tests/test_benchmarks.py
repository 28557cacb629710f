"""Tests of benchmarks/: figures, tables, plot, pictures, and the C that is measured with."""

import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree
import zlib

SOURCE = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(SOURCE / "benchmarks"))

import picture  # noqa: E402
import report  # noqa: E402

CC = os.environ.get("CC", "cc").split()


def engine(name, seconds, threads=1, macs=10**9, error=0.0):
    return {"name": name, "threads": threads, "macs": macs, "seconds": seconds, "median": max(seconds),
            "inferences": 50, "error": error}


def results():
    """A model at 80 GMAC/s of 100, twice as fast as the faster of the others; 1.6 times so on two
    threads, where the peak is 1.9 times as high."""
    one = [engine("effnetc big", [0.0125, 0.02]), engine("effnetc small", [0.05]),
           engine("ONNX Runtime", [0.03, 0.025]), engine("OpenVINO", [0.04]),
           engine("peak big", [0.01], error=None), engine("peak small", [0.04], error=None)]
    two = one[:2] + [engine("effnetc big", [0.0078125], 2), engine("ONNX Runtime", [0.02], 2),
                     engine("OpenVINO", [0.021], 2), engine("peak big", [0.01], error=None),
                     engine("peak big", [0.01], 2, macs=19 * 10**8, error=None)]
    fresh = {"load_ms": 1.0, "first_ms": 20.0, "hot_ms": 12.5, "peak_kib": 28 * 1024}
    machine = {"cpu": "A CPU", "cpus": 2, "system": "S", "cc": "cc 1", "flags": "-O2", "options": "",
               "effnetc": "1", "onnxruntime": "2", "openvino": "3", "rounds": 2, "runs": 50}
    found = {"machine": machine,
             "rows": [{"model": "a<b", "name": "a<b", "batch": 1, "macs": 10**9, "arena": 1,
                       "kernels": {"ops": [
                           {"op": "conv2d", "us": 750, "macs": 6 * 10**7, "bytes": 3 * 10**7, "steps": 2,
                            "gmacs_per_second": 80, "peak_share": 0.8, "macs_per_byte": 2},
                           {"op": "mul", "us": 250, "macs": 0, "bytes": 10**6, "steps": 1,
                            "gmacs_per_second": 0, "peak_share": 0, "macs_per_byte": 0}]},
                       "engines": [{"threads": 1, "results": one}, {"threads": 2, "results": two}],
                       "first": {"effnetc": fresh, "OnnxRuntime": {**fresh, "python_kib": 1024}}}]}
    return json.loads(json.dumps(found))  # as from the file: nothing is shared


def cells(text):
    return [[c.strip() for c in line.split("|")[1:-1]] for line in text.splitlines()]


class Report(unittest.TestCase):
    def test_the_readme_says_what_was_measured(self):
        """B0's time, and how many times as fast as the faster of the others that is."""
        page = (SOURCE / "docs/performance.md").read_text(encoding="utf-8")
        readme = (SOURCE / "README.md").read_text(encoding="utf-8")
        table = next(text for _, name, text in report.BLOCK.findall(page) if name == "one_thread")
        row = next(row for row in cells(table) if row[0] in ("tv_b0", "tv_b0_dynbatch"))
        said = re.search(r"torchvision's B0 takes ([\d.]+) ms .*?, ([\d.]+) times as fast", readme, re.S)
        self.assertEqual(said.groups(), (row[1], row[4].strip("*")))

    def test_figures_are_of_the_fastest_rounds(self):
        f = report.Figures(results()["rows"][0], 1)
        self.assertAlmostEqual(f.ratio(), 2)
        self.assertAlmostEqual(f.share(), 0.8)
        f = report.Figures(results()["rows"][0], 2)
        self.assertAlmostEqual(f.ratio(), 2.56)
        self.assertAlmostEqual(f.scaling(), 1.6)
        self.assertAlmostEqual(f.peak_scaling(), 1.9)
        f = report.Figures(results()["rows"][0], 1, "small")
        self.assertAlmostEqual(f.share(), 0.8)

    def test_rows_are_added(self):
        found = results()
        old = found["rows"][0]
        added = {**old, "model": "b"}
        report.add_row(found, added)
        self.assertEqual([row["model"] for row in found["rows"]], ["a<b", "b"])
        self.assertEqual(["kernels" in row for row in found["rows"]], [False, True])
        again = {**added, "macs": 1}
        del again["kernels"]
        report.add_row(found, again)
        self.assertEqual([row["macs"] for row in found["rows"]], [10**9, 1])

    def test_tables(self):
        found = results()
        row = cells(report.one_thread(found))[2]
        self.assertEqual(row, ["a<b", "12.5", "25.0", "40.0", "**2.00**", "80.0", "80 %", "40 %", "25 %",
                               "0e+00"])
        self.assertEqual(cells(report.several_threads(found))[2],
                         ["a<b", "7.81", "20.0", "21.0", "**2.56**", "67 %", "**1.60**", "1.90"])
        self.assertEqual(cells(report.other_targets(found))[2],
                         ["a<b", "small", "50.0", "20.0", "25.0", "80 %", "0e+00"])
        self.assertEqual(cells(report.kernels(found))[2:],
                         [["`conv2d`", "2", "750", "75 %", "80.0", "80 %", "2.00", "40.0"],
                          ["`mul`", "1", "250", "25 %", "0", "0 %", "0.00", "4.00"]])
        self.assertEqual([r[5:] for r in cells(report.fresh_process(found))[2:]],
                         [["1.60", "28"], ["1.60", "28 (1 of it Python)"]])
        for table in report.TABLES.values():
            lines = [line.count("|") for line in table(found).splitlines()]
            self.assertEqual(len(set(lines)), 1)

    def test_one_cpu_has_no_second_table(self):
        found = results()
        del found["rows"][0]["engines"][1]
        self.assertNotIn("|", report.several_threads(found))
        self.assertNotIn("threads", report.one_line(found["rows"][0]))

    def test_only_what_is_between_the_marks_changes(self):
        text = "before\n<!-- measured: one_thread -->\nold\n<!-- end -->\nafter\n"
        new = report.fill(text, results())
        self.assertTrue(new.startswith("before\n<!-- measured: one_thread -->\n| model"))
        self.assertTrue(new.endswith("\n<!-- end -->\nafter\n"))
        self.assertNotIn("old", new)
        self.assertEqual(report.fill(new, results()), new)
        with self.assertRaises(KeyError):
            report.fill("<!-- measured: nonsense -->\n<!-- end -->\n", results())

    def test_the_document_has_every_table(self):
        text = (SOURCE / "docs/performance.md").read_text(encoding="utf-8")
        self.assertEqual({name for _, name, _ in report.BLOCK.findall(text)}, set(report.TABLES))

    def test_what_differs_is_named(self):
        found = results()
        self.assertEqual(report.differing(found, 1e-4), [])
        for bad in (2e-4, float("nan"), float("inf")):
            found["rows"][0]["engines"][0]["results"][0]["error"] = bad
            lines = report.differing(found, 1e-4)
            self.assertEqual(len(lines), 1)
            self.assertIn("effnetc big", lines[0])

    def test_the_plot_is_xml_with_a_bar_for_each_engine(self):
        root = xml.etree.ElementTree.fromstring(report.plot(results()))
        svg = "{http://www.w3.org/2000/svg}"
        widths = [float(r.get("width")) for r in root.iter(f"{svg}rect")][3:]
        self.assertEqual([round(w / report.SCALE, 2) for w in widths], [0.8, 0.4, 0.25])
        texts = [t.text for t in root.iter(f"{svg}text")]
        self.assertIn("a<b", texts)
        self.assertIn("12.5", texts)
        self.assertIn("prefers-color-scheme: dark", root.find(f"{svg}style").text)


def png(width, rows):
    """A PNG of RGB rows, each a filter's number and its filtered bytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, len(rows), 8, 2, 0, 0, 0)
    data = zlib.compress(b"".join(bytes([kind]) + data for kind, data in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


class Picture(unittest.TestCase):
    def test_every_filter(self):
        flat = bytes([10, 20, 30, 13, 22, 31])
        rows = [(0, flat),
                (1, bytes([10, 20, 30, 3, 2, 1])),  # left
                (2, bytes(6)),  # above
                (3, bytes([5, 10, 15, 2, 1, 1])),  # the mean of both
                (4, bytes(6))]  # whichever is nearest to left + above - corner
        width, height, rgb = picture.read_png(png(2, rows))
        self.assertEqual((width, height), (2, 5))
        for i in range(5):
            self.assertEqual(rgb[6 * i : 6 * i + 6], flat, f"filter {i}")

    def test_other_files_are_refused(self):
        good = png(1, [(0, b"abc")])
        for bad in (b"P6 1 1 255 abc", good.replace(b"\x08\x02\0\0\0", b"\x08\x06\0\0\0")):
            with self.assertRaises(ValueError):
                picture.read_png(bad)

    def test_the_examples_picture(self):
        width, height, rgb = picture.read_png((SOURCE / "examples/images/chelsea.png").read_bytes())
        self.assertEqual(len(rgb), 3 * width * height)
        self.assertGreater(len(set(rgb)), 100)


class Programs(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)

    def cc(self, *arguments):
        done = subprocess.run([*CC, "-O2", "-Wall", "-Wextra", "-Werror", "-D_POSIX_C_SOURCE=200809L",
                               *arguments], capture_output=True, text=True, cwd=self.dir, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_every_step_of_the_peak_is_a_multiply_add(self):
        for lanes, march, name in ((4, "x86-64-v2", "mulps"), (8, "x86-64-v3", "vfmadd"),
                                   (16, "x86-64-v4", "vfmadd")):
            self.cc("-ffp-contract=fast", "-fno-tree-vectorize", f"-march={march}", f"-DLANES={lanes}",
                    "-S", "-o", "peak.s", SOURCE / "benchmarks/peak.c")
            text = (self.dir / "peak.s").read_text(encoding="utf-8")
            self.assertEqual(text.count(name), 12, march)

    def test_a_fresh_process(self):
        command = os.environ.get("EFFNETC_COMMAND", "effnetc")
        model = SOURCE / "examples/models/efficientnet_lite0.onnx"
        subprocess.run([command, model, "-o", self.dir, "--name=net"], check=True)
        self.cc("-I.", "-o", "first", SOURCE / "benchmarks/first.c", "net.c")
        words = ["./first", "net.weights.bin", "150528", "1000", "2"]
        out = json.loads(subprocess.run(words, cwd=self.dir, capture_output=True, check=True).stdout)
        self.assertGreater(out["first_ms"], 0)
        self.assertLessEqual(out["hot_ms"], 10 * out["first_ms"])
        weights = (self.dir / "net.weights.bin").stat().st_size
        self.assertGreater(1024 * out["peak_kib"], weights)  # all of them were read
        words[1] = "missing"
        self.assertEqual(subprocess.run(words, cwd=self.dir, check=False).returncode, 2)


class Command(unittest.TestCase):
    def run_script(self, *arguments):
        words = [sys.executable, "-B", SOURCE / "benchmarks/run", *arguments]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    def test_mistakes(self):
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as models:
            pathlib.Path(models, "a.onnx").touch()
            for code, says, words in (
                (2, "a folder with models", []),
                (1, "has no performance.md", [folder, "--docs", folder]),
                (1, "measure first", ["--render", "--work", folder]),
                (1, "there is no /none", [folder, "--effnetc=/none"]),
                (1, "no C compiler none", [folder, "--effnetc=/bin/true", "--cc=none"]),
                (1, "has no models", [folder, "--effnetc=/bin/true"]),
                (1, "has no a.onnx", [folder, "--effnetc=/bin/true", "--models=a"]),
                (1, "--detail=b is not among", [models, "--effnetc=/bin/true", "--models=a", "--detail=b"]),
            ):
                done = self.run_script(*words)
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertIn(says, done.stderr)

    def test_render(self):
        with tempfile.TemporaryDirectory() as folder:
            work = pathlib.Path(folder)
            (work / "results.json").write_text(json.dumps(results()), encoding="utf-8")
            (work / "performance.md").write_text(
                (SOURCE / "docs/performance.md").read_text(encoding="utf-8"), encoding="utf-8")
            done = self.run_script("--render", "--work", folder, "--docs", folder)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("| a<b | 12.5 |", (work / "performance.md").read_text(encoding="utf-8"))
            self.assertTrue((work / "performance.svg").exists())


if __name__ == "__main__":
    unittest.main()
