#!/usr/bin/env python3
"""effnetc inspect --html in a headless Chromium: no error, no network, no sideways scrolling, and
whatever names a model has, they are text. Code 77 says that there is no Chromium.

EFFNETC_COMMAND is the built command; EFFNETC_MODELS names the folder of shared models, if any, and
--fill-model what gives them weights."""

import argparse
import base64
import html
import json
import os
import re
import shutil
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, "cli"))
import onnx_bytes as onnx  # noqa: E402
from workplace import Workplace  # noqa: E402

COMMAND = os.environ.get("EFFNETC_COMMAND", "effnetc")
LITE0 = os.path.join(HERE, os.pardir, os.pardir, "examples", "models", "efficientnet_lite0.onnx")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

# Before the page's own scripts, and behind them.
BEFORE = """<script>
window.faults = [];
addEventListener("error", e => faults.push(e.message || "a resource"), true);
addEventListener("unhandledrejection", e => faults.push(String(e.reason)));
for (const f of ["error", "warn"]) console[f] = (...a) => faults.push(a.join(" "));
</script>"""
AFTER = """<script>
addEventListener("load", () => setTimeout(() => {
  const out = {faults, answer: (() => { %s })(),
    scrolls: document.documentElement.scrollWidth > document.documentElement.clientWidth,
    width: innerWidth, dark: matchMedia("(prefers-color-scheme: dark)").matches,
    page: getComputedStyle(document.body).backgroundColor};
  const pre = document.createElement("pre");
  pre.id = "answer";
  pre.textContent = btoa(unescape(encodeURIComponent(JSON.stringify(out))));
  (parent === window ? document : parent.document).body.append(pre);
}, 50));
</script>"""

HOSTILE = '</script><img src=x onerror="faults.push(1)"><!--<script>&amp;"\'\\'


class Page(Workplace):
    def inspect(self, model, *args):
        out = self.path("page.html")
        p = subprocess.run([COMMAND, "inspect", model, "--html", out, *args], capture_output=True,
                           timeout=600)
        self.assertEqual((p.returncode, p.stdout), (0, b""), p.stderr.decode())
        with open(out, encoding="utf-8") as f:
            return f.read()

    def browse(self, page, script="return null", width=1440, dark=False):
        """What the script returns in the page, and what the browser says of it."""
        probe = self.path("probe.html")
        with open(probe, "w", encoding="utf-8") as f:
            inner = page.replace("<head>", "<head>" + BEFORE, 1).replace(
                "</body>", AFTER % script + "</body>", 1)
            # In a frame, since the browser's window can't be as narrow as a phone.
            f.write("<!DOCTYPE html><meta charset=utf-8><meta name=color-scheme content='light dark'>"
                    "<body><iframe width=%d height=800 style='border:0' srcdoc=\"%s\"></iframe>"
                    % (width, html.escape(inner)))
        scheme = "--blink-settings=preferredColorScheme=%d" % (0 if dark else 1)
        p = subprocess.run(
            [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", scheme,
             "--user-data-dir=" + self.path("profile"), "--virtual-time-budget=5000",
             "--window-size=1600,900", "--dump-dom", "file://" + probe],
            capture_output=True, timeout=600)
        found = re.search(r'<pre id="answer">([^<]*)</pre>', p.stdout.decode(errors="replace"))
        self.assertTrue(found, p.stderr.decode(errors="replace")[-2000:])
        out = json.loads(base64.b64decode(found.group(1)).decode())
        self.assertEqual(out["faults"], [])
        self.assertFalse(out["scrolls"], "scrolls sideways at %d pixels" % width)
        self.assertEqual((out["width"], out["dark"]), (width, dark))
        return out

    def check_self_contained(self, page):
        urls = re.findall(r"""(?:https?:|//)[\w.-]+\.\w+[^"'\s]*""", page.split('id="data"')[0])
        self.assertEqual(urls, [])
        self.assertLessEqual(len(page.encode()), 2 << 20)
        self.assertNotRegex(page, r"<link[^>]*href=\"(?!data:)|@import|<script[^>]* src=")

    def test_a_member_of_the_family(self):
        page = self.inspect(LITE0, "--target=generic")
        self.check_self_contained(page)
        count = """return {title: document.querySelector("h1").textContent,
            nodes: document.querySelectorAll("#diagram .node").length,
            rows: document.querySelectorAll("#rows tr").length,
            regions: document.querySelectorAll("#arena .region").length,
            passes: document.querySelectorAll("#passlist .what").length,
            text: document.body.innerText.includes("NaN") || document.body.innerText.includes("undefined")}"""
        colors = set()
        for width in [390, 1440]:
            for dark in [False, True]:
                out = self.browse(page, count, width, dark)
                colors.add(out["page"])
                answer = out["answer"]
                self.assertEqual(answer["title"], "EfficientNet-Lite0")
                self.assertEqual(answer["nodes"], answer["rows"])
                self.assertGreaterEqual(answer["rows"], 19)
                self.assertGreater(answer["regions"], 40)
                self.assertGreater(answer["passes"], 20)
                self.assertFalse(answer["text"])
        self.assertEqual(len(colors), 2)

    def test_sorting_and_opening(self):
        page = self.inspect(LITE0)
        out = self.browse(page, """
            const cells = n => [...document.querySelectorAll("#rows tr td:nth-child(" + n + ")")].map(t => t.textContent);
            const heads = [...document.querySelectorAll("#heads button")];
            const at = heads.findIndex(h => h.textContent === "weights");
            heads[at].click();
            const falling = cells(at + 1), state = heads[at].parentNode.getAttribute("aria-sort");
            heads[at].click();
            const rising = cells(at + 1);
            document.querySelector("#rows button").click();
            const open = document.querySelectorAll("#rows tr.op").length;
            document.querySelector("#rows button").click();
            return {falling, rising, state, open, shut: document.querySelectorAll("#rows tr.op").length};""")
        a = out["answer"]
        falling = [int(x.replace(",", "") or 0) for x in a["falling"]]
        self.assertEqual(falling, sorted(falling, reverse=True))
        self.assertEqual(sorted(falling), [int(x.replace(",", "") or 0) for x in a["rising"]])
        self.assertEqual(a["state"], "descending")
        self.assertGreater(a["open"], 0)
        self.assertEqual(a["shut"], 0)

    def test_keyboard_and_paper(self):
        """Each box of the diagram and each buffer of the arena can be reached by keys; on paper the
        diagram is cut between rows, and all is as before behind it."""
        out = self.browse(self.inspect(LITE0, "--target=generic"), """
            const press = (e, key) => e.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true}));
            const opened = ["Enter", " "].map((key, i) => {
                const node = document.querySelectorAll("#diagram .node")[i + 2];
                node.focus();
                press(node, key);
                const row = document.activeElement.closest("tr");
                return [row && row.id, row && row.hasAttribute("data-open")];
            });
            const arena = document.querySelector("#arena svg"), tip = document.getElementById("tip");
            const regions = [...arena.querySelectorAll(".region")], at = () => regions.findIndex(r => r.matches(".on"));
            const visited = ["ArrowRight", "ArrowRight", "ArrowLeft", "ArrowLeft"].map(key => (press(arena, key), at()));
            const shown = !tip.hidden;
            press(arena, "Escape");
            const hidden = tip.hidden, screen = document.querySelectorAll("#diagram .node").length;
            dispatchEvent(new Event("beforeprint"));
            const pages = [...document.querySelectorAll("#diagram svg")].map(s => s.getAttribute("viewBox").split(" ").map(Number));
            const boxes = [...document.querySelectorAll("#diagram svg:first-child .node")].map(n => {
                const y = +n.getAttribute("transform").match(/[\\d.]+/g)[1];
                return [y, y + +n.querySelector(".box").getAttribute("height")];
            });
            dispatchEvent(new Event("afterprint"));
            return {opened, visited, shown, hidden, screen, pages, boxes,
                after: document.querySelectorAll("#diagram .node").length};""")
        a = out["answer"]
        self.assertEqual(a["opened"], [["u2", True], ["u3", True]])
        self.assertEqual((a["visited"], a["shown"], a["hidden"]), ([0, 1, 0, 0], True, True))
        self.assertEqual((len(a["boxes"]), a["after"]), (a["screen"], a["screen"]))
        self.assertGreater(len(a["pages"]), 1)
        for top, bottom in a["boxes"]:
            self.assertEqual(sum(y <= top and bottom <= y + h for _, y, _, h in a["pages"]), 1, (top, bottom))

    def test_names_are_text(self):
        model = onnx.model([onnx.node("Conv", ["x", "w"], [HOSTILE + "c"], HOSTILE + "/conv"),
                            onnx.node("Softmax", [HOSTILE + "c"], ["y"], HOSTILE)],
                           [onnx.value_info("x", [1, 3, 4, 4])], [onnx.value_info("y", [1, 2, 4, 4])],
                           [onnx.tensor("w", [2, 3, 1, 1], [1, 2, 3, 4, 5, 6])])
        path = self.path("<b>m&.onnx")
        with open(path, "wb") as f:
            f.write(model)
        page = self.inspect(path, "--measure")
        out = self.browse(page, """return {images: document.images.length, scripts: document.scripts.length,
            bold: document.querySelectorAll("h1 b, #rows b").length, title: document.title,
            text: document.querySelector("#rows").textContent}""", 390)
        self.assertEqual((out["answer"]["images"], out["answer"]["bold"]), (0, 0))
        self.assertEqual(out["answer"]["scripts"], 4)  # two are this test's
        self.assertIn("<b>m&.onnx", out["answer"]["title"])
        self.assertIn(HOSTILE, out["answer"]["text"])

    def test_odd_models(self):
        """No input, no arena, no node with a name, a scalar, nothing to compute."""
        for text in ["graph @a() -> f32[2] {\n  const @c : f32[2] = [1, 2]\n  %y = relu @c : f32[2]\n  return %y\n}\n",
                     "graph @b(%x: f32[]) -> f32[] {\n  return %x\n}\n",
                     "graph @c(%x: f32[0,3,8,8]) -> f32[0,3,8,8] {\n  %y = relu %x : f32[0,3,8,8]\n  return %y\n}\n"]:
            path = self.path("m.ir")
            with open(path, "w") as f:
                f.write(text)
            for level in ["-O0", "-O2"]:
                self.browse(self.inspect(path, level), "return null", 390)

    def test_a_detector(self):
        models = os.environ.get("EFFNETC_MODELS", os.path.join(HERE, *[os.pardir] * 3, "shared", "models"))
        skeleton = os.path.join(models, "skeletons", "effdet_d0.onnx")
        if not os.path.exists(skeleton):
            self.skipTest("no effdet_d0.onnx: set EFFNETC_MODELS")
        subprocess.run([OPTIONS.fill_model, skeleton, self.path("d0.onnx")], check=True, timeout=60)
        page = self.inspect(self.path("d0.onnx"))
        self.check_self_contained(page)
        out = self.browse(page, """return {nodes: document.querySelectorAll("#diagram .node").length,
            title: document.querySelector("h1").textContent}""", 390)
        self.assertEqual(out["answer"]["title"], "EfficientDet-D0: EfficientNet-B0 + BiFPN")
        self.assertGreater(out["answer"]["nodes"], 40)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--fill-model", default="fill_model")
    OPTIONS, rest = parser.parse_known_args()
    if not CHROMIUM:
        print("no Chromium: the page was not looked at (Debian: apt-get install chromium)")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1] + rest)
